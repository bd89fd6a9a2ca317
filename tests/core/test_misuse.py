"""Misuse is a sentence: whatever is given where something else belongs, the error is rung's own and says what belongs.

Kind 25 of what attacks showed. A keyword that there isn't is Python's own `TypeError`, or ours that names the nearest.
"""

from __future__ import annotations

import dataclasses
import inspect

import pytest

import rung
from helpers.each import each
from rung import Budget, ConfigError, Ladder, Price, Rung, RungError
from rung.limits import Deadline
from rung.testing import ScriptedTier
from rung.tiers.llama import LlamaTier
from rung.tiers.llama.host.settings import LlamaSettings
from rung.tiers.openai import OpenAITier
from rung.tiers.openai.settings import OpenAISettings

STRANGE = (5, -1, 1.5, float("nan"), "x", "", True, None, [], {}, object(), b"x", "\ud800", "\0", 10**400, print)
MADE = {
    Ladder: {},
    Rung: {"tier": ScriptedTier("small")},
    Budget: {},
    Price: {"input": 1, "output": 1},
    rung.MemoryPurse: {"limit": 1},
    Deadline.after: {},
    rung.Message: {"role": "user", "content": "?"},
    rung.Sampling: {},
    LlamaTier: {"model": "m"},
    OpenAITier: {"model": "m"},
    rung.llama: {"model": "m"},
    rung.openai: {"model": "m"},
    rung.checks.command: {"line": "true"},
    rung.checks.that: {"predicate": bool},
    rung.load: {},
}
OPTIONS = (
    "validators",
    "system",
    "task",
    "max_tokens",
    "temperature",
    "seed",
    "sampling",
    "timeout",
    "reach",
    "cancel",
)


LOCAL, REMOTE = [it.name for it in dataclasses.fields(LlamaSettings)], [*OpenAISettings.model_fields]
SETTINGS = {LlamaTier: LOCAL, OpenAITier: REMOTE, rung.llama: LOCAL, rung.openai: REMOTE}
"""Names of the settings that come as `**settings`."""


def parameters():
    for made, given in MADE.items():
        named = inspect.signature(made).parameters.values()
        names = [it.name for it in named if it.kind in (it.POSITIONAL_OR_KEYWORD, it.KEYWORD_ONLY)]
        for name in dict.fromkeys([*names, *SETTINGS.get(made, ())]):
            yield pytest.param(made, given, name, id=f"{made.__qualname__}-{name}")


def complaint(call):
    """What rung's own error says; empty where there is none. Any other error comes through."""
    try:
        call()
    except RungError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("made", "given", "name"), [*parameters()])
def test_what_does_not_belong_is_refused_in_a_sentence(made, given, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    tiers = (ScriptedTier("small"),) if made is Ladder else ()
    for strange in STRANGE:
        said = complaint(lambda strange=strange: made(*tiers, **{**given, name: strange}))
        assert not said or 10 < len(said) < 400, said


@each("strange", STRANGE, ids=lambda v: repr(v)[:12])
@each("option", [*OPTIONS, "prompt", "output"])
def test_a_request_says_what_belongs_where_something_else_stands(option, strange):
    ladder = Ladder(ScriptedTier("small", *["yes"] * 3))
    said = complaint(lambda: ladder.run(**{"prompt": "Well?", option: strange}))
    assert not said or 10 < len(said) < 400, said


@pytest.mark.parametrize(
    ("make", "wrong", "right"), [(rung.llama, "contxt", "context"), (rung.openai, "prize", "price")]
)
def test_a_setting_of_a_tier_that_there_is_not_names_the_nearest(make, wrong, right):
    with pytest.raises(ConfigError, match=f"unknown setting '{wrong}'; did you mean '{right}'"):
        make("m", **{wrong: 1})


def test_an_option_that_there_is_not_names_the_nearest():
    with pytest.raises(TypeError, match="did you mean 'timeout'"):
        Ladder(ScriptedTier("small")).run("Well?", timeot=1)
