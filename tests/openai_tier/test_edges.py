"""Where a prompt goes, what it is said to have cost, and whether it left: the edges of each.

| kind | tests |
|---|---|
| 26: a host that only looks like this machine | `test_a_name_that_only_looks_...`, `test_hosts.py` |
| 26: who takes the connection is judged | `test_who_takes_the_connection_...`, `test_a_peer_...` |
| 26: the hosts of a tier are values | `test_a_tier_names_the_hosts_...`, `test_config_edges.py` |
| 29: a key in the wrong place is not repeated | `test_a_key_in_the_place_of_...`, `test_hiding.py` |
| 30: tokens that can't be right are unknown | `test_tokens_that_cant_be_right_...`, `test_ledger_budgets.py` |
| 32: what has left, and what stays | `test_left.py` |
"""

from __future__ import annotations

import asyncio

import pytest

from helpers.each import each
from openai_tier.conftest import call, notes_of
from openai_tier.server import events, piece, status
from rung import Ladder, Price, Usage, Zone
from rung.errors import ConfigError, Offline, TierUnavailable
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


@each("host", LOOK_ALIKES)
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


@each(
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
@each("setting", ["base_url", "proxy"])
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


@each(
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


@each(
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
