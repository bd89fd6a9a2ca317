"""Which value is in force, and where it came from."""

from __future__ import annotations

from decimal import Decimal

import pytest
from config_files import SMALL, project, put

import rung
from rung.config import Places, farthest, load
from rung.errors import ConfigError, TierUnavailable
from rung.types import Zone


def test_without_any_file_everything_is_a_default(places):
    config = load(places=places)
    assert (config.reach.value, config.paid_after.value, config.money.value) == (Zone.HOST, "local_answers", None)
    assert config.reach.origin.source == "default"


def test_option_beats_environment_beats_project_beats_user(places, monkeypatch):
    put(places.user, 'reach = "internet"\n[budget]\nseconds = 1\ntokens = 2\n')
    assert (load(places=places).reach.value, load(places=places).reach.origin.source) == (Zone.INTERNET, "user file")
    project(places, 'reach = "internet"\n[budget]\nseconds = 3\n')
    config = load(places=places)
    assert (config.reach.origin.source, config.seconds.value, config.tokens.value) == ("project file", 3, 2)
    assert (config.seconds.origin.source, config.tokens.origin.source) == ("project file", "user file")
    monkeypatch.setenv("RUNG_REACH", "lan")
    assert (load(places=places).reach.value, load(places=places).reach.origin.where) == (Zone.LAN, "RUNG_REACH")
    config = load(places=places, reach=Zone.INTERNET, seconds=9)
    assert (config.reach.value, config.reach.origin.source, config.seconds.value) == (Zone.INTERNET, "option", 9)


def test_the_environment_only_tightens(places, monkeypatch):
    monkeypatch.setenv("RUNG_REACH", "internet")
    config = load(places=places)
    assert config.reach.value == Zone.HOST
    assert "no effect" in config.notes[0]


def test_offline_holds_everything_to_this_machine(places, monkeypatch):
    put(places.user, 'reach = "internet"\n')
    monkeypatch.setenv("RUNG_OFFLINE", "1")
    config = load(places=places, reach=Zone.INTERNET)
    assert (config.reach.value, config.reach.origin.where) == (Zone.HOST, "RUNG_OFFLINE")
    assert "allows no more" in config.notes[0]


def test_the_projects_tiers_replace_the_users(places):
    put(places.user, SMALL.replace("small", "mine") + SMALL.replace("small", "other"))
    project(places, SMALL)
    assert [t.rung.name for t in load(places=places).tiers.value] == ["small"]


def test_a_named_file_stands_alone(places):
    put(places.user, 'reach = "internet"\n')
    project(places, 'paid_after = "any_failure"\n')
    path = put(places.home / "named.toml", SMALL)
    config = load(path, places=places)
    assert (config.reach.value, config.paid_after.value) == (Zone.HOST, "local_answers")


@pytest.mark.parametrize("end", ["git", "home"])
def test_the_search_for_a_project_ends_at_the_repository_and_at_home(places, end):
    above = put(places.home.parent / "rung.toml", SMALL)
    if end == "git":
        above = put(places.home / "rung.toml", SMALL)
        (places.working.parent / ".git").mkdir()
    assert places.project() is None
    assert above.exists()


def test_the_users_own_file_is_no_project_file(places):
    put(places.user, 'reach = "internet"\n')
    inside = Places(places.user.parent, places.home, places.user, places.trusted, places.policy)
    assert load(places=inside).reach.origin.source == "user file"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("reech = 'host'", "did you mean 'reach'?"),
        ("[budget]\nmony = 1", "did you mean 'money'?"),
        ("reach = 'moon'", "reach = 'moon' is not a valid choice; say host, lan or internet"),
        ("[budget]\nmoney = nan", "budget.money"),
        ("[budget]\nseconds = -1", "budget.seconds"),
        ("reach = ", "not valid TOML"),
        ("[tier]\nname = 'a'", "write [[tier]]"),
        ("[[tier]]\nkind = 'llama'", "'name' is missing"),
        ("[[tier]]\nname = 'a'", "'kind' is missing"),
        (SMALL + SMALL, "two tiers are called 'small'"),
        (SMALL + "repairs = -1", "repairs"),
        (SMALL + "min_confidence = 2", "min_confidence"),
        (SMALL + "max_cost_usd = nan", "max_cost_usd"),
        (SMALL + "consent = 'yes'", "consent"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_it_and_what_is_right(places, text, says):
    path = put(places.home / "named.toml", text)
    with pytest.raises(ConfigError) as caught:
        load(path, places=places)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SMALL.replace("scripted", "scriptd"), "did you mean 'scripted'?"),
        (SMALL + "scipt = 1", "did you mean 'script'?"),
        (SMALL + "repair = 1", "did you mean 'repairs'?"),
        (SMALL.replace("scripted", "broken"), "of outside-tier raised KeyError"),
        (SMALL.replace("scripted", "absent"), "raised ModuleNotFoundError"),
        ('[[tier]]\nname = "c"\nkind = "openai"\nmodel = "m"\napi_key = "sk-123"', "written into the config"),
        ('[[tier]]\nname = "c"\nkind = "openai"\nmodel = "m"\nprice = { input = nan, output = 1 }', "price"),
        ('[[tier]]\nname = "c"\nkind = "openai"\nmodl = "m"', "did you mean 'model'?"),
        ('[[tier]]\nname = "c"\nkind = "llama"\nmodel = "smollm2-135m"\ncontxt = 5', "did you mean 'context'?"),
    ],
)
def test_a_wrong_tier_is_an_error_that_names_file_and_tier(places, text, says):
    path = put(places.home / "named.toml", text)
    with pytest.raises(ConfigError) as caught:
        load(path, places=places).ladder()
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "sk-123" not in str(caught.value)


