"""Errors, retries, and what may have been billed."""

import socket
import threading
import time
from email.utils import formatdate

import pytest

from openai_tier.conftest import call, text_of
from openai_tier.server import chat, cut, piece, raw, reset, slow_headers, stall, status
from rung.errors import PromptTooLong, RateLimited, TierCrashed, TierError, TierTimeout, TierUnavailable
from rung.limits import Deadline
from rung.tiers.openai import Env, OpenAITier
from rung.types import Price

PAID = Price(1, 4)
MARGIN = 10.0
"""Seconds beyond the 200 ms that a tier may take, for a busy machine."""


def closed(peer):
    """Reads the request and hangs up."""


# status or fault, error, requests of a free tier, requests of a paid one, whether a paid one may have been billed
MATRIX = [
    pytest.param(status(400), TierError, 1, 1, "no", id="400"),
    pytest.param(status(401), TierUnavailable, 1, 1, "no", id="401"),
    pytest.param(status(403), TierUnavailable, 1, 1, "no", id="403"),
    pytest.param(status(404), TierUnavailable, 1, 1, "no", id="404"),
    pytest.param(status(405), TierUnavailable, 1, 1, "no", id="405"),
    pytest.param(status(408), TierTimeout, 3, 1, "maybe", id="408"),
    pytest.param(status(409), TierError, 3, 3, "no", id="409"),
    pytest.param(status(413), TierError, 1, 1, "no", id="413"),
    pytest.param(status(418), TierError, 1, 1, "no", id="418"),
    pytest.param(status(422), TierError, 1, 1, "no", id="422"),
    pytest.param(status(429), RateLimited, 3, 3, "no", id="429"),
    pytest.param(status(429, error={"code": "insufficient_quota"}), TierUnavailable, 1, 1, "no", id="429, no credit"),
    pytest.param(status(500), TierUnavailable, 3, 1, "maybe", id="500"),
    pytest.param(status(502), TierUnavailable, 3, 1, "maybe", id="502"),
    pytest.param(status(503), TierUnavailable, 3, 3, "no", id="503"),
    pytest.param(status(504), TierUnavailable, 3, 1, "maybe", id="504"),
    pytest.param(status(529), TierUnavailable, 3, 3, "no", id="529"),
    pytest.param(reset, TierCrashed, 3, 1, "maybe", id="reset"),
    pytest.param(closed, TierCrashed, 3, 1, "maybe", id="hang-up"),
    pytest.param(cut(), TierCrashed, 3, 1, "maybe", id="cut in the body"),
    pytest.param(cut(piece("half")), TierCrashed, 1, 1, "maybe", id="cut in the stream"),
]


@pytest.mark.parametrize(("fault", "error", "free", "paid", "billed"), MATRIX)
def test_each_fault_is_a_typed_error_and_is_repeated_only_where_nothing_can_have_been_billed(
    serve, tier_at, monkeypatch, fault, error, free, paid, billed
):
    monkeypatch.setattr("rung.tiers.openai.pauses._FIRST", 0.01)
    for price, requests, charged in ((None, free, "no"), (PAID, paid, billed)):
        server = serve(*[fault] * 9)
        with pytest.raises(TierError) as caught:
            list(tier_at(server, price=price).stream(call()))
        assert type(caught.value) is error
        assert len(server.requests) == requests
        assert caught.value.billed == charged


@pytest.mark.slow
def test_a_fault_that_passes_is_not_seen(serve, tier_at):
    server = serve(status(503), status(429), chat("there"))
    assert text_of(list(tier_at(server, price=PAID).stream(call()))) == "there"
    broken = serve(reset, reset, chat("there"))
    assert text_of(list(tier_at(broken).stream(call()))) == "there"


@pytest.mark.slow
def test_nobody_listening_is_unavailable_and_the_error_names_the_url():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    tier = OpenAITier("m", base_url=f"http://127.0.0.1:{port}/v1", price=PAID)
    with pytest.raises(TierUnavailable, match=f"start the server.*http://127.0.0.1:{port}/v1") as caught:
        list(tier.stream(call()))
    assert caught.value.billed == "no"
    tier.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "headers",
    [
        lambda: {"retry-after": "0.4"},
        lambda: {"retry-after-ms": "400"},
        lambda: {"retry-after": formatdate(1_000_001, usegmt=True), "date": formatdate(1_000_000, usegmt=True)},
    ],
    ids=["seconds", "milliseconds", "date"],
)
def test_the_wait_that_an_endpoint_asks_for_is_kept(serve, tier_at, headers):
    server = serve(status(429, headers()), chat("there"))
    tier = tier_at(server)
    began = time.monotonic()
    assert text_of(list(tier.stream(call()))) == "there"
    assert time.monotonic() - began >= 0.4


