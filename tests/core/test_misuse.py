"""Misuse is a sentence: whatever is given where something else belongs, the error is rung's own and says what belongs.

Kind 25 of what attacks showed. A keyword that there isn't is Python's own `TypeError`, or ours that names the nearest.
"""

from __future__ import annotations

import inspect

import pytest

import rung
from rung import Budget, Ladder, Price, Rung, RungError
from rung.limits import Deadline
from rung.testing import ScriptedTier
from rung.tiers.llama import LlamaTier
from rung.tiers.openai import OpenAITier

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


def parameters():
    for made, given in MADE.items():
        for name, parameter in inspect.signature(made).parameters.items():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
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


@pytest.mark.parametrize("strange", STRANGE, ids=lambda v: repr(v)[:12])
@pytest.mark.parametrize("option", [*OPTIONS, "prompt", "output"])
def test_a_request_says_what_belongs_where_something_else_stands(option, strange):
    ladder = Ladder(ScriptedTier("small", *["yes"] * 3))
    said = complaint(lambda: ladder.run(**{"prompt": "Well?", option: strange}))
    assert not said or 10 < len(said) < 400, said


def test_an_option_that_there_is_not_names_the_nearest():
    with pytest.raises(TypeError, match="did you mean 'timeout'"):
        Ladder(ScriptedTier("small")).run("Well?", timeot=1)
