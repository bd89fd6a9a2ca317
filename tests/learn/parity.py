"""A tier that says whether a number is even, with a fixed share of mistakes, and what tunes it."""

from __future__ import annotations

import hashlib
import re

import pytest

from rung import Ladder, Message
from rung.contract import compile_output
from rung.learn import axes, tuning
from rung.learn import tuned as tuned_values
from rung.learn.cassette import Cassette
from rung.learn.evaluating import Work, recorders
from rung.learn.grading import Grade
from rung.learn.halving import halvings
from rung.learn.rows import Row
from rung.learn.tuning_tiers import FormQuestion, TierForm, tune
from rung.testing import Reply, ScriptedTier
from rung.types import Task

OPTIONS = ["even", "odd"]


@pytest.fixture(autouse=True)
def few_forms(monkeypatch):
    """Three forms on 24 rows are enough to tell what is done with them."""
    monkeypatch.setattr(tuning, "halvings", lambda forms, rows, answers: halvings(forms, min(rows, 24), answers))
    monkeypatch.setattr(axes, "FEW", 3)
    monkeypatch.setattr(tuned_values, "_FREE", 0.015)  # a busy machine makes some time of none


def rows(count=150, *, labelled=True):
    return [
        Row(
            number,
            hashlib.sha256(str(number).encode()).hexdigest(),
            (Message("user", f"number {number}"),),
            labelled,
            OPTIONS[number % 2] if labelled else None,
            group=f"g{number}",
        )
        for number in range(1, count + 1)
    ]


def shown(call):
    return sum(message.role == "assistant" for message in call.messages)


def number_of(call):
    return int(re.search(r"number (\d+)", call.messages[-1].text)[1])


def tier(name, right, log=None):
    """A tier that answers rightly where `right(call)` says so."""

    def answer(call):
        if log is not None:
            log.append(call)
        told = right(call)
        if isinstance(told, Exception):
            return told
        return Reply(OPTIONS[(number_of(call) + (not told)) % 2], logprob=-0.1)

    return ScriptedTier(name, *[answer] * 20000)


def question(ladder, data, *, cassette=None, asks=True, together=4, **more):
    contract = compile_output(OPTIONS)
    ladder = Ladder(*ladder, tasks=lambda name: Task(name, output=contract))
    work = Work(
        ladder,
        recorders(
            ladder,
            Cassette() if cassette is None else cassette,
            {r.tier.name: f"identity of {r.tier.name}" for r in ladder.rungs},
        ),
        lambda: data,
        output=contract,
        options={"task": "parity"},
        grade=lambda row, value: Grade(value == row.expected),
        same=lambda a, b: a == b,
        asks=asks,
        together=together,
    )
    return FormQuestion(work, **{"wordings": (), "seconds": 600.0, "examples": {}, "date": "2026-11-26", **more})


def tuned(asked):
    """What is found out about each tier, in the end."""
    last = {}
    for event in tune(asked):
        if isinstance(event, TierForm):
            last[event.tuned.tier] = event
    return last