def test_a_wait_beyond_the_deadline_or_beyond_patience_is_not_begun(serve, tier_at):
    for headers, deadline in (({"retry-after": "30"}, Deadline.after(20)), ({"retry-after": "600"}, Deadline())):
        server = serve(status(429, headers))
        began = time.monotonic()
        with pytest.raises(RateLimited) as caught:
            list(tier_at(server).stream(call(deadline=deadline)))
        assert time.monotonic() - began < 10
        assert caught.value.retry_after == float(headers["retry-after"])
        assert len(server.requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "billed"),
    [
        (slow_headers, "maybe"),
        (stall(), "maybe"),
        (stall(piece("half")), "maybe"),
        (lambda peer: peer.wait(), "maybe"),
        (status(429, {"retry-after": "0.5"}), "no"),
    ],
    ids=["slow headers", "stall at once", "stall in the stream", "silence", "retries"],
)
def test_the_deadline_holds_whatever_the_endpoint_does(serve, tier_at, fault, billed):
    tier = tier_at(serve(chat("warm"), *[fault] * 9), price=PAID, retries=9)
    list(tier.stream(call()))
    began = time.monotonic()
    with pytest.raises(TierError) as caught:
        list(tier.stream(call(deadline=Deadline.after(0.7))))
    assert time.monotonic() - began < 0.7 + 0.2 + MARGIN
    assert isinstance(caught.value, (TierTimeout, RateLimited))
    assert caught.value.billed == billed


@pytest.mark.slow
def test_without_a_deadline_a_stalled_stream_ends_by_the_stall_limit(serve, tier_at):
    with pytest.raises(TierTimeout, match="stall_seconds"):
        list(tier_at(serve(stall(piece("half"))), stall_seconds=0.3).stream(call()))


def test_a_deadline_that_has_passed_sends_nothing(serve, tier_at):
    server = serve()
    with pytest.raises(TierTimeout) as caught:
        list(tier_at(server, price=PAID).stream(call(deadline=Deadline.after(0))))
    assert server.connections == 0
    assert caught.value.billed == "no"


@pytest.mark.parametrize(
    "error",
    [
        {
            "code": "context_length_exceeded",
            "message": "maximum context length is 512 tokens. However, your messages resulted in 900 tokens.",
        },
        {"message": "The maximum context length is 512 tokens. However, you requested 900 tokens (800 in all)"},
        {"type": "exceed_context_size_error", "n_prompt_tokens": 900, "n_ctx": 512},
    ],
    ids=["openai", "vllm", "llama.cpp"],
)
def test_a_prompt_that_is_too_long_says_both_counts(serve, tier_at, error):
    with pytest.raises(PromptTooLong) as caught:
        list(tier_at(serve(status(400, error=error))).stream(call()))
    assert (caught.value.input_tokens, caught.value.context) == (900, 512)


def test_a_refused_key_names_the_variable_and_a_missing_one_sends_nothing(serve, tier_at, monkeypatch):
    monkeypatch.setenv("SCRIPTED_KEY", "sk-canary")
    server = serve(status(401))
    with pytest.raises(TierUnavailable, match="SCRIPTED_KEY"):
        list(tier_at(server, api_key=Env("SCRIPTED_KEY")).stream(call()))
    assert server.requests[0].headers["authorization"] == "Bearer sk-canary"
    monkeypatch.delenv("SCRIPTED_KEY")
    tier = tier_at(server, api_key=Env("SCRIPTED_KEY"))
    with pytest.raises(TierUnavailable, match="SCRIPTED_KEY is not set"):
        list(tier.stream(call()))
    with pytest.raises(TierUnavailable, match="SCRIPTED_KEY is not set"):
        tier.quote(call())
    assert len(server.requests) == 1


def test_a_model_that_is_not_there_is_named(serve, tier_at):
    with pytest.raises(TierUnavailable, match="no model 'm' there"):
        list(tier_at(serve(status(404, error={"code": "model_not_found"}))).stream(call()))


