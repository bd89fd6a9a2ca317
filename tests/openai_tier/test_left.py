"""Whether a prompt left: only where it was handed over, and not to a model that its own server says runs elsewhere.

| kind | tests |
|---|---|
| 32: nothing was sent, so nothing left | `test_nothing_left_...`, `test_a_call_that_nobody_waits_for_...` |
| 32: what was sent has left, whatever became of it | `test_what_was_handed_over_...`, `test_a_prompt_that_...` |
| 32: a model that runs elsewhere, by its server's word | `test_a_model_that_the_server_says_...` |
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from openai_tier.conftest import call, text_of
from openai_tier.server import chat, cut, piece, status
from rung import Ladder, Usage, Zone
from rung.errors import Cancelled, Offline, TierTimeout, TierUnavailable
from rung.limits import Cancel, Deadline
from rung.tiers.openai import OpenAITier
from rung.tiers.openai.exchange import Exchange

KEY = "sk-live-CANARY123"


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


FAR = {"zone": Zone.INTERNET, "retries": 0}


def one_attempt(tier, **limits):
    outcome = Ladder(tier, reach=Zone.INTERNET).run("hi", **limits)
    (attempt,) = outcome.attempts
    return outcome, attempt


def test_nothing_left_where_nobody_took_the_connection(serve, tier_at):
    tier = tier_at(serve(), base_url=f"http://127.0.0.1:{closed_port()}/v1", **FAR)
    outcome, attempt = one_attempt(tier)
    assert (outcome.left_machine, attempt.sent, attempt.prompt_bytes) == (False, False, None)
    assert outcome.usage == Usage(0, 0)


def test_nothing_left_where_the_name_has_no_address(serve, tier_at, monkeypatch):
    def look_up(*_args, **_kwargs):
        raise socket.gaierror(-2, "unknown")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    outcome, attempt = one_attempt(tier_at(serve(), base_url="http://model.test/v1", **FAR))
    assert (outcome.left_machine, attempt.sent) == (False, False)


def test_nothing_left_where_the_guard_forbade_the_connection(serve, tier_at):
    outcome, attempt = one_attempt(tier_at(serve(), base_url="http://192.0.2.1:9/v1", retries=0))
    assert isinstance(attempt.error, Offline)
    assert (outcome.left_machine, attempt.sent) == (False, False)


@pytest.mark.slow
def test_nothing_left_where_no_tls_connection_came_about(serve, tier_at):
    server = serve()
    tier = tier_at(server, base_url=f"https://127.0.0.1:{server.port}/v1", connect_seconds=0.5, **FAR)
    outcome, attempt = one_attempt(tier)
    assert (outcome.left_machine, attempt.sent, server.requests) == (False, False, [])


def test_nothing_left_where_the_key_is_not_set_or_the_proxy_makes_no_tunnel(serve, tier_at):
    server, proxy = serve(), serve(status(407))
    settings = {"base_url": f"https://127.0.0.1:{server.port}/v1", "proxy": f"http://127.0.0.1:{proxy.port}"}
    outcome, attempt = one_attempt(tier_at(server, **settings, **FAR))
    assert (outcome.left_machine, attempt.sent, server.connections) == (False, False, 0)
    with pytest.raises(TierUnavailable) as caught:
        list(tier_at(server, api_key="a b").stream(call()))
    assert caught.value.sent is False


@pytest.mark.slow
def test_nothing_left_where_the_deadline_passed_before_a_connection(serve, tier_at, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_args, **_kwargs: released.wait(10) and [])
    outcome, attempt = one_attempt(tier_at(serve(), base_url="http://model.test/v1", **FAR), timeout=0.3)
    released.set()
    assert isinstance(attempt.error, TierTimeout)
    assert (outcome.left_machine, attempt.sent) == (False, False)


@pytest.mark.parametrize("fault", [status(500), status(401), status(429), cut(piece("half")), cut(), chat("fine")])
def test_what_was_handed_over_has_left_whatever_became_of_it(serve, tier_at, fault):
    outcome, attempt = one_attempt(tier_at(serve(fault), **FAR))
    assert (outcome.left_machine, attempt.sent) == (True, True)
    assert attempt.prompt_bytes == 2


def test_a_prompt_that_was_handed_over_once_has_left_though_the_next_try_found_nobody(serve, tier_at, monkeypatch):
    found = [[(2, 1, 6, "", ("127.0.0.1", 0))]]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_args, **_kwargs: found.pop() if found else [])
    server = serve(status(503))
    settings = {"base_url": f"http://model.test:{server.port}/v1", "leads_to": Zone.HOST}
    outcome, attempt = one_attempt(tier_at(server, **settings, retries=1))
    assert (outcome.accepted, outcome.left_machine, attempt.sent) == (False, True, True)
    assert (len(server.requests), found) == (1, [])


def test_a_call_that_nobody_waits_for_any_more_is_not_sent_after_all(serve, tier_at, monkeypatch):
    looking, released = threading.Event(), threading.Event()

    def look_up(_host, port, **_kwargs):
        looking.set()
        released.wait(10)
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    server = serve()
    tier = tier_at(server, base_url=f"http://model.test:{server.port}/v1", leads_to=Zone.HOST)
    cancel = Cancel()
    threading.Thread(target=lambda: looking.wait(10) and cancel.set()).start()
    with pytest.raises(Cancelled) as caught:
        list(tier.stream(call(cancel=cancel)))
    released.set()
    assert caught.value.sent is False
    # the next call, on the same loop, comes after whatever the first one still did
    assert text_of(list(tier.stream(call("second")))) == "ok"
    assert [request.json["messages"][0]["content"] for request in server.requests] == ["second"]


def test_an_exchange_that_was_left_hands_nothing_over():
    exchange = Exchange(None)
    assert exchange.leave() is False

    class Request:
        method = b"POST"

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(exchange.trace("http11.send_request_headers.started", {"request": Request}))
    assert (exchange.handed, exchange.sent) == (False, False)


@pytest.fixture
def asks(questions, monkeypatch):
    """A loopback server is asked, as it is outside of tests, and given all the time that a busy machine needs."""
    monkeypatch.setattr("rung.tiers.openai.ollama._PATIENCE", 30.0)
    questions()


class Closing(BaseHTTPRequestHandler):
    """Answers once on each connection, doesn't say so, and closes it only once the next request is on its way."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(404, {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        known = self.path.endswith("completions")
        choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
        self.answer(200 if known else 404, {"object": "chat.completion", "choices": [choice]})

    def answer(self, status: int, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.rfile.read(1)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.mark.usefixtures("asks")
def test_a_prompt_is_not_sent_on_a_connection_that_the_question_has_used_up(tier_at):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Closing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        # without retries a lost request is a lost answer
        tier = OpenAITier("m", base_url=f"http://127.0.0.1:{server.server_port}/v1", retries=0)
        with Ladder(tier) as ladder:
            assert ladder.run("hi").value == "ok"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ollama(*entries, show=None):
    """What Ollama says of its models."""
    api = {"/api/tags": {"models": list(entries)}}
    return api if show is None else {**api, "/api/show": show}


LOCAL = {"name": "qwen:0.5b", "model": "qwen:0.5b"}
AWAY = {"remote_host": "https://ollama.com:443", "remote_model": "gpt-oss:120b"}


@pytest.mark.parametrize(
    ("model", "api"),
    [
        ("mine", ollama(LOCAL, {"name": "mine:latest", "model": "mine:latest", **AWAY})),
        ("Mine:Latest", ollama({"name": "mine:latest", **AWAY})),
        ("library/mine", ollama({"model": "mine:latest", "remote_host": "https://ollama.com"})),
        ("gpt-oss:120b", ollama({"name": "gpt-oss:120b", "remote_model": "gpt-oss:120b"})),
        ("gpt-oss:120b", ollama(LOCAL, show={"details": {}, **AWAY})),
    ],
)
@pytest.mark.usefixtures("asks")
def test_a_model_that_the_server_says_runs_elsewhere_is_not_sent_the_prompt(serve, tier_at, model, api):
    server = serve()
    server.api = api
    tier = OpenAITier(model, base_url=server.url)
    assert (tier.zone, server.connections) == (Zone.HOST, 0)
    ladder = Ladder(tier)
    first, second = ladder.run("hi"), ladder.run("hi")
    tier.close()
    assert "another machine runs" in str(first.attempts[0].error)
    assert 'zone = "internet"' in str(first.attempts[0].error)
    assert (first.left_machine, second.left_machine, server.requests) == (False, False, [])
    assert (tier.zone, tier.stays_here, second.reason) == (Zone.INTERNET, False, "beyond_reach")
    assert all(b"hi" not in question.body for question in server.questions)


@pytest.mark.usefixtures("asks")
def test_a_model_that_the_server_says_runs_elsewhere_is_asked_where_its_table_says_so_and_prompts_may_leave(serve):
    server = serve()
    server.api = ollama({"name": "mine:latest", **AWAY})
    tier = OpenAITier("mine", base_url=server.url, zone=Zone.INTERNET)
    outcome = Ladder(tier, reach=Zone.INTERNET).run("hi")
    tier.close()
    assert (outcome.value, outcome.left_machine, server.questions) == ("ok", True, [])


@pytest.mark.usefixtures("asks")
def test_a_model_that_somebody_vouched_for_is_not_sent_the_prompt_against_the_servers_own_word(serve):
    server = serve()
    server.api = ollama({"name": "mine:latest", **AWAY})
    tier = OpenAITier("mine", base_url=server.url, stays_here=True)
    assert Ladder(tier).run("hi").left_machine is False
    tier.close()
    assert server.requests == []


@pytest.mark.parametrize(
    "api",
    [
        {},
        ollama(LOCAL, {"name": "mine:latest"}),
        ollama(LOCAL, {"name": "other:latest", **AWAY}),
        ollama(show={"details": {}}),
        ollama(show=[]),
        {"/api/tags": {"models": "none"}},
        {"/api/tags": ["none"]},
        {"/api/tags": {"models": [None, 3, {"name": None}]}},
    ],
)
@pytest.mark.usefixtures("asks")
def test_a_server_that_says_nothing_of_the_kind_is_asked_once_and_then_sent_the_prompt(serve, api):
    server = serve()
    server.api = api
    tier = OpenAITier("mine", base_url=server.url, api_key=KEY)
    assert text_of(list(tier.stream(call()))) == "ok"
    asked = len(server.questions)
    assert text_of(list(tier.stream(call()))) == "ok"
    tier.close()
    assert 1 <= asked == len(server.questions) <= 2
    assert all("authorization" not in question.headers for question in server.questions)


@pytest.mark.slow
@pytest.mark.usefixtures("asks")
def test_a_server_that_hangs_when_it_is_asked_is_sent_the_prompt_all_the_same(serve, tier_at, monkeypatch):
    monkeypatch.setattr("rung.tiers.openai.ollama._PATIENCE", 0.1)
    server = serve()
    server.api = {"/api/tags": lambda peer: peer.wait()}
    tier = tier_at(server)
    for _ in range(5):
        assert text_of(list(tier.stream(call(deadline=Deadline.after(30))))) == "ok"
    assert tier._questions == 0
    assert len(server.questions) <= 3


@pytest.mark.usefixtures("asks")
def test_a_server_beyond_this_machine_is_asked_nothing(serve, tier_at):
    server = serve()
    list(tier_at(server, zone=Zone.LAN).stream(call()))
    assert (len(server.requests), server.questions) == (1, [])


def test_an_error_that_says_nothing_of_it_counts_as_handed_over():
    assert TierUnavailable("gone").sent is True
