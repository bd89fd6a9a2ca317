"""Where a prompt and a key go, and where they never do."""

import logging
import traceback

import pytest

from helpers.each import each
from openai_tier.conftest import call, text_of
from openai_tier.server import chat, cut, events, piece, raw, reset, slow_headers, status
from rung.errors import ConfigError, Offline, RungError, TierError, TierUnavailable
from rung.limits import Deadline
from rung.tier import Quotes, Travels
from rung.tiers.openai import Env, OpenAITier
from rung.types import Price, Zone

KEY, PROMPT = "sk-CANARYKEY", "CANARYPROMPT"


@each(
    ("url", "model", "zone"),
    [
        ("http://127.0.0.1:11434/v1", "qwen", Zone.HOST),
        ("http://127.8.9.1:80", "qwen", Zone.HOST),
        ("http://[::1]:8000/v1", "qwen", Zone.HOST),
        ("http://[::ffff:127.0.0.1]:8000/v1", "qwen", Zone.HOST),
        ("http://localhost:1234/v1", "qwen", Zone.HOST),
        ("http://LOCALHOST:1234/v1", "qwen", Zone.HOST),
        ("http://localhost:11434/v1", "gpt-oss:120b-cloud", Zone.INTERNET),
        ("http://localhost:11434/v1", "minimax-m2:cloud", Zone.INTERNET),
        ("http://192.168.1.5:8000/v1", "qwen", Zone.LAN),
        ("http://10.0.0.1/v1", "qwen", Zone.LAN),
        ("http://[fd00::1]:8000/v1", "qwen", Zone.LAN),
        ("http://192.168.1.5:8000/v1", "x:cloud", Zone.INTERNET),
        ("http://172.32.0.1/v1", "qwen", Zone.INTERNET),
        ("http://[::ffff:8.8.8.8]/v1", "qwen", Zone.INTERNET),
        ("http://127.1/v1", "qwen", Zone.INTERNET),
        ("http://2130706433/v1", "qwen", Zone.INTERNET),
        ("http://localhost.example.com/v1", "qwen", Zone.INTERNET),
        ("http://gpu-box:8000/v1", "qwen", Zone.INTERNET),
        ("https://api.openai.com/v1", "gpt", Zone.INTERNET),
    ],
)
def test_the_zone_is_that_of_the_address_and_a_name_counts_as_internet(url, model, zone):
    assert OpenAITier(model, base_url=url).zone == zone


def test_the_zone_setting_raises_the_zone_and_never_lowers_it():
    local, lan = "http://127.0.0.1:1/v1", "http://10.0.0.1/v1"
    assert OpenAITier("m", base_url=local, zone=Zone.INTERNET).zone == Zone.INTERNET
    with pytest.raises(ConfigError, match="nearer"):
        OpenAITier("m", base_url=lan, zone=Zone.HOST)
    with pytest.raises(ConfigError, match="nearer"):
        OpenAITier("m:cloud", base_url=local, zone=Zone.HOST)


def test_what_a_loopback_endpoint_does_with_a_prompt_is_unknown_until_somebody_vouches_for_it():
    local = "http://127.0.0.1:4000/v1"
    assert OpenAITier("m", base_url=local).stays_here is None
    assert OpenAITier("m", base_url=local, stays_here=True).stays_here is True
    assert OpenAITier("m", base_url="http://10.0.0.1/v1").stays_here is False
    assert OpenAITier("m:cloud", base_url=local).stays_here is False
    with pytest.raises(ConfigError, match="stays_here"):
        OpenAITier("m", base_url="http://10.0.0.1/v1", stays_here=True)
    tier = OpenAITier("m", base_url=local)
    assert isinstance(tier, Travels)
    assert isinstance(tier, Quotes)
    assert tier.destination == "127.0.0.1:4000"


def test_a_proxy_counts_for_the_zone_and_is_named():
    tier = OpenAITier("m", base_url="http://127.0.0.1:1/v1", proxy="http://proxy.example.com:3128")
    assert tier.zone == Zone.INTERNET
    assert tier.destination == "127.0.0.1:1 through proxy.example.com:3128"


@each(
    "url",
    [
        "http://user:CANARYKEY@127.0.0.1/v1",
        "ftp://127.0.0.1/v1",
        "127.0.0.1:8000",
        "http:///v1",
        "http://127.0.0.1:99999/v1",
        "http://exa mple.com/v1",
        "http://127.0.0.1\\@example.com/v1",
        "http://127.0.0.1/v1?key=CANARYKEY",
        "http://[::1/v1",
        "",
    ],
)
def test_a_url_that_two_readers_could_read_two_ways_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigError) as caught:
        OpenAITier("m", base_url=url)
    assert "CANARYKEY" not in str(caught.value)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_nowhere_and_named(serve, tier_at, code):
    elsewhere = serve()
    server = serve(status(code, {"location": f"http://localhost:{elsewhere.port}/v1/chat/completions"}))
    with pytest.raises(TierError, match="redirects to localhost"):
        list(tier_at(server, api_key=KEY).stream(call(PROMPT)))
    assert (len(server.requests), elsewhere.connections) == (1, 0)


def test_proxies_of_the_environment_see_nothing(serve, tier_at, monkeypatch):
    proxy, server = serve(), serve()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
    assert text_of(list(tier_at(server).stream(call()))) == "ok"
    assert proxy.connections == 0