def test_a_name_without_an_address_is_unavailable(serve, tier_at, monkeypatch):
    def look_up(*_args, **_kwargs):
        raise socket.gaierror("no such name")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    with pytest.raises(TierUnavailable, match=r"the name of model\.test:80 has no address") as caught:
        list(tier_at(serve(), base_url="http://model.test/v1", price=PAID, retries=0).stream(call()))
    assert caught.value.billed == "no"


@pytest.mark.slow
def test_a_look_up_that_hangs_holds_neither_deadline_nor_close(serve, tier_at, monkeypatch):
    released = threading.Event()

    def look_up(*_args, **_kwargs):
        released.wait(120)
        raise socket.gaierror("no such name")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    tier = tier_at(serve(), base_url="http://model.test/v1", price=PAID)
    began = time.monotonic()
    with pytest.raises(TierTimeout) as caught:
        list(tier.stream(call(deadline=Deadline.after(0.3))))
    tier.close()
    assert time.monotonic() - began < 0.3 + 0.2 + MARGIN
    assert caught.value.billed == "no"
    released.set()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [status(407), status(502), reset, chat("no tunnel")])
def test_a_proxy_that_makes_no_tunnel_is_named_and_nothing_is_billed(serve, tier_at, fault):
    proxy, server = serve(fault), serve()
    settings = {"base_url": f"https://127.0.0.1:{server.port}/v1", "proxy": f"http://127.0.0.1:{proxy.port}"}
    with pytest.raises(TierUnavailable) as caught:
        # an answer that comes in one piece with its head is gone, and then nothing more comes
        list(tier_at(server, **settings, price=PAID, retries=0, connect_seconds=2.0).stream(call()))
    assert caught.value.billed == "no"
    assert proxy.requests[0].line.startswith("CONNECT ")
    assert server.connections == 0


def torn(code: int, framing: str, ending: bytes = b"{", headers: str = "") -> bytes:
    return f"HTTP/1.1 {code} Scripted\r\ncontent-type: application/json\r\n{headers}{framing}\r\n\r\n".encode() + ending


SHORT, OPEN, BROKEN = "content-length: 50", "transfer-encoding: chunked", b"1\r\n{\r\n-1\r\n"


@pytest.mark.slow
@pytest.mark.parametrize("code", [301, 400, 401, 404, 408, 413, 418, 422, 429, 500, 502, 503, 504, 529, 999])
def test_the_status_of_a_refusal_counts_also_where_its_body_breaks_off(serve, tier_at, monkeypatch, code):
    monkeypatch.setattr("rung.tiers.openai.pauses._FIRST", 0.001)
    for price in (None, PAID):
        with pytest.raises(TierError) as whole_error:
            list(tier_at(serve(*[status(code)] * 9), price=price, retries=1).stream(call()))
        for framing, ending in ((SHORT, b"{"), (OPEN, b"1\r\n{\r\n"), (OPEN, b"1"), (OPEN, BROKEN), (SHORT, b"")):
            server = serve(*[raw(torn(code, framing, ending))] * 9)
            with pytest.raises(TierError) as caught:
                list(tier_at(server, price=price, retries=1).stream(call()))
            assert type(caught.value) is type(whole_error.value)
            assert (caught.value.billed, caught.value.sent) == (whole_error.value.billed, True)


@pytest.mark.slow
def test_a_refusal_whose_body_never_ends_is_one_by_its_status(serve, tier_at):
    def reply(peer):
        peer.send(torn(429, OPEN, b"1\r\n{\r\n", "retry-after: 700\r\n"))
        peer.wait()

    with pytest.raises(RateLimited) as caught:
        list(tier_at(serve(reply), price=PAID, stall_seconds=0.2).stream(call()))
    assert caught.value.retry_after == 700


@pytest.mark.parametrize("ending", [b"", b"{", b"1\r\n{\r\n", b"1\r\n{\r\n-1\r\n", b"x\r\n"])
def test_an_answer_that_breaks_off_may_have_been_billed(serve, tier_at, ending):
    with pytest.raises(TierError) as caught:
        list(tier_at(serve(raw(torn(200, OPEN, ending))), price=PAID, retries=0).stream(call()))
    assert (caught.value.billed, caught.value.sent) == ("maybe", True)
