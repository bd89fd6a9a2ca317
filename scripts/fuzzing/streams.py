"""What an endpoint sends: status, headers, framing, events."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
from pathlib import Path
from typing import Any, ClassVar

from fuzzing import strange
from fuzzing.cases import Broken, Case, as_bytes

_DEADLINE = 0.5
_FINISHES = ("stop", "length", "tool_calls", "content_filter", "STOP", "", "eos", "unknown", None, 0, [], "\ud800")
_STATUS = (200, 201, 204, 206, 301, 304, 307, 400, 401, 404, 408, 409, 413, 422, 429, 500, 503, 529, 600, 100, 999)
_HEADERS = (
    "content-type: application/json", "content-type: text/html; charset=utf-16",
    "content-type: text/event-stream; charset=x", "content-encoding: gzip", "content-encoding: identity",
    "retry-after: 0", "retry-after: 0.01", "retry-after: -1", "retry-after: nan", "retry-after: 1e999",
    "retry-after: 99999999999999999999", "retry-after: Thu, 26 Nov 2026 00:00:00 GMT",
    "retry-after: Thu, 99 Nov 99999 99:99:99 GMT", "retry-after-ms: 1e400", "retry-after-ms: x",
    "x-should-retry: true", "x-should-retry: false", "location: http://example.org/v1", "location: //",
    "location: http://[", "location: \xe9\x00", "set-cookie: a=b", "transfer-encoding: chunked",
    "transfer-encoding: gzip, chunked", "content-length: -1", "content-length: 99999999999999999999",
    "content-length: 5, 5", "connection: close", "x: " + "y" * 20_000, ": empty", "no colon", "x-request-id: \x1b[31m",
    "openai-processing-ms: x", "trailer: a", "date: x", "\xff\xfe: a",
)  # fmt: skip
_ERRORS: tuple[Any, ...] = (
    {"error": {"message": "slow down", "code": 429, "type": "rate_limit_error"}},
    {"error": {"message": "Unrecognized request argument supplied: stream_options", "param": None, "code": None}},
    {"error": {"message": "maximum context length is 8192 tokens. However, you requested 9000 tokens",
    "param": "messages"}}, {"error": {"code": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 4096}},
    {"error": {"param": "response_format.json_schema[0]", "code": "invalid_value", "message": "x"}}, {"error": "text"},
    {"error": None}, {"detail": [{"loc": ["body", "n"], "msg": "x"}]}, {"message": 3}, [], "error", 3, None,
)  # fmt: skip
_LINES = (
    ": ping", ":", "retry: 3000", "retry: x", "id: 1\0", "event: error", "event: ping", "event", "data", "data:",
    "data: null", "data: []", "data: 3", 'data: "x"', "data: {", "data: [DONE]", "data:[DONE]", "data: [DONE] ",
    "data: {}", "\ufeffdata: {}", 'data: {"error": {"message": "x", "code": 500}}', "unknown: x",
    "data: " + "[" * 5000, "data: " + '{"a":' * 3000, "data: " + "9" * 5000,
    'data: {"choices": [{"delta": {"content": "\\ud800"}}]}', "\x85", "\u2028",
)  # fmt: skip


class Streams:
    """Answers a call of the tier with bytes, from a server on this machine."""

    name: ClassVar[str] = "streams"

    def make(self, dice: random.Random) -> Case:
        """A response: a good stream with something wrong in its events, its bytes, its framing or its head."""
        status = 200 if dice.random() < 0.7 else dice.choice(_STATUS)
        if status == 200 and dice.random() < 0.85:
            kind, body = "text/event-stream", _stream(dice, harm=dice.choice((0.0, 0.0, 0.1, 0.3)))
        else:
            kind, body = (
                "application/json",
                as_bytes(strange.mutated(dice, strange.dumped(dice, _answer(dice)), most=2)),
            )
        if dice.random() < 0.15:
            body = strange.mutated_bytes(
                dice, body, (b"\r", b"\n", b"\r\n\r\n", b"data: ", b"\xff", b"\xed\xa0\x80", b"[DONE]")
            )
        headers = [f"content-type: {kind}"]
        if dice.random() < 0.25:
            headers = [*headers, *dice.sample(_HEADERS, dice.choice((1, 1, 3)))]
        head = f"HTTP/1.1 {status} OK\r\n" + "".join(f"{line}\r\n" for line in headers)
        if dice.random() < 0.03:
            head = strange.mutated(dice, head, ("HTTP/1.0", "HTTP/2", "\r\n", "\n", " "), most=2)[:30_000]
        how: dict[str, Any] = {
            "head": as_bytes(head).decode("latin-1"),
            "framing": dice.choice((*["chunked", "length"] * 4, "close", "short", "long", "torn")),
            "cuts": dice.randrange(1 << 30),
            "candidates": dice.choice((1, 1, 2)),
            "logprobs": dice.random() < 0.3,
            "shape": dice.random() < 0.3,
            "price": dice.random() < 0.3,
            "ladder": dice.random() < 0.3,
            "retries": dice.choice((0, 0, 1)),
            "stays": dice.random() < 0.02,
        }
        if dice.random() < 0.01:
            how["times"] = dice.choice((100, 5_000_000 // (len(body) + 1) + 1))
        return Case(self.name, how, body)

    def prepare(self, folder: Path) -> None:
        """Listen, and have everything imported."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self._tiers: dict[tuple[bool, int, bool], tuple[Any, Any, Any]] = {}
        self._case: Case | None = None
        threading.Thread(target=self._serve, daemon=True).start()
        body = _stream(random.Random(1), harm=0.0)
        # this server closes after each response, and says so here: a request on a connection that ends would be lost
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"
        how = {"head": head, "framing": "length", "cuts": 1, "candidates": 1, "logprobs": False, "shape": False}
        for ladder in (False, True):
            case = Case(
                self.name, {**how, "price": False, "ladder": ladder, "retries": 0, "stays": False, "seconds": 60}, body
            )
            if not self.run(case):
                raise RuntimeError("a good stream gave no answer")

    def run(self, case: Case) -> bool:
        """Call the tier, alone or in a ladder."""
        from rung.limits import Deadline
        from rung.types import Call, Message, Shape

        self._case = case
        how = case.how
        tier, ladder = self._made(how["logprobs"], how["retries"], how["price"])
        # the first call imports the SDK
        seconds = how.get("seconds", _DEADLINE)
        schema = {"type": "object", "properties": {"a": {"type": "string"}}}
        if how["ladder"]:
            outcome = ladder.run("Say hi.", schema if how["shape"] else None, timeout=seconds)
            _demand_text(outcome.explain())
            return bool(outcome.accepted)
        call = Call(
            (Message("user", "Say hi."),),
            shape=Shape("json", schema) if how["shape"] else None,
            candidates=how["candidates"],
            deadline=Deadline.after(seconds),
        )
        for delta in tier.stream(call):
            for text in (delta.text, delta.reasoning, *delta.notes, *(token.text for token in delta.tokens)):
                _demand_text(text)
        return True

    def _made(self, logprobs: bool, retries: int, price: bool) -> tuple[Any, Any]:
        """A tier, and a ladder of it, that know nothing of the responses before: making new ones takes 0.2 s."""
        from rung.ladder import Ladder
        from rung.tiers.openai import OpenAITier
        from rung.tiers.openai.breaker import Breaker
        from rung.types import Price

        key = (logprobs, retries, price)
        if key not in self._tiers:
            tier = OpenAITier(
                "m",
                base_url=f"http://127.0.0.1:{self._port}/v1",
                logprobs=logprobs,
                retries=retries,
                price=Price(1, 4) if price else None,
                max_answer_bytes=1 << 20,
            )
            self._tiers[key] = (tier, Ladder(tier), tier._dialect)
        tier, ladder, dialect = self._tiers[key]
        tier._breaker, tier._dialect = Breaker("the server of the fuzzer"), dialect
        return tier, ladder

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._answer, args=(connection, self._case), daemon=True).start()

    def _answer(self, connection: socket.socket, case: Case | None) -> None:
        assert case is not None
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65_536) or b"\r\n\r\n"
            head, _, rest = data.partition(b"\r\n\r\n")
            length = next((int(it[15:]) for it in head.lower().split(b"\r\n") if it.startswith(b"content-length:")), 0)
            while len(rest) < length and (more := connection.recv(65_536)):
                rest += more
            for piece in _pieces(case):
                connection.sendall(piece)
            if case.how["stays"]:
                connection.recv(1)


