"""What a project file may ask for before anybody has trusted it."""

from __future__ import annotations

import os
import sys

import pytest
from config_files import SMALL, project, put

from rung.config import load, trust
from rung.errors import ConfigError
from rung.types import Hop, Zone

LOCAL = '[[tier]]\nname = "c"\nkind = "openai"\nmodel = "m"\nbase_url = "http://127.0.0.1:8000/v1"\n'
FAR = '[[tier]]\nname = "c"\nkind = "openai"\nmodel = "m"\nbase_url = "https://api.example.com/v1"\n'


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ('reach = "internet"\n' + LOCAL, 'set reach = "internet"'),
        ('paid_after = "any_failure"\n' + LOCAL, 'set paid_after = "any_failure"'),
        ("[budget]\nmoney = 5\n" + LOCAL, "set budget.money = 5"),
        (FAR, "send prompts to api.example.com:443"),
        (LOCAL.replace("127.0.0.1", "10.0.0.7"), "send prompts to 10.0.0.7:8000"),
        (LOCAL + 'zone = "lan"\n', "send prompts to 127.0.0.1:8000"),
        (LOCAL + 'proxy = "http://10.0.0.7:3128"\n', "through 10.0.0.7:3128"),
        (LOCAL + 'api_key = { env = "AWS_SECRET" }\n', "read the environment variable AWS_SECRET"),
        (LOCAL + "stays_here = true\n", "vouch"),
        (SMALL, "use the tier kind 'scripted' of another package"),
    ],
)
def test_an_untrusted_project_is_refused_with_what_it_asks_for_until_it_is_trusted(places, text, asks):
    put(places.user, "[budget]\nmoney = 1\n")
    path = project(places, text, trusted=False)
    with pytest.raises(ConfigError) as caught:
        load(places=places).ladder()
    for word in (str(path), asks, f"rung config trust {path}"):
        assert word in str(caught.value)
    config = load(places=places)
    assert any(asks in ask for ask in config.asks())
    trust(config.project, places)
    assert load(places=places).ladder()
    assert load(places=places).asks() == ()


def test_an_untrusted_project_may_use_this_machine(places):
    project(places, 'reach = "host"\n[budget]\nseconds = 5\nmoney = 0\n' + LOCAL, trusted=False)
    config = load(places=places)
    assert config.ladder().rungs[0].tier.zone == Zone.HOST
    assert config.seconds.value == 5


def test_what_an_untrusted_project_asks_for_is_not_in_force_even_where_nobody_asks_for_a_ladder(places):
    put(places.user, 'reach = "lan"\n[budget]\nmoney = 1\n')
    project(places, 'reach = "internet"\npaid_after = "any_failure"\n[budget]\nmoney = 5\n' + LOCAL, trusted=False)
    config = load(places=places)
    assert (config.reach.value, config.paid_after.value, config.money.value) == (Zone.LAN, "local_answers", 1)


def test_a_reach_that_is_overridden_needs_no_trust(places):
    project(places, 'reach = "internet"\n' + LOCAL, trusted=False)
    assert load(places=places, reach=Zone.HOST).ladder()


def test_a_reach_that_was_given_doesnt_trust_the_hosts_of_a_project(places):
    project(places, FAR, trusted=False)
    with pytest.raises(ConfigError, match=r"api\.example\.com"):
        load(places=places, reach=Zone.INTERNET).ladder()


def test_a_kind_of_another_package_is_not_even_imported_for_an_untrusted_project(places):
    sys.modules.pop("outside_tier", None)
    project(places, SMALL, trusted=False)
    with pytest.raises(ConfigError):
        load(places=places).ladder()
    assert "outside_tier" not in sys.modules


def test_a_trusted_file_that_changes_is_a_stranger_again(places):
    path = project(places, FAR)
    assert load(places=places).ladder()
    put(path, FAR + "# a comment\n")
    with pytest.raises(ConfigError, match="not trusted"):
        load(places=places).ladder()
    put(path, FAR)
    assert load(places=places).ladder()


def test_trust_is_of_a_place_too(places):
    project(places, FAR)
    put(places.working / "rung.toml", FAR)
    with pytest.raises(ConfigError, match="not trusted"):
        load(places=places).ladder()


def test_naming_a_file_trusts_it(places):
    path = project(places, FAR, trusted=False)
    assert load(path, places=places).ladder()


def test_a_damaged_record_trusts_nothing(places):
    project(places, FAR)
    for content in ("{", "[]", '{"a": 1}'):
        places.trusted.write_text(content)
        with pytest.raises(ConfigError, match="not trusted"):
            load(places=places).ladder()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_used_untrusted(places):
    path = project(places, LOCAL, trusted=False)
    os.chown(path, 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to another user"):
        load(places=places).ladder()


def _hop(tier: str) -> Hop:
    return Hop(tier, Zone.INTERNET, "api.example.com:443", None, 10, sends_answer=False, reasons=())


def test_consent_comes_from_the_given_reach_the_file_or_a_person(places):
    path = put(
        places.home / "named.toml",
        'reach = "internet"\n' + SMALL + SMALL.replace("small", "cloud") + 'consent = "always"\n',
    )
    asked: list[str] = []

    def person(hop):
        asked.append(hop.tier)
        return False

    consent = load(path, places=places).ladder(consent=person)._consent
    assert (consent(_hop("cloud")), consent(_hop("small")), asked) == (True, False, ["small"])
    assert (consent.origin(_hop("cloud")), consent.origin(_hop("small"))) == ("the configuration", "person")
    nobody = load(path, places=places).ladder()._consent
    assert (nobody(_hop("cloud")), nobody(_hop("small"))) == (True, False)
    given = load(path, places=places, reach=Zone.INTERNET).ladder(consent=person)._consent
    assert (given(_hop("small")), given.origin(_hop("small"))) == (True, "the given reach")
    assert asked == ["small"]


@pytest.mark.parametrize("damage", ["{", "[]", '{"a": 1}', "{}{}", None])
def test_a_damaged_record_is_not_overwritten(places, damage):
    project(places, FAR, trusted=False)
    places.trusted.parent.mkdir(parents=True, exist_ok=True)
    if damage is None:
        places.trusted.symlink_to("nowhere")
    else:
        places.trusted.write_text(damage)
    with pytest.raises(ConfigError, match=r"the record of trusted files .*move it away"):
        trust(load(places=places).project, places)
    assert places.trusted.is_symlink() if damage is None else places.trusted.read_text() == damage
