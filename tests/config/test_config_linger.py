"""How long a local model stays in memory behind a command: what files say, and what holds it."""

from __future__ import annotations

import pytest
from config_files import put

from rung.config import load
from rung.errors import ConfigError

LOCAL = '[[tier]]\nname = "small"\nkind = "llama"\nmodel = "smollm2-135m"\n'


def linger(places) -> tuple[float, str]:
    found = load(places=places).linger
    return found.value, found.origin.source


def test_no_worker_lingers_unless_a_file_says_so(places):
    assert linger(places) == (0.0, "default")
    put(places.user, LOCAL)
    assert [rung.lingers.linger for rung in load(places=places).ladder().rungs] == [0.0]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [('"10m"', 600.0), ('"90s"', 90.0), ('"1 h"', 3600.0), ("45", 45.0), ("0", 0.0), ('"0s"', 0.0)],
)
def test_it_is_a_time_with_its_unit_or_in_seconds(places, written, seconds):
    put(places.user, f"linger = {written}\n{LOCAL}")
    assert linger(places) == (seconds, "user file")
    assert [rung.lingers.linger for rung in load(places=places).ladder().rungs] == [seconds]


@pytest.mark.parametrize("written", ['"10"', '"m"', '"10 minutes"', "-1", '"25h"', "true", '"-5m"', "nan"])
def test_anything_else_is_an_error(places, written):
    put(places.user, f"linger = {written}\n")
    with pytest.raises(ConfigError, match="linger"):
        load(places=places)


@pytest.mark.parametrize(("allowed", "seconds"), [("0", 0.0), ('"5m"', 300.0)])
def test_a_policy_forbids_or_shortens_it(places, allowed, seconds):
    put(places.user, 'linger = "10m"\n')
    put(places.policy, f"linger = {allowed}\n")
    assert linger(places) == (seconds, "policy")


def test_a_policy_makes_nothing_linger(places):
    put(places.policy, 'linger = "1h"\n')
    assert linger(places) == (0.0, "default")


def test_a_project_that_nobody_trusted_leaves_nothing_in_memory(places):
    put(places.user, 'linger = "1m"\n')
    put(places.working.parent / "rung.toml", f'linger = "10m"\n{LOCAL}')
    config = load(places=places)
    assert (config.linger.value, config.linger.origin.source) == (60.0, "user file")
    with pytest.raises(ConfigError, match="not trusted, and asks to set linger"):
        config.ladder()


@pytest.mark.parametrize("how", ["frozen", "platform"])
def test_where_no_worker_can_linger_it_is_said(places, monkeypatch, how):
    put(places.user, 'linger = "10m"\n')
    if how == "frozen":
        monkeypatch.setattr("rung.frozen.is_frozen", lambda: True)
    else:
        monkeypatch.setattr("rung.tiers.llama.rendezvous.sys.platform", "win32")
    config = load(places=places)
    assert config.linger.value == 0.0
    assert any(note.startswith("linger has no effect here") for note in config.notes)