def test_a_file_that_is_no_utf8_is_named_with_the_place(places):
    path = places.home / "named.toml"
    path.write_bytes(b"# caf\xe9")
    with pytest.raises(ConfigError, match="not valid UTF-8: byte 5"):
        load(path, places=places)


def test_a_ladder_takes_its_own_keys_and_the_tier_the_others(places):
    table = 'repairs = 3\nmin_confidence = 0.5\nfeedback = "none"\nmax_tokens = 7\nmax_cost_usd = 0.05\n'
    path = put(places.home / "named.toml", "[budget]\nmoney = 0.1\n" + SMALL + table)
    ladder = load(path, places=places).ladder()
    rung = ladder.rungs[0]
    assert (rung.repairs, rung.min_confidence, rung.feedback, rung.max_tokens) == (3, 0.5, "none", 7)
    assert (rung.usd, ladder.budget.usd) == (Decimal("0.05"), Decimal("0.1"))


def test_a_ladder_of_a_file_is_one_call(places):
    path = put(places.home / "named.toml", SMALL)
    assert rung.load(path).run("Say it.").value == "good"


def test_an_unknown_price_is_an_error_of_the_configuration_that_limits_money(places):
    tier = '[[tier]]\nname = "c"\nkind = "openai"\nmodel = "m"\nbase_url = "http://192.168.1.7/v1"\n'
    path = put(places.home / "named.toml", 'reach = "lan"\n[budget]\nmoney = 1\n' + tier)
    with pytest.raises(ConfigError, match=r"tier 'c' has no price, and money is limited; set its price"):
        load(path, places=places).ladder()
    free = put(places.home / "free.toml", path.read_text() + "price = { input = 0, output = 0 }\n")
    assert load(free, places=places).ladder()
    with pytest.raises(ConfigError, match="no price"):
        load(put(path, tier), places=places, reach=Zone.LAN, money="0.5").ladder()
    assert load(put(path, tier), places=places, money="0.5").ladder()


def test_one_tier_can_be_chosen_by_name(places):
    path = put(places.home / "named.toml", SMALL + SMALL.replace("small", "mid"))
    config = load(path, places=places)
    assert [r.tier.name for r in config.ladder(only=["mid"]).rungs] == ["mid"]
    with pytest.raises(ConfigError, match="did you mean 'mid'"):
        config.ladder(only=["mit"])


def test_without_tiers_the_ladder_is_what_was_pulled_of_two_models(places, tmp_path):
    from rung.store import user_store

    with pytest.raises(TierUnavailable, match="rung models pull smollm2-135m"):
        load(places=places).ladder()
    store = user_store()
    for name in ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"):
        put(store.blob(store.catalogue[name].sha256), "GGUF")
    names = [r.tier.name for r in load(places=places).ladder().rungs]
    assert names == ["smollm2-135m", "qwen2.5-coder-1.5b"]


def test_the_policy_lowers_every_reach_and_nothing_raises_it(places, monkeypatch):
    put(places.policy, 'reach = "lan"\n')
    put(places.user, 'reach = "internet"\n')
    config = load(places=places, reach=Zone.INTERNET)
    assert (config.reach.value, config.reach.origin.source) == (Zone.LAN, "policy")
    put(places.user, 'reach = "host"\n')
    assert load(places=places).reach.value == Zone.HOST
    assert farthest(places).value == Zone.LAN
    put(places.policy, 'reach = "internet"\n')
    assert load(places=places).reach.value == Zone.HOST


@pytest.mark.slow
def test_the_policy_names_the_kinds_and_hosts_that_are_allowed(places):
    put(places.policy, 'kinds = ["scripted", "openai"]\nhosts = ["api.example.com"]\n')
    path = put(places.home / "named.toml", SMALL.replace("scripted", "llama"))
    with pytest.raises(ConfigError, match="no tier of the kind 'llama'"):
        load(path, places=places).ladder()
    endpoint = '[[tier]]\nname = "c"\nkind = "openai"\nmodel = "m"\nbase_url = "{}"\n'
    for url in ("https://API.example.com/v1", "http://127.0.0.1:8000/v1"):
        assert load(put(path, endpoint.format(url)), places=places).ladder()
    with pytest.raises(ConfigError, match=r"api\.example\.org, which"):
        load(put(path, endpoint.format("https://api.example.org/v1")), places=places).ladder()
    for proxy in ("10.0.0.1", "proxy.example.org"):
        proxied = endpoint.format("https://api.example.com/v1") + f'proxy = "http://{proxy}:3128"\n'
        with pytest.raises(ConfigError, match=f"would reach {proxy}"):
            load(put(path, proxied), places=places).ladder()
    silent = SMALL + 'zone = "internet"\n'
    with pytest.raises(ConfigError, match="doesn't name"):
        load(put(path, silent), places=places).ladder()


@pytest.mark.parametrize("text", ["reech = 'host'", "reach = ", "sources = []"])
def test_a_policy_that_cant_be_read_stops_everything(places, text):
    put(places.policy, text)
    with pytest.raises(ConfigError, match=r"policy\.toml"):
        load(places=places)
    with pytest.raises(ConfigError, match=r"policy\.toml"):
        farthest(places)


def test_a_policy_that_is_no_file_stops_everything(places):
    places.policy.mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"policy\.toml can't be read"):
        load(places=places)


def test_a_policy_that_cant_be_looked_at_stops_everything(places):
    places.policy.parent.symlink_to(places.policy.parent)
    with pytest.raises(ConfigError, match=r"policy\.toml can't be read"):
        load(places=places)


def test_nothing_in_the_environment_moves_the_policy(monkeypatch, tmp_path):
    before = Places.standard().policy
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME", "ProgramData", "PROGRAMDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    assert Places.standard().policy == before