def test_the_proxy_of_the_settings_is_used(serve, tier_at):
    proxy, server = serve(chat("through")), serve()
    assert text_of(list(tier_at(server, proxy=f"http://127.0.0.1:{proxy.port}").stream(call()))) == "through"
    assert server.connections == 0
    assert proxy.requests[0].line.startswith(f"POST {server.url}/chat/completions ")


def test_nothing_of_the_environment_gets_into_a_request(serve, tier_at, monkeypatch):
    elsewhere, server = serve(), serve()
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", "CANARYENV")
    monkeypatch.setenv("OPENAI_BASE_URL", elsewhere.url)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: CANARYENV\nX-Extra: CANARYENV")
    list(tier_at(server).stream(call()))
    list(tier_at(server, api_key=KEY).stream(call()))
    without, with_key = server.requests
    assert elsewhere.connections == 0
    assert "CANARYENV" not in str(server.requests)
    assert sorted(without.headers) == [
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    ]
    assert with_key.headers["authorization"] == f"Bearer {KEY}"


def test_cookies_are_not_given_back(serve, tier_at):
    def reply(peer):
        peer.head(headers={"set-cookie": "who=you"})
        for chunk in (piece("a", finish="stop"), "[DONE]"):
            peer.event(chunk)
        peer.end()

    server = serve(reply)
    tier = tier_at(server)
    list(tier.stream(call()))
    list(tier.stream(call()))
    assert "cookie" not in server.requests[1].headers


def test_localhost_is_this_machine_without_asking_anybody(serve, tier_at, monkeypatch):
    def look_up(*_args, **_kwargs):
        raise AssertionError("a name was looked up")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    server = serve()
    tier = tier_at(server, base_url=f"http://localhost:{server.port}/v1")
    assert text_of(list(tier.stream(call()))) == "ok"
    assert server.requests[0].headers["host"] == f"localhost:{server.port}"


def test_a_name_is_looked_up_when_it_is_called_and_its_addresses_are_tried_in_turn(serve, tier_at, monkeypatch):
    asked = []

    def look_up(host, port, **_kwargs):
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in ("127.0.0.99", "127.0.0.1")]

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    server = serve()
    tier = tier_at(server, base_url=f"http://model.test:{server.port}/v1", leads_to=Zone.HOST)
    tier.quote(call())
    assert asked == []
    assert text_of(list(tier.stream(call()))) == "ok"
    assert asked == ["model.test"]
    assert server.requests[0].headers["host"] == f"model.test:{server.port}"


def test_the_environment_can_forbid_a_tier_beyond_this_machine(serve, tier_at, monkeypatch):
    server = serve()
    monkeypatch.setenv("RUNG_OFFLINE", "1")
    assert text_of(list(tier_at(server).stream(call()))) == "ok"
    with pytest.raises(Offline):
        list(tier_at(server, zone=Zone.INTERNET).stream(call()))
    assert server.connections == 1


def test_a_guarded_process_says_offline_and_not_that_nobody_answers(tier_at, serve):
    tier = tier_at(serve(), base_url="http://192.0.2.1:9/v1")
    with pytest.raises(Offline):
        list(tier.stream(call(deadline=Deadline.after(5))))


ECHO = {"message": f"{PROMPT} {KEY}", "code": PROMPT, "type": KEY, "param": PROMPT}


@pytest.mark.parametrize(
    "fault",
    [
        *(status(code, {"x-echo": PROMPT}, ECHO) for code in (400, 401, 404, 409, 413, 422, 429, 500, 503)),
        status(302, {"location": f"http://{PROMPT} {KEY}/"}),
        events({"error": ECHO}),
        events(f"{{{PROMPT}"),
        events({"choices": [{"delta": {"content": {PROMPT: KEY}}}]}),
        cut(piece(PROMPT)),
        raw(f"HTTP/1.1 {PROMPT}\r\n\r\n".encode()),
        raw(f"HTTP/1.1 500 {PROMPT}\r\n\r\n{PROMPT}".encode()),
        reset,
        slow_headers,
    ],
)
def test_neither_key_nor_prompt_is_in_any_error_traceback_log_or_repr(serve, tier_at, caplog, fault):
    caplog.set_level(logging.DEBUG)
    tier = tier_at(serve(fault), api_key=KEY, retries=0, price=Price(1, 1))
    with pytest.raises(RungError) as caught:
        list(tier.stream(call(PROMPT, deadline=Deadline.after(1.0))))
    error = caught.value
    seen = "".join(traceback.format_exception(error)) + str(error) + repr(error) + repr(vars(error)) + repr(tier)
    assert KEY not in seen
    assert PROMPT not in seen
    assert error.__cause__ is None
    assert error.__context__ is None
    logged = [record.getMessage() for record in caplog.records]
    assert any("connect_tcp" in line for line in logged)
    assert not [line for line in logged if KEY in line or PROMPT in line]


@pytest.mark.parametrize("key", ["sk-CANARYKEY\n", "sk-CANARY KEY", "sk-CANARYKEYé", ""])
def test_a_key_that_no_header_can_carry_is_named_by_its_variable_only(serve, tier_at, monkeypatch, key):
    monkeypatch.setenv("SCRIPTED_KEY", key)
    server = serve()
    with pytest.raises(TierUnavailable, match="SCRIPTED_KEY") as caught:
        list(tier_at(server, api_key=Env("SCRIPTED_KEY")).stream(call()))
    assert "CANARY" not in str(caught.value)
    assert server.connections == 0


def test_a_key_in_the_place_of_its_variables_name_is_not_repeated():
    with pytest.raises(ConfigError) as caught:
        Env("sk-CANARYKEY")
    assert "CANARYKEY" not in str(caught.value)
