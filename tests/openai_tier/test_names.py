"""A host name is judged by the addresses that are connected to."""

from __future__ import annotations

import socket

import pytest

from openai_tier.conftest import call, text_of
from rung import Ladder, MemoryPurse, Price, TierUnavailable, Zone
from rung.errors import ConfigError
from rung.tiers.openai import OpenAITier, from_config


@pytest.fixture
def names(monkeypatch):
    """Answers each look-up with the next of these lists of addresses, and the last from then on."""

    def set_up(*answers):
        left = list(answers)

        def look_up(host, port, **_kwargs):
            addresses = left.pop(0) if len(left) > 1 else left[0]
            return [(2, 1, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr("socket.getaddrinfo", look_up)

    return set_up


@pytest.mark.parametrize(
    ("leads_to", "address", "zone"),
    [
        (None, "127.0.0.1", "host"),
        (None, "0.0.0.0", "host"),
        (None, "::ffff:127.0.0.1", "host"),
        (None, "192.168.1.7", "lan"),
        (None, "169.254.169.254", "lan"),
        (None, "fd00::1", "lan"),
        (Zone.LAN, "192.0.2.1", "internet"),
        (Zone.LAN, "127.0.0.1", "host"),
        (Zone.HOST, "192.168.1.7", "lan"),
    ],
)
def test_a_name_that_leads_to_another_zone_gets_nothing(serve, tier_at, names, leads_to, address, zone):
    names([address])
    server = serve()
    purse = MemoryPurse(10)
    tier = tier_at(
        server, base_url=f"http://api.test:{server.port}/v1", leads_to=leads_to, api_key="sk-1", price=Price(1, 1)
    )
    (attempt,) = Ladder(tier, reach=Zone.INTERNET, purse=purse).run("hi").attempts
    assert attempt.reason == "TierUnavailable"
    assert f"leads to the zone {zone}" in attempt.error.message
    assert f'leads_to = "{zone}"' in attempt.error.hint
    assert (server.connections, purse.spent) == (0, 0)


def test_a_name_that_changes_where_it_leads_gets_nothing_from_then_on(serve, tier_at, names):
    names(["127.0.0.1"], ["192.168.1.7"], ["127.0.0.1", "192.168.1.7"])
    server = serve()
    tier = tier_at(server, base_url=f"http://api.test:{server.port}/v1", leads_to=Zone.HOST)
    assert text_of(list(tier.stream(call()))) == "ok"
    tier.close()  # a connection that is open needs no look-up
    with pytest.raises(TierUnavailable, match="leads to the zone lan"):
        list(tier.stream(call()))
    assert text_of(list(tier.stream(call()))) == "ok"
    assert server.connections == 2


@pytest.mark.parametrize(("address", "zone"), [("127.0.0.1", "host"), ("192.168.1.7", "lan")])
def test_a_proxys_name_that_leads_to_another_zone_gets_nothing_either(serve, tier_at, names, address, zone):
    names([address])
    proxy, server = serve(), serve()
    tier = tier_at(server, proxy=f"http://proxy.test:{proxy.port}", api_key="sk-1")
    with pytest.raises(TierUnavailable, match=rf"proxy\.test:\d+ leads to the zone {zone}"):
        list(tier.stream(call()))
    assert (proxy.connections, server.connections) == (0, 0)


def test_a_proxys_name_is_looked_up_once_a_call_and_judged_each_time(serve, tier_at, names):
    names(["127.0.0.99", "127.0.0.1"], ["192.168.1.7"])
    proxy, server = serve(), serve()
    tier = tier_at(server, proxy=f"http://proxy.test:{proxy.port}", leads_to=Zone.HOST)
    assert text_of(list(tier.stream(call()))) == "ok"
    assert proxy.requests[0].line.startswith(f"POST {server.url}/chat/completions ")
    tier.close()  # a connection that is open needs no look-up
    with pytest.raises(TierUnavailable, match="leads to the zone lan"):
        list(tier.stream(call()))
    assert (proxy.connections, server.connections) == (1, 0)


def test_a_proxy_that_is_not_there_is_named_and_not_the_endpoint(serve, tier_at, monkeypatch, names):
    def unknown(*_args, **_kwargs):
        raise socket.gaierror

    tier = tier_at(serve(), proxy="http://proxy.test:9", leads_to=Zone.HOST, retries=0)
    names(["127.0.0.99"])
    with pytest.raises(TierUnavailable, match=r"nobody answers at proxy.test:9; .*correct proxy = "):
        list(tier.stream(call()))
    monkeypatch.setattr("socket.getaddrinfo", unknown)
    with pytest.raises(TierUnavailable, match=r"the name of proxy.test:9 has no address; check proxy"):
        list(tier.stream(call()))


def test_where_a_name_leads_is_no_say_on_how_far_a_prompt_travels():
    tier = from_config("box", {"model": "m", "base_url": "http://gpu-box:8000/v1", "leads_to": "lan"})
    assert tier.zone == Zone.INTERNET


@pytest.mark.parametrize(
    ("url", "proxy"),
    [("http://192.168.1.7/v1", None), ("http://localhost:1/v1", None), ("http://api.test/v1", "http://192.168.1.7:1")],
)
def test_an_address_leads_nowhere_else(url, proxy):
    with pytest.raises(ConfigError, match="leads_to is for a host name"):
        OpenAITier("m", base_url=url, proxy=proxy, leads_to=Zone.LAN)


def test_a_proxy_with_tls_of_its_own_is_given_by_its_address():
    with pytest.raises(ConfigError, match="proxy is an https URL with a host name; give its address"):
        OpenAITier("m", proxy="https://proxy.test:3129")
