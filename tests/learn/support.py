"""Rows and tiers for the tests of evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rung import Ladder, Message
from rung.learn.cassette import Cassette
from rung.learn.evaluating import Work, evaluate, recorders
from rung.learn.grading import Grade
from rung.learn.results import TierResult
from rung.learn.rows import Row
from rung.testing import Reply, ScriptedTier
from rung.types import Call, Usage


def rows(count: int, *, labelled: bool = True) -> list[Row]:
    """Questions for the double of their number."""
    return [
        Row(
            number,
            hashlib.sha256(str(number).encode()).hexdigest(),
            (Message("user", f"double {number}"),),
            labelled,
            str(2 * number) if labelled else None,
        )
        for number in range(1, count + 1)
    ]


def asked(call: Call) -> int:
    """The number of the row that a call is about."""
    return int(call.messages[-1].text.split()[1])


def tier(name: str, answer: Callable[[int], Reply | str]) -> ScriptedTier:
    """A tier that answers each question by its number, as often as it is asked."""
    return ScriptedTier(name, *[lambda call: answer(asked(call))] * 1000)


def right(number: int, logprob: float = -0.01) -> Reply:
    return Reply(str(2 * number), logprob=logprob, usage=Usage(10, 2))


def wrong(number: int, logprob: float = -2.0) -> Reply:
    return Reply(str(2 * number + 1), logprob=logprob, usage=Usage(10, 2))


def run(
    ladder: Ladder,
    data: list[Row],
    cassette: Cassette | None = None,
    **more: Any,
) -> dict[tuple[int, str], TierResult]:
    """The results by row and tier."""
    cassette = Cassette() if cassette is None else cassette
    identities: Mapping[str, str] = {rung.tier.name: f"identity of {rung.tier.name}" for rung in ladder.rungs}
    settings: dict[str, Any] = {
        "grade": lambda row, value: Grade(value == row.expected),
        "same": lambda a, b: a == b,
        "together": 4,
        **more,
    }
    work = Work(ladder, recorders(ladder, cassette, identities), lambda: data, **settings)
    results: list[TierResult] = []
    for event in evaluate(work):
        if isinstance(event, list):
            results = event
    return {(result.row, result.tier): result for result in results}


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)
