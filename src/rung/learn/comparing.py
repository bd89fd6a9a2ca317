"""Two evaluations of the same rows, compared row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rung.errors import ConfigError
from rung.learn.intervals import Estimate, Paired, bootstrap, paired
from rung.learn.results import LADDER, Results, TierResult
from rung.learn.summary import Measure

_SHOWN = 20
"""Rows that are listed where the two differ."""


@dataclass(frozen=True, slots=True)
class TierDifference:
    """One tier, or the ladder, before and after.

    Args:
        tier: its name, or `LADDER`.
        before: share of the rows that it got right.
        after: share of the rows that it gets right.
        difference: the second minus the first, with its interval.
        test: whether they differ by more than chance.
        lost: rows that only the first got right.
        won: rows that only the second gets right.
        seconds: mean seconds of a row before and after.
    """

    tier: str
    before: float
    after: float
    difference: Estimate
    test: Paired
    lost: tuple[int, ...]
    won: tuple[int, ...]
    seconds: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two evaluations.

    Args:
        measure: whether answers were compared with labels, or with the next tier's answers.
        rows: number of rows in both.
        only_first: number of rows only in the first.
        only_second: number of rows only in the second.
        tiers: those in both, and the ladder.
    """

    measure: Measure
    rows: int
    only_first: int
    only_second: int
    tiers: tuple[TierDifference, ...]


def compare(first: Results, second: Results) -> Comparison:
    """Compare two evaluations, on the rows that are in both.

    Args:
        first: before.
        second: after.

    Raises:
        ConfigError: they have no row or no tier in common, or only one of them has labels.
    """
    measure: Measure = "right" if first.labelled and second.labelled else "agrees"
    if bool(first.labelled) != bool(second.labelled):
        raise ConfigError(
            "one of them was compared with labels and the other with the next tier", hint="evaluate the same data"
        )
    ours, theirs = (set(_keyed(results, LADDER)) for results in (first, second))
    if not ours & theirs:
        raise ConfigError("the two have no row in common", hint="evaluate the same data with both")
    names = [name for name in first.names if name in second.names]
    found = tuple(d for name in (*names, LADDER) if (d := _difference(first, second, name, measure)) is not None)
    if not found:
        raise ConfigError("nothing in the two can be compared: no answer was graded", hint="give rows with labels")
    return Comparison(measure, len(ours & theirs), len(ours - theirs), len(theirs - ours), found)


def _keyed(results: Results, name: str) -> dict[tuple[str, int], TierResult]:
    """Results by what was asked. Rows that ask the same are distinguished by their order."""
    seen: dict[str, int] = {}
    found = {}
    for result in results.of(name):
        seen[result.key] = seen.get(result.key, 0) + 1
        found[result.key, seen[result.key]] = result
    return found


def _difference(first: Results, second: Results, name: str, measure: Measure) -> TierDifference | None:
    pairs = list(_pairs(first, second, name, measure))
    if not pairs:
        return None
    before = [bool(_told(a, measure)) for a, _ in pairs]
    after = [bool(_told(b, measure)) for _, b in pairs]
    groups = [a.group or f"row {a.row}" for a, _ in pairs]
    change = [float(b) - float(a) for a, b in zip(before, after, strict=True)]
    return TierDifference(
        tier=name,
        before=sum(before) / len(before),
        after=sum(after) / len(after),
        difference=bootstrap(lambda column: float(column.mean()), change, groups=groups),
        test=paired(before, after, groups),
        lost=tuple(b.row for (_, b), sign in zip(pairs, change, strict=True) if sign < 0)[:_SHOWN],
        won=tuple(b.row for (_, b), sign in zip(pairs, change, strict=True) if sign > 0)[:_SHOWN],
        seconds=(sum(a.seconds for a, _ in pairs) / len(pairs), sum(b.seconds for _, b in pairs) / len(pairs)),
    )


def _pairs(first: Results, second: Results, name: str, measure: Measure) -> Iterator[tuple[TierResult, TierResult]]:
    theirs = _keyed(second, name)
    for key, result in _keyed(first, name).items():
        other = theirs.get(key)
        if other is not None and _told(result, measure) is not None and _told(other, measure) is not None:
            yield result, other


def _told(result: TierResult, measure: Measure) -> bool | None:
    return result.right if measure == "right" else result.agrees
