"""Where a prompt goes, what it is said to have cost, and whether it left: the edges of each.

| kind | tests |
|---|---|
| 26: a host that only looks like this machine | `test_a_name_that_only_looks_...`, `test_hosts.py` |
| 26: who takes the connection is judged | `test_who_takes_the_connection_...`, `test_a_peer_...` |
| 26: the hosts of a tier are values | `test_a_tier_names_the_hosts_...`, `test_config_edges.py` |
| 29: a key in the wrong place is not repeated | `test_a_key_in_the_place_of_...`, `test_hiding.py` |
| 30: tokens that can't be right are unknown | `test_tokens_that_cant_be_right_...`, `test_ledger_budgets.py` |
| 32: nothing was sent, so nothing left | `test_nothing_left_...`, `test_a_call_that_nobody_waits_for_...` |
| 32: a model that runs elsewhere, by its server's word | `test_a_model_that_the_server_says_...` |
"""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from openai_tier.conftest import call, notes_of, text_of
from openai_tier.server import chat, cut, events, piece, status
from rung import Ladder, Price, Usage, Zone
from rung.errors import Cancelled, ConfigError, Offline, TierTimeout, TierUnavailable
from rung.limits import Cancel, Deadline
from rung.tier import Connects
from rung.tiers.openai import OpenAITier, from_config
from rung.tiers.openai.exchange import Exchange

LOOK_ALIKES = ("localhost.", "LOCALHOST.", "127.0.0.1.", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "ip6-localhost")


@pytest.fixture
def nobody_looks_up(monkeypatch):
    """Fails the test where a name is looked up."""
    asked = []
    monkeypatch.setattr("socket.getaddrinfo", lambda host, *_args, **_kwargs: asked.append(host) or [])
    yield
    assert asked == []


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize("host", LOOK_ALIKES)
@pytest.mark.usefixtures("nobody_looks_up")
def test_a_name_that_only_looks_like_this_machine_is_a_foreign_one_and_is_sent_nothing(
    serve, tier_at, monkeypatch, host
):
    server = serve()
    tier = tier_at(server, base_url=f"http://{host}:{server.port}/v1")
    assert (tier.zone, tier.stays_here) == (Zone.INTERNET, False)
    outcome = Ladder(tier).run("hi")
    assert (outcome.reason, outcome.left_machine) == ("beyond_reach", False)
    monkeypatch.setenv("RUNG_OFFLINE", "1")
    assert Ladder(tier, reach=Zone.INTERNET).run("hi").reason == "beyond_reach"
    with pytest.raises(Offline) as caught:
        list(tier.stream(call()))
    assert (caught.value.sent, server.connections) == (False, 0)


@pytest.mark.parametrize("host", LOOK_ALIKES)
def test_a_proxy_that_only_looks_like_this_machine_is_a_foreign_one(host):
    tier = OpenAITier("m", base_url="http://127.0.0.1:1/v1", proxy=f"http://{host}:3128")
    assert tier.zone == Zone.INTERNET


@pytest.mark.parametrize("host", ["localhost.", "127.1"])
def test_a_look_alike_that_leads_to_this_machine_is_sent_nothing_even_where_prompts_may_leave(
    serve, tier_at, monkeypatch, host
):
    monkeypatch.setattr("socket.getaddrinfo", lambda _host, port, **_: [(2, 1, 6, "", ("127.0.0.1", port))])
    server = serve()
    outcome = Ladder(tier_at(server, base_url=f"http://{host}:{server.port}/v1"), reach=Zone.INTERNET).run("hi")
    assert "leads to the zone host and not to internet" in str(outcome.attempts[0].error)
    assert (outcome.left_machine, server.connections) == (False, 0)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1@evil.example/v1",
        "http://evil.example\\@127.0.0.1/v1",
        "http://127.0.0.1\\.evil.example/v1",
        "http://local\thost:8111/v1",
        "http://localhost\n:8111/v1",
        " http://localhost:8111/v1",
        "http://localhost%2eevil.example/v1",
        "http://[::1]evil.example:80/v1",
        "http://[::1%lo]/v1",
        "http://[localhost]/v1",
        "http://localhost:0/v1",
        "http://localhost:65536/v1",
        "http://localhost:000080/v1",
        "http://localhost:+80/v1",
        "http://localhost..:80/v1",
        "http://ｌocalhost/v1",
        "http://localhost\x00.evil.example/v1",
        "http://localhost/v1?x#@evil.example",
    ],
)
@pytest.mark.parametrize("setting", ["base_url", "proxy"])
def test_a_url_in_which_two_readers_see_two_hosts_is_refused_and_not_repeated(url, setting):
    with pytest.raises(ConfigError, match=setting) as caught:
        OpenAITier("m", **{setting: url})
    assert "evil" not in str(caught.value)


