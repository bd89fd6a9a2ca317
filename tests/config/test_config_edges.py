"""What a configuration can't be talked into: hosts, policies, and repeating a key.

| kind | tests |
|---|---|
| 26: an untrusted project names a host that only looks like this machine | `test_an_untrusted_project_...` |
| 26: `policy.hosts` is asked for all that isn't proven to be loopback | `test_the_policy_is_asked_...` |
| 28: a policy that is broken is not the same as none | `test_a_policy_that_...`, `test_there_is_no_policy_...` |
| 29: a value is not repeated that may be a key | `test_a_key_in_the_wrong_place_...` |
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from config_files import SMALL, project, put

from rung.config import Places, farthest, load
from rung.errors import ConfigError
from rung.ledger import Ledger
from rung.store import Folder
from rung.store.caches import known_places
from rung.types import Zone

ENDPOINT = '[[tier]]\nname = "c"\nkind = "openai"\nmodel = "m"\nbase_url = "{}"\n'
KEY = "sk-live-CANARY123"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links and permissions of this kind are POSIX's")


@pytest.mark.parametrize("host", ["localhost.", "127.1", "2130706433", "0x7f.1", "127.0.0.1."])
@pytest.mark.parametrize("as_proxy", [False, True])
def test_an_untrusted_project_cant_name_what_only_looks_like_this_machine(places, host, as_proxy):
    text = ENDPOINT.format(f"http://{'127.0.0.1' if as_proxy else host}:8111/v1")
    project(places, text + (f'proxy = "http://{host}:3128"\n' if as_proxy else ""), trusted=False)
    with pytest.raises(ConfigError, match="is not trusted, and asks to send prompts to"):
        load(places=places).ladder()


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        (["api.example.com"], "https://API.Example.com.:443/v1", True),
        (["API.example.com."], "https://api.example.com/v1", True),
        (["*.example.com"], "https://eu.api.example.com/v1", True),
        (["*.example.com"], "https://example.com/v1", False),
        (["*.example.com"], "https://evilexample.com/v1", False),
        (["bücher.example"], "https://xn--bcher-kva.example/v1", True),
        (["[FD00:0::1]"], "http://[fd00::1]:8000/v1", True),
        (["10.0.0.7"], "http://[::ffff:10.0.0.7]:8000/v1", True),
        (["10.0.0.7"], "http://10.0.0.70:8000/v1", False),
        ([], "http://localhost:8000/v1", True),
        ([], "http://127.9.9.9:8000/v1", True),
        ([], "http://[::1]:8000/v1", True),
        ([], "http://localhost.:8000/v1", False),
        ([], "http://127.1:8000/v1", False),
        (["localhost"], "http://localhost.:8000/v1", False),
    ],
)
def test_the_policy_is_asked_for_every_host_that_isnt_proven_to_be_loopback_and_knows_one_spelling(
    places, hosts, url, allowed
):
    put(places.policy, f"hosts = {hosts}\n")
    path = put(places.home / "named.toml", ENDPOINT.format(url))
    if allowed:
        assert load(path, places=places).ladder()
    else:
        with pytest.raises(ConfigError, match=r"it would reach .*, which .*policy"):
            load(path, places=places).ladder()


def test_the_policy_is_asked_for_the_host_of_a_tier_whose_zone_says_this_machine(places, monkeypatch):
    from rung.tiers.openai import OpenAITier

    put(places.policy, "hosts = []\n")
    path = put(places.home / "named.toml", ENDPOINT.format("http://localhost:8000/v1"))
    plain = OpenAITier.__init__

    def far(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        self.hosts = frozenset({"far.example.com"})

    monkeypatch.setattr(OpenAITier, "__init__", far)
    with pytest.raises(ConfigError, match=r"it would reach far\.example\.com"):
        load(path, places=places).ladder()


@pytest.mark.parametrize("host", ["*", "a.*.com", "api.example.com:443", "https://api.example.com", "lo calhost", ""])
def test_a_policy_that_names_what_is_not_a_host_stops_everything(places, host):
    put(places.policy, f'hosts = ["{host}"]\n')
    with pytest.raises(ConfigError, match="is not a valid host"):
        load(places=places)


def _nowhere(policy):
    policy.parent.mkdir()
    policy.symlink_to(policy.with_name("gone.toml"))


def _folder_nowhere(policy):
    policy.parent.symlink_to(policy.parent.with_name("gone"))


def _circle(policy):
    policy.parent.mkdir()
    policy.symlink_to(policy)


def _folder(policy):
    policy.mkdir(parents=True)


def _below_a_file(policy):
    policy.parent.write_text("")


def _link_below_a_file(policy):
    policy.parent.mkdir()
    (policy.parent / "file").write_text("")
    policy.symlink_to(policy.parent / "file" / "policy.toml")


@POSIX
@pytest.mark.parametrize("break_it", [_nowhere, _folder_nowhere, _circle, _folder, _below_a_file, _link_below_a_file])
def test_a_policy_that_is_broken_stops_everything_and_is_named(places, break_it):
    break_it(places.policy)
    for look in (
        lambda: load(places=places),
        lambda: farthest(places),
        lambda: load(places=places, reach=Zone.INTERNET),
    ):
        with pytest.raises(ConfigError) as caught:
            look()
        assert str(places.policy) in str(caught.value)
        assert "can't be read" in str(caught.value)


@POSIX
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_policy_that_may_not_be_looked_at_stops_everything(places, what):
    put(places.policy, "")
    barred = places.policy if what == "file" else places.policy.parent
    barred.chmod(0)
    try:
        with pytest.raises(ConfigError, match="permission denied"):
            load(places=places)
    finally:
        barred.chmod(0o700)


@POSIX
def test_a_policy_that_may_not_be_looked_at_stops_everything_even_for_root(places, monkeypatch):
    put(places.policy, "")

    def barred(path, *args, **kwargs):
        if str(path) == str(places.policy):
            raise PermissionError(13, "Permission denied")
        return plain(path, *args, **kwargs)

    plain = os.lstat
    monkeypatch.setattr(os, "lstat", barred)
    with pytest.raises(ConfigError, match="permission denied"):
        load(places=places)


@POSIX
def test_there_is_no_policy_only_where_nothing_is_there_and_a_link_to_a_policy_is_one(places):
    assert load(places=places).policy.reach is None
    places.policy.parent.mkdir()
    assert load(places=places).policy.reach is None
    real = put(places.home / "real.toml", 'reach = "lan"\n')
    places.policy.symlink_to(real)
    assert load(places=places).policy.reach == "lan"
    folder = places.policy.parent.with_name("linked")
    folder.symlink_to(places.policy.parent)
    assert load(places=replace(places, policy=folder / "policy.toml")).policy.reach == "lan"


@pytest.mark.parametrize(
    "text",
    [
        ENDPOINT.format("http://127.0.0.1:1/v1") + f'api_key = {{ env = "{KEY}" }}\n',
        ENDPOINT.format("http://127.0.0.1:1/v1") + f'api_key = {{ env = "{KEY.replace("-", "_")}" }}\n',
        ENDPOINT.format("http://127.0.0.1:1/v1") + f'api_key = {{ "{KEY}" = 1 }}\n',
        ENDPOINT.format("http://127.0.0.1:1/v1") + f'api_key = "{KEY}"\n',
        ENDPOINT.format("http://127.0.0.1:1/v1") + f'zone = "{KEY}"\n',
        ENDPOINT.format("http://127.0.0.1:1/v1") + f'"{KEY}" = 1\n',
        ENDPOINT.format(f"http://me:{KEY}@127.0.0.1:1/v1"),
        ENDPOINT.format(f"http://127.0.0.1:1/v1?api_key={KEY}"),
        ENDPOINT.format("http://127.0.0.1:1/v1") + f'proxy = "http://me:{KEY}@127.0.0.1:2"\n',
        SMALL.replace("scripted", KEY),
        f'"{KEY}" = 1\n',
        f'reach = "{KEY}"\n',
        f'[models]\nfrom = ["ftp://me:{KEY}@host/"]\n',
        f'[models]\nfrom = ["https://me:{KEY}@host/"]\n',
        f'[ledger]\npath = "{KEY}"\n',
        f'[budget]\nmoney = "{KEY}"\n',
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
def test_a_key_in_the_wrong_place_is_not_repeated(places, text, trusted):
    path = put(places.working.parent / "rung.toml", text)
    with pytest.raises(ConfigError) as caught:
        load(path if trusted else None, places=places).ladder()
    assert "CANARY" not in f"{caught.value} {caught.value!r}"


def test_what_an_untrusted_project_asks_for_is_said_without_the_key_in_it(places):
    put(places.user, ENDPOINT.format("http://127.0.0.1:1/v1"))
    url = f"https://host/x?token={KEY}"
    project(places, f'[models]\nfrom = ["{url}"]\n' + SMALL.replace("scripted", KEY), trusted=False)
    asked = " ".join(load(places=places).denied)
    assert "set models.from" in asked
    assert "CANARY" not in asked


def test_a_variable_that_holds_a_key_in_the_place_of_a_reach_is_not_repeated(places, monkeypatch):
    monkeypatch.setenv("RUNG_REACH", KEY)
    with pytest.raises(ConfigError, match="RUNG_REACH") as caught:
        load(places=places)
    assert "CANARY" not in str(caught.value)


def test_no_repr_of_a_configuration_shows_what_its_tables_hold(places):
    text = ENDPOINT.format("http://127.0.0.1:1/v1") + f'api_key = "{KEY}"\nextra_body = {{ note = "{KEY}" }}\n'
    path = put(places.home / "named.toml", f'[models]\nfrom = ["https://host/x?token={KEY}"]\n{text}')
    config = load(path, places=places)
    assert config.tiers.value[0].settings["api_key"] == KEY
    assert "CANARY" not in repr(config)


@pytest.mark.parametrize("path", ["~\\u0000", "~/\\u0000", "/a\\u0000b", "~nobody-of-this-name/x"])
def test_a_path_that_cant_be_one_is_a_sentence_with_the_settings_name(places, path):
    put(places.user, f'[ledger]\npath = "{path}"\n')
    with pytest.raises(ConfigError, match=r"ledger.path .*(can't be a path|no such home folder)"):
        load(places=places)


def test_a_variable_that_names_nobodys_home_is_a_sentence(places, monkeypatch):
    monkeypatch.setenv("RUNG_LEDGER", "~nobody-of-this-name/ledger")
    with pytest.raises(ConfigError, match=r"RUNG_LEDGER .*no such home folder"):
        load(places=places)
    with pytest.raises(ConfigError, match="no such home folder"):
        Ledger("~nobody-of-this-name/ledger")


@pytest.mark.parametrize("place", ["~nobody-of-this-name", "~\\u0000", "\\u0000"])
def test_a_policy_that_allows_a_folder_of_nobody_is_a_sentence(places, place):
    put(places.policy, f'models = ["{place}"]\n')
    sourcing = load(places=places).sourcing()
    with pytest.raises(ConfigError, match=r"can't be a path|no such home folder"):
        sourcing.refusal(Folder(path="/models"), SimpleNamespace(name="m"))


def test_other_programs_variables_may_name_nobodys_home(tmp_path):
    environment = dict.fromkeys(("HF_HOME", "OLLAMA_MODELS", "LLAMA_CACHE", "XDG_CACHE_HOME"), "~nobody-of-this-name")
    assert list(known_places(environment, tmp_path, shared_ollama=tmp_path / "none")) == []


def test_the_file_that_the_environment_names_has_to_be_there(places, monkeypatch):
    monkeypatch.setenv("RUNG_CONFIG", str(places.user))
    named = replace(places, named=Places.standard().named)
    with pytest.raises(ConfigError, match=r"RUNG_CONFIG names .*no such file"):
        load(places=named)
    given = put(places.home / "given.toml", SMALL)
    assert load(given, places=named).files[0].path == given, "it isn't asked for where another is given"
    put(places.user, SMALL)
    assert load(places=named).files[0].path == places.user
    monkeypatch.setenv("RUNG_CONFIG", "")
    assert not Places.standard().named


@pytest.mark.parametrize(
    "text", ["{k} = 1", "[budget]\n{k} = 1", '[[tier]]\nname = "t"\nkind = "openai"\nmodel = "m"\n{k} = 1']
)
def test_an_unknown_key_is_repeated_in_a_length_that_can_be_read(places, text):
    put(places.user, text.replace("{k}", "x" * 50_000))
    with pytest.raises(ConfigError, match=r"unknown key '[a-z.]*xxx.*…'") as caught:
        load(places=places).ladder()
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("value", ["name", "kind", "reach"])
def test_a_long_value_is_not_repeated_whole(places, value):
    long = {"name": "t", "kind": "openai", "reach": "host", value: "x" * 50_000}
    tier = f'[[tier]]\nname = "{long["name"]}"\nkind = "{long["kind"]}"\nmodle = 1\n'
    put(places.user, f'reach = "{long["reach"]}"\n{tier}{tier if value == "name" else ""}')
    with pytest.raises(ConfigError) as caught:
        load(places=places).ladder()
    assert len(str(caught.value)) < 1500
