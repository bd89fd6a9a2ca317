"""A name means one thing, and what may be relied on is a list."""

from __future__ import annotations

import importlib
import pkgutil
import re
import types
from collections import defaultdict
from pathlib import Path

import rung
from helpers.each import each

PUBLIC = {
    "rung.allowed": {"Allowed", "Converted", "Flag", "Integer", "Name", "Real", "Word"},
    "rung.checks": {"command", "quoted", "that"},
    "rung.testing": {"QuotingTier", "Reply", "ScriptedTier", "check_tier"},
    "rung.tier": {
        "Connects",
        "Describes",
        "Lingers",
        "Outgoing",
        "Pinned",
        "Prepares",
        "Prices",
        "Quotes",
        "Resides",
        "Rung",
        "RungSettings",
        "SettingsTable",
        "Shows",
        "Thresholds",
        "Tier",
        "TierKind",
        "Travels",
        "Warms",
        "tier_kind",
    },
    "rung.deferral": {
        "Decision",
        "Rule",
        "STANDARD",
        "Situation",
        "cancelled",
        "cut_off",
        "failed",
        "first_of",
        "low_confidence",
        "no_answer",
        "repair_or_escalate",
        "same_issues",
        "stalled",
        "standard",
        "valid",
    },
    "rung.redaction": {"redact"},
}
"""What may be relied on beside `rung` itself, whose own list is in test_import.py."""

SOURCES = Path(rung.__file__).parent


def modules():
    return [found.name for found in pkgutil.walk_packages(rung.__path__, "rung.")]


@each("name", modules())
def test_no_module_is_hidden_by_something_of_its_name(name):
    package, _, leaf = name.rpartition(".")
    importlib.import_module(name)
    assert isinstance(getattr(importlib.import_module(package), leaf), types.ModuleType)


def test_no_two_classes_that_other_modules_may_use_have_one_name():
    found = defaultdict(list)
    for path in SOURCES.rglob("*.py"):
        for name in re.findall(r"^class ([^_\W]\w*)", path.read_text(encoding="utf-8"), re.MULTILINE):
            found[name].append(str(path.relative_to(SOURCES)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


@each("name", PUBLIC)
def test_what_is_public_is_a_list(name):
    module = importlib.import_module(name)
    assert set(module.__all__) == PUBLIC[name]
    assert all(getattr(module, offered) is not None for offered in module.__all__)


def test_the_page_for_maintainers_names_what_is_public():
    page = (SOURCES.parent.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in ("rung", *PUBLIC))