def test_a_tier_names_the_hosts_that_it_connects_to():
    tier = OpenAITier("m", base_url="https://API.example.com.:8443/v1", proxy="http://[::FFFF:10.0.0.7]:3128")
    assert isinstance(tier, Connects)
    assert tier.hosts == {"api.example.com", "10.0.0.7"}
    assert tier.destination == "api.example.com:8443 through 10.0.0.7:3128"


def lies_about_its_peer(monkeypatch, peer):
    """Makes every connection seem to have been taken by `peer`: nothing else can be reached from a test."""
    import anyio._backends._asyncio as backend

    plain = backend.SocketStream._raw_socket.fget if hasattr(backend.SocketStream._raw_socket, "fget") else None
    assert plain is not None

    class Seeming:
        def __init__(self, raw):
            self._raw = raw

        def getpeername(self):
            return peer

        def __getattr__(self, name):
            return getattr(self._raw, name)

    monkeypatch.setattr(backend.SocketStream, "_raw_socket", property(lambda stream: Seeming(plain(stream))))


@pytest.mark.parametrize("through_a_proxy", [False, True])
@pytest.mark.parametrize("peer", [("192.0.2.7", 80), ("10.0.0.7", 80), ("2001:db8::7", 80, 0, 0)])
def test_who_takes_the_connection_is_sent_nothing_where_it_is_farther_away_than_the_tier_says(
    serve, tier_at, monkeypatch, peer, through_a_proxy
):
    server = serve()
    settings = {"proxy": f"http://127.0.0.1:{server.port}"} if through_a_proxy else {}
    tier = tier_at(server, **settings)
    lies_about_its_peer(monkeypatch, peer)
    outcome = Ladder(tier).run("hi")
    assert "who took the connection is in the zone" in str(outcome.attempts[0].error)
    assert "nothing was sent" in str(outcome.attempts[0].error)
    assert (outcome.left_machine, server.requests, server.questions) == (False, [], [])


class Stream:
    """A connection that tells this of its peer."""

    def __init__(self, peer):
        self.peer = peer
        self.closed = False

    def get_extra_info(self, _name):
        return self.peer

    async def aclose(self):
        self.closed = True


@pytest.mark.parametrize(
    ("zone", "peer", "fits"),
    [
        (Zone.HOST, ("127.0.0.1", 80), True),
        (Zone.HOST, ("127.9.9.9", 80), True),
        (Zone.HOST, ("::1", 80, 0, 0), True),
        (Zone.HOST, ("::ffff:127.0.0.1", 80, 0, 0), True),
        (Zone.HOST, ("192.168.1.2", 80), False),
        (Zone.HOST, ("8.8.8.8", 80), False),
        (Zone.HOST, None, False),
        (Zone.HOST, "/run/some.sock", False),
        (Zone.LAN, ("192.168.1.2", 80), True),
        (Zone.LAN, ("127.0.0.1", 80), True),
        (Zone.LAN, ("8.8.8.8", 80), False),
        (Zone.LAN, None, False),
        (Zone.INTERNET, ("8.8.8.8", 80), True),
    ],
)
def test_a_peer_that_nobody_can_tell_or_that_is_too_far_away_is_hung_up_on(zone, peer, fits):
    stream, exchange = Stream(peer), Exchange(None, zone=zone)
    connected = exchange.trace("connection.connect_tcp.complete", {"return_value": stream})
    if fits:
        asyncio.run(connected)
    else:
        with pytest.raises(TierUnavailable, match="nothing was sent"):
            asyncio.run(connected)
    assert (exchange.connected, stream.closed) == (fits, not fits)


KEY = "sk-live-CANARY123"


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": {"env": KEY}},
        {"api_key": {"env": KEY.replace("-", "_")}},
        {"api_key": {"env": "AKIACANARYCANARY1234"}},
        {"api_key": KEY},
        {"api_key": {KEY: 1}},
        {"base_url": f"http://user:{KEY}@127.0.0.1/v1"},
        {"base_url": f"http://127.0.0.1/v1?api_key={KEY}"},
        {"proxy": f"http://user:{KEY}@127.0.0.1:3128"},
        {"ca_bundle": KEY},
        {"zone": KEY},
        {"leads_to": KEY},
        {"constraint": KEY},
        {"token_limit": KEY},
        {"price": KEY},
        {"max_tokens": KEY},
        {"stall_seconds": KEY},
        {KEY: 1},
    ],
)
def test_a_key_in_the_place_of_any_setting_is_not_repeated(settings):
    with pytest.raises(ConfigError) as caught:
        from_config("cloud", {"model": "m", "base_url": "http://127.0.0.1:1/v1", **settings})
    shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert "CANARY" not in shown


