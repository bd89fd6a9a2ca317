"""A host name is judged by the addresses that are connected to."""

from __future__ import annotations

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
    assert f'leads_to = "{zone}"' in attempt.error.mend
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


def test_where_a_name_leads_is_no_say_on_how_far_a_prompt_travels():
    tier = from_config("box", {"model": "m", "base_url": "http://gpu-box:8000/v1", "leads_to": "lan"})
    assert tier.zone == Zone.INTERNET


@pytest.mark.parametrize("url", ["http://192.168.1.7/v1", "http://localhost:1/v1"])
def test_an_address_leads_nowhere_else(url):
    with pytest.raises(ConfigError, match="leads_to is for a host name"):
        OpenAITier("m", base_url=url, leads_to=Zone.LAN)
