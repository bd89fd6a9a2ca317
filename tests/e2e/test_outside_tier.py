"""docs/tiers.md, as somebody would follow it: a tier in a package of their own, found by its entry point."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rung import Ladder, Rung
from rung.testing import ScriptedTier

PAGE = (Path(__file__).parents[2] / "docs" / "tiers.md").read_text(encoding="utf-8")
TIER, SUITE, FACTORY = (
    next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if part in code)
    for part in ("class Lookup", "check_tier", "def from_config")
)
ENTRY_POINT, CONFIG = re.findall(r"```toml\n# \S+.*?\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def lookup():
    """The class of the page."""
    names: dict = {}
    exec(TIER, names)
    return names["Lookup"]


def test_the_tier_of_the_page_keeps_the_rules():
    names: dict = {}
    exec(TIER + SUITE, names)
    names["test_lookup_keeps_the_rules"]()


def test_what_the_tier_does_not_know_climbs(lookup):
    outcome = Ladder(lookup("table", {}), ScriptedTier("next", "42")).run("What is it?")
    assert [(a.tier, a.reason) for a in outcome.attempts] == [("table", "refusal"), ("next", "valid")]


def test_as_a_second_tier_it_finds_what_was_asked(lookup):
    second = Rung(lookup("table", {"How many?": "42"}), feedback="none")
    outcome = Ladder(ScriptedTier("first", "many", "many"), second).run("How many?", int)
    assert (outcome.tier, outcome.value) == ("table", 42)


@pytest.mark.slow
def test_an_outside_package_serves_as_a_tier_of_rung_toml(tmp_path):
    package = tmp_path / "site"
    metadata = package / "my_package-1.0.dist-info"
    metadata.mkdir(parents=True)
    (package / "my_package.py").write_text(TIER + FACTORY)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    group, name, target = re.search(r'entry-points\."(.+?)"\]\n(\w+) = "(.+)"', ENTRY_POINT).groups()
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    config = tmp_path / "rung.toml"
    config.write_text(CONFIG)
    asked = subprocess.run(
        [sys.executable, "-m", "rung", "ask", "What is our VAT number?", "--config", str(config), "--json"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert (answer["value"], answer["tier"]) == ("DE 123 456 789", "table")
    assert answer["left_machine"] is False
