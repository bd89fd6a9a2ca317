"""What a setting may be is said once: code and files are told the same, and the tables hold all that code takes."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

import numpy as np
import pytest

from helpers.each import each
from rung import ConfigError, Rung
from rung.allowed import Integer, Real, Word
from rung.settings import given, read
from rung.testing import ScriptedTier
from rung.tier import RungSettings, SettingsTable, TierKind, tier_kind
from rung.tiers.llama import LlamaTier
from rung.tiers.llama import from_config as local
from rung.tiers.openai import OpenAITier
from rung.tiers.openai import from_config as endpoint

WRONG = [
    (LlamaTier, local, {"context": 0}),
    (LlamaTier, local, {"context": "4096"}),
    (LlamaTier, local, {"threads": True}),
    (LlamaTier, local, {"min_p": 1.0}),
    (LlamaTier, local, {"thinking": 1}),
    (LlamaTier, local, {"prefix_mib": 2**21}),
    (OpenAITier, endpoint, {"retries": -1}),
    (OpenAITier, endpoint, {"stall_seconds": 0}),
    (OpenAITier, endpoint, {"constraint": "grammar"}),
    (OpenAITier, endpoint, {"leave_out": ["sed"]}),
    (OpenAITier, endpoint, {"price": "cheap"}),
    (OpenAITier, endpoint, {"zone": "mars"}),
]


@each(
    ("make", "from_file", "settings"),
    WRONG,
    ids=lambda part: str(part) if isinstance(part, dict) else getattr(part, "__name__", "file"),
)
def test_code_and_a_file_are_told_the_same_of_a_wrong_value(make, from_file, settings):
    with pytest.raises(ConfigError) as in_code:
        make("m", name="a", **settings)
    with pytest.raises(ConfigError) as in_file:
        from_file("a", {"model": "m", **settings})
    assert str(in_code.value) == str(in_file.value)
    assert str(in_code.value).startswith(f"tier 'a': {next(iter(settings))}")


def test_a_rung_takes_every_setting_of_its_table_with_the_same_default():
    taken = {
        field.name: field.default for field in fields(Rung) if field.init and field.name not in ("tier", "redactor")
    }
    assert taken == {name: field.default for name, field in RungSettings.model_fields.items()}


def test_numbers_of_other_libraries_become_pythons():
    rung = Rung(ScriptedTier("a", "x"), repairs=np.int64(2), max_seconds=np.float32(0.5))
    assert (type(rung.repairs), type(rung.max_seconds)) == (int, float)


class Settings(SettingsTable):
    size: Annotated[int, Integer(1, 8)]
    share: Annotated[float, Real(0.0, 1.0, above=True)] = 1.0
    mode: Annotated[str, Word(("plain", "fancy"))] = "plain"


@tier_kind(Settings)
def somebodys(name, settings):
    return ScriptedTier(name, *["x"] * settings.size)


def test_a_kind_of_another_package_has_its_table_checked_before_it_is_called():
    assert isinstance(somebodys, TierKind)
    assert somebodys("a", {"size": 3}).name == "a"
    for table, says in (
        ({"size": 9}, "tier 'a': size = 9 is out of range; give 1 to 8"),
        ({"size": 1, "share": 0}, "tier 'a': share = 0 is out of range; give a number, above 0 to 1"),
        ({"size": 1, "mode": "x"}, "tier 'a': mode = 'x' is not a valid choice; say plain or fancy"),
        ({"size": 1, "shar": 0}, "tier 'a': unknown key 'shar'; did you mean 'share'?"),
        ({}, "tier 'a': 'size' is missing; add size = ..."),
    ):
        with pytest.raises(ConfigError) as caught:
            somebodys("a", table)
        assert str(caught.value) == says


def test_what_may_be_a_key_is_not_repeated():
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
    for check in (given, read):
        for values in ({"size": secret}, {"size": 1, "mode": secret}, {"size": 1, secret: 1}):
            with pytest.raises(ConfigError) as caught:
                check(Settings, values, "here")
            assert secret[8:] not in str(caught.value)