def _demand_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Broken("text of an endpoint that can't be written as UTF-8") from None


def _pieces(case: Case) -> list[bytes]:
    """The response in the pieces that it is sent in."""
    dice, body, head = random.Random(case.how["cuts"]), case.whole, case.how["head"].encode("latin-1", "replace")
    cuts = sorted(dice.randrange(len(body) + 1) for _ in range(dice.choice((0, 0, 1, 5, 40))))
    parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    match case.how["framing"]:
        case "chunked" | "torn" as framing:
            chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part]
            end = (
                b"0\r\n\r\n"
                if framing == "chunked"
                else dice.choice((b"", b"0", b"x\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n"))
            )
            return [head + b"transfer-encoding: chunked\r\n\r\n", *chunks, end]
        case "close":
            return [head + b"\r\n", *parts]
        case framing:
            length = max(
                0, len(body) + {"length": 0, "short": -dice.randint(1, 20), "long": dice.randint(1, 20)}[framing]
            )
            return [head + b"content-length: %d\r\n\r\n" % length, *parts]


def _chunk(dice: random.Random, text: str, finish: Any = None) -> dict[str, Any]:
    """One chunk of a completion."""
    choice: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": finish}
    if dice.random() < 0.2:
        choice["logprobs"] = {
            "content": [{"token": text, "logprob": -0.1, "top_logprobs": [{"token": "b", "logprob": -3}]}]
        }
    if dice.random() < 0.1:
        choice["delta"] |= dice.choice(
            ({"reasoning_content": "hm"}, {"refusal": "no"}, {"tool_calls": [{"index": 0}]}, {"reasoning": "<think>"})
        )
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": [choice]}


