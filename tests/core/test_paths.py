"""Where an app's files lie: among the user's, or in a place of its own."""

from __future__ import annotations

import os

import pytest

import rung
from rung import paths
from rung.config.places import Places
from rung.errors import ConfigError
from rung.ledger import user_ledger
from rung.store import user_store


@pytest.fixture(autouse=True)
def unasked(monkeypatch):
    """As at the start of a process."""
    monkeypatch.setattr(paths, "_home", None)
    monkeypatch.setattr(paths, "_asked", False)
    for variable in ("RUNG_MODELS_DIR", "RUNG_LEDGER", "RUNG_CONFIG"):
        monkeypatch.delenv(variable, raising=False)


def places():
    standard = Places.standard()
    return {
        "models": user_store().root,
        "ledger": user_ledger(),
        "trusted": standard.trusted,
        "config": standard.user,
        "cache": paths.user_cache(),
    }


def test_everything_of_an_app_lies_in_its_own_folder_whatever_the_environment_names(tmp_path, monkeypatch):
    for variable in ("RUNG_MODELS_DIR", "RUNG_LEDGER", "RUNG_CONFIG"):
        monkeypatch.setenv(variable, "/elsewhere")
    home = tmp_path / "Büro von Zoë"
    rung.home(home)
    assert {name: str(place).removeprefix(f"{home}{os.sep}") for name, place in places().items()} == {
        "models": "models",
        "ledger": "ledger.sqlite3",
        "trusted": "trusted.json",
        "config": "rung.toml",
        "cache": "cache",
    }
    assert not home.exists(), "looking makes nothing"


def test_two_apps_and_the_command_line_do_not_meet_but_where_they_share_a_machines_memory(tmp_path, monkeypatch):
    everybody, claims = [places()], {paths.common_cache()}
    for name in ("one", "two"):
        monkeypatch.setattr(paths, "_asked", False)
        rung.home(tmp_path / name)
        everybody.append(places())
        claims.add(paths.common_cache())
    assert all(len({it[name] for it in everybody}) == 3 for name in everybody[0])
    assert len(claims) == 1


def test_a_home_that_comes_too_late_is_refused_unless_it_is_the_same(tmp_path):
    rung.home(tmp_path / "one")
    places()
    rung.home(tmp_path / "one")
    with pytest.raises(ConfigError, match="comes too late"):
        rung.home(tmp_path / "two")


def test_a_home_has_to_be_a_path():
    with pytest.raises(ConfigError, match="path of a folder"):
        rung.home(7)