def test_a_key_in_the_place_of_a_models_name_is_in_no_error_and_no_repr(serve, tier_at):
    tier = OpenAITier(KEY, base_url=serve(status(404)).url, retries=0)
    with pytest.raises(TierUnavailable) as caught:
        list(tier.stream(call()))
    tier.close()
    assert "CANARY" not in f"{caught.value} {tier!r}"


def counted(*reports):
    """An answer of some words, and what the endpoint says of its tokens, chunk by chunk."""
    return events(piece("a b c"), piece(finish="stop"), *({"choices": [], "usage": usage} for usage in reports))


def tokens(prompt, answer):
    return {"prompt_tokens": prompt, "completion_tokens": answer}


@pytest.mark.parametrize(
    ("report", "known"),
    [
        (tokens(0, 0), Usage(None, None)),
        (tokens(0, 40), Usage(None, 40)),
        (tokens(7, 0), Usage(7, None)),
        (tokens(-7, 40), Usage(None, 40)),
        (tokens(True, 40), Usage(None, 40)),
        (tokens(7.0, 40), Usage(None, 40)),
        (tokens("7", "40"), Usage(None, None)),
        (tokens([7], {}), Usage(None, None)),
        (tokens(2**62, 2**62), Usage(None, None)),
        (tokens(7, 10**9), Usage(7, None)),
        (tokens(10**400, 40), Usage(None, 40)),
        ({"prompt_tokens": 7}, Usage(7, None)),
        ("7", Usage(None, None)),
        ([7, 40], Usage(None, None)),
        (7, Usage(None, None)),
    ],
)
def test_tokens_that_cant_be_right_are_unknown_so_the_bound_counts_and_a_note_says_so(serve, tier_at, report, known):
    tier = tier_at(serve(counted(report)), zone=Zone.INTERNET, price=Price(1, 1))
    outcome = Ladder(tier, reach=Zone.INTERNET).run("hi")
    assert (outcome.value, outcome.usage, outcome.cost) == ("a b c", known, None)
    assert "incomplete or can't be right" in outcome.attempts[0].notes[0]
    assert "bound of $" in outcome.attempts[0].notes[1]


@pytest.mark.parametrize(
    ("reports", "known"),
    [
        ((tokens(7, 0), tokens(7, 3)), Usage(7, 3)),
        ((tokens(7, 1), None, {}, tokens(7, 3), {}), Usage(7, 3)),
        ((tokens(0, 0), tokens(7, 3)), Usage(7, 3)),
        ((tokens(7, 3), tokens(0, 0)), Usage(None, None)),
        ((tokens(1, 1), tokens(2**62, 2**62)), Usage(None, None)),
        ((), Usage(None, None)),
    ],
)
def test_the_last_report_of_tokens_holds(serve, tier_at, reports, known):
    deltas = list(tier_at(serve(counted(*reports))).stream(call()))
    assert deltas[-1].usage == known
    assert bool(notes_of(deltas)) == (bool(reports) and None in (known.input_tokens, known.output_tokens))


def test_an_answer_of_nothing_may_take_no_tokens(serve, tier_at):
    server = serve(events(piece(finish="stop"), {"choices": [], "usage": tokens(7, 0)}))
    assert list(tier_at(server).stream(call()))[-1].usage == Usage(7, 0)


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


def test_a_model_that_the_server_says_runs_elsewhere_is_asked_where_its_table_says_so_and_prompts_may_leave(serve):
    server = serve()
    server.api = ollama({"name": "mine:latest", **AWAY})
    tier = OpenAITier("mine", base_url=server.url, zone=Zone.INTERNET)
    outcome = Ladder(tier, reach=Zone.INTERNET).run("hi")
    tier.close()
    assert (outcome.value, outcome.left_machine, server.questions) == ("ok", True, [])


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


def test_a_server_that_hangs_when_it_is_asked_is_sent_the_prompt_all_the_same(serve, tier_at, monkeypatch):
    monkeypatch.setattr("rung.tiers.openai.ollama._PATIENCE", 0.1)
    server = serve()
    server.api = {"/api/tags": lambda peer: peer.wait()}
    tier = tier_at(server)
    for _ in range(5):
        assert text_of(list(tier.stream(call(deadline=Deadline.after(30))))) == "ok"
    assert tier._questions == 0
    assert len(server.questions) <= 3


def test_a_server_beyond_this_machine_is_asked_nothing(serve, tier_at):
    server = serve()
    list(tier_at(server, zone=Zone.LAN).stream(call()))
    assert (len(server.requests), server.questions) == (1, [])


def test_an_error_that_says_nothing_of_it_counts_as_handed_over():
    assert TierUnavailable("gone").sent is True