def _texts(dice: random.Random) -> list[str]:
    words = ("Hello", " ", "wor", "ld", '{"a": "', "b", '"}', "<think>", "</think>", *strange.WORDS)
    return [dice.choice(words) for _ in range(dice.choice((1, 2, 5, 30)))]


def _stream(dice: random.Random, *, harm: float) -> bytes:
    """A stream of events; `harm` is the chance of each of them to be another than it should."""
    chunks: list[Any] = [_chunk(dice, text) for text in (_texts(dice) if harm else ["Hello", " world"])]
    chunks.append(_chunk(dice, "", dice.choice(_FINISHES) if dice.random() < harm else "stop"))
    chunks.append({"model": "served", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
    lines: list[str] = []
    for chunk in chunks:
        if dice.random() < harm:
            lines += [dice.choice(_LINES), *dice.choice(((), ("",)))]
        sent = strange.changed(dice, chunk, 6) if dice.random() < harm else chunk
        lines += [f"data: {json.dumps(sent, ensure_ascii=dice.random() < 0.5)}", ""]
    if dice.random() >= harm:
        lines += ["data: [DONE]", ""]
    ends = dice.choice((("\n",), ("\n",), ("\r\n",), ("\r",), ("\n", "\r\n", "\r")))
    return b"".join(as_bytes(line + dice.choice(ends)) for line in lines)


def _answer(dice: random.Random) -> Any:
    """What comes where no stream does."""
    message = {"role": "assistant", "content": "".join(_texts(dice))}
    whole = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    found = dice.choice((*_ERRORS, whole, whole))
    return strange.changed(dice, found, 4) if dice.random() < 0.4 else found
