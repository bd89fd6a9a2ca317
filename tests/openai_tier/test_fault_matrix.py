"""Whatever a paid endpoint does: the right next move, a typed reason, the deadline kept, and the budget right.

The server is on loopback and counts as the internet by the tier's `zone`. Behind the paid tier stands a local one: the
next move.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from email.utils import formatdate

import pytest

from openai_tier.server import Reply, chat, cut, events, flood, piece, raw, reset, slow_headers, stall, status, usage
from rung import Ladder, MemoryPurse, Price, Zone
from rung.testing import ScriptedTier

PRICE = Price(1000, 4000)
BILL = Decimal("0.019")
"""For the 7 prompt and 3 answer tokens that the server reports."""
SLEEP, BUSY = 0.2, 10.0
"""Seconds beyond the deadline: what is promised where the wait is ours, and what a busy machine is given besides. What
has no deadline here waits until the server ends, which is with the test."""

NOTHING, BOUND, EXACT = "nothing", "its bound", "what it used"


@dataclass(frozen=True)
class Row:
    """One fault.

    Args:
        name: of the row.
        fault: what the server does, again and again.
        verdict: the next move.
        reason: the typed reason.
        counted: what the purse holds afterwards.
        requests: how many reached the server.
        ours: whether the wait that meets the deadline is a sleep of ours.
    """

    name: str
    fault: Reply
    verdict: str
    reason: str
    counted: str
    requests: int
    ours: bool = False


def late_date(seconds: float) -> dict[str, str]:
    return {"retry-after": formatdate(1_000_000 + seconds, usegmt=True), "date": formatdate(1_000_000, usegmt=True)}


def garbage(peer):
    peer.head()
    peer.chunk(b"\x00\xff\xfe not an event \n\n" * 9)
    peer.end()


def body_cut(peer):
    """A response that promises more bytes than it gives."""
    peer.head(headers={"content-length": "4096"}, chunked=False)
    peer.send(b'data: {"choices": [')


def hang(peer):
    peer.wait()


WHOLE = (piece("fine"), piece(finish="stop"))
TOOL = piece(tool_calls=[{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}])
FILTER = {"code": "content_filter", "message": "filtered"}

ROWS = [
    Row("400", status(400), "fallback", "TierError", NOTHING, 1),
    Row("401", status(401), "fallback", "TierUnavailable", NOTHING, 1),
    Row("403", status(403), "fallback", "TierUnavailable", NOTHING, 1),
    Row("404", status(404), "fallback", "TierUnavailable", NOTHING, 1),
    Row("408", status(408), "fallback", "TierTimeout", BOUND, 1),
    Row("409", status(409), "fallback", "TierError", NOTHING, 3),
    Row("413", status(413), "fallback", "TierError", NOTHING, 1),
    Row("422", status(422), "fallback", "TierError", NOTHING, 1),
    Row("429", status(429), "fallback", "RateLimited", NOTHING, 3),
    Row("429, seconds", status(429, {"retry-after": "0.1"}), "fallback", "RateLimited", NOTHING, 3),
    Row("429, too many seconds", status(429, {"retry-after": "30"}), "fallback", "RateLimited", NOTHING, 1),
    Row("429, date", status(429, late_date(0)), "fallback", "RateLimited", NOTHING, 3),
    Row("429, late date", status(429, late_date(30)), "fallback", "RateLimited", NOTHING, 1),
    Row("500", status(500), "fallback", "TierUnavailable", BOUND, 1),
    Row("502", status(502), "fallback", "TierUnavailable", BOUND, 1),
    Row("503", status(503), "fallback", "TierUnavailable", NOTHING, 3),
    Row("529", status(529), "fallback", "TierUnavailable", NOTHING, 3),
    Row("301", status(301, {"location": "http://localhost:1/"}), "fallback", "TierError", NOTHING, 1),
    Row("reset", reset, "fallback", "TierCrashed", BOUND, 1),
    Row("slow headers", slow_headers, "stop", "TierTimeout", BOUND, 1, ours=True),
    Row("silence", hang, "stop", "TierTimeout", BOUND, 1, ours=True),
    Row("stall in the stream", stall(piece("half")), "stop", "TierTimeout", BOUND, 1, ours=True),
    Row("cut in the body", body_cut, "fallback", "TierCrashed", BOUND, 1),
    Row("cut in the stream", cut(piece("half")), "fallback", "TierCrashed", BOUND, 1),
    Row("cut at a clean end", cut(piece("half"), clean=True), "fallback", "TierCrashed", BOUND, 1),
    Row("garbage", garbage, "fallback", "TierError", BOUND, 1),
    Row("no JSON", events("{no"), "fallback", "TierError", BOUND, 1),
    Row("no HTTP", raw(b"\x16\x03\x01 nonsense\r\n\r\n"), "fallback", "TierCrashed", BOUND, 1),
    Row("two [DONE]", events(*WHOLE, usage(), done=2), "accept", "valid", EXACT, 1),
    Row("no [DONE]", events(*WHOLE, usage(), done=0), "accept", "valid", EXACT, 1),
    Row("missing usage", events(*WHOLE), "accept", "valid", BOUND, 1),
    Row("half of the usage", events(*WHOLE, {"usage": {"prompt_tokens": 7}}), "accept", "valid", BOUND, 1),
    Row("tool calls", events(TOOL, piece(finish="tool_calls"), usage()), "escalate", "empty", EXACT, 1),
    Row("100 MB", flood(100), "fallback", "TierError", BOUND, 1),
    Row("100 MB on a line", flood(100, line_breaks=False), "fallback", "TierError", BOUND, 1),
    Row("answer filtered", chat("half", finish="content_filter"), "escalate", "refusal", EXACT, 1),
    Row("prompt filtered", status(400, error=FILTER), "escalate", "refusal", BOUND, 1),
    Row("refusal", events(piece(refusal="no"), piece(finish="stop"), usage()), "escalate", "refusal", EXACT, 1),
    Row("cut off", chat("half", finish="length"), "retry", "cut_off", EXACT, 1),
]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_each_fault_has_its_next_move_its_reason_and_its_price(serve, tier_at, monkeypatch, row):
    monkeypatch.setattr("rung.tiers.openai.pauses._FIRST", 0.01)
    purse = MemoryPurse(1_000)
    server = serve(chat("warm"), *[row.fault] * 9)
    cloud = tier_at(server, zone=Zone.INTERNET, price=PRICE, max_answer_bytes=1_000_000, name="cloud")
    ladder = Ladder(cloud, ScriptedTier("local", "here"), reach=Zone.INTERNET, purse=purse)
    ladder.run("hi")  # imports the SDK
    before, seconds = purse.spent, 0.6 if row.ours else 20.0
    began = time.monotonic()
    stream = ladder.stream("hi", timeout=seconds)
    attempt = next(event.attempt for event in stream if type(event).__name__ == "AttemptEnded")
    took = time.monotonic() - began
    spent = purse.spent - before
    stream.close()

    assert (str(attempt.verdict), attempt.reason) == (row.verdict, row.reason)
    assert took <= seconds + SLEEP + BUSY
    assert spent == {NOTHING: 0, BOUND: attempt.quote.max_cost, EXACT: BILL}[row.counted]
    assert attempt.cost == {NOTHING: 0, BOUND: None, EXACT: BILL}[row.counted]
    assert ("may have been billed" in " ".join(attempt.notes)) == (row.counted == BOUND)
    assert len(server.requests) - 1 == row.requests
    assert attempt.sent
    assert attempt.zone is Zone.INTERNET
    if row.verdict == "fallback":
        assert attempt.candidate is None  # a stream that breaks off is never an answer


def test_after_a_fault_the_local_tier_answers(serve, tier_at):
    server = serve(status(401))
    cloud = tier_at(server, zone=Zone.INTERNET, price=PRICE, name="cloud")
    outcome = Ladder(cloud, ScriptedTier("local", "here"), reach=Zone.INTERNET).run("hi")
    assert (outcome.value, outcome.tier, outcome.left_machine) == ("here", "local", True)


def test_a_refused_connection_sends_nothing_and_costs_nothing(tier_at, serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    purse = MemoryPurse(1_000)
    cloud = tier_at(serve(), base_url=f"http://127.0.0.1:{port}/v1", zone=Zone.INTERNET, price=PRICE, name="cloud")
    outcome = Ladder(cloud, ScriptedTier("local", "here"), reach=Zone.INTERNET, purse=purse).run("hi")
    assert [(str(a.verdict), a.reason) for a in outcome.attempts] == [
        ("fallback", "TierUnavailable"),
        ("accept", "valid"),
    ]
    assert (purse.spent, outcome.attempts[0].cost) == (0, 0)


def test_the_deadline_holds_within_200_ms_where_the_machine_is_free(serve, tier_at):
    """Once in twenty times, so that a busy machine doesn't decide."""
    cloud = tier_at(serve(chat("warm"), *[stall(piece("half"))] * 20), zone=Zone.INTERNET, price=PRICE)
    ladder = Ladder(cloud, reach=Zone.INTERNET)
    ladder.run("hi")

    def over() -> float:
        began = time.monotonic()
        assert ladder.run("hi", timeout=0.1).reason == "deadline"
        return time.monotonic() - began - 0.1

    assert any(over() <= SLEEP for _ in range(20))


@pytest.mark.slow
def test_a_wait_that_the_endpoint_asks_for_ends_at_the_deadline(serve, tier_at):
    asks: Callable[[float], Reply] = lambda seconds: status(429, {"retry-after": str(seconds)})  # noqa: E731
    server = serve(chat("warm"), asks(0.3), asks(5))
    cloud = tier_at(server, zone=Zone.INTERNET, price=PRICE)
    ladder = Ladder(cloud, reach=Zone.INTERNET)
    ladder.run("hi")
    began = time.monotonic()
    outcome = ladder.run("hi", timeout=2)
    assert time.monotonic() - began < 2 + SLEEP + BUSY
    assert outcome.attempts[0].error.retry_after == 5
    assert len(server.requests) == 3
