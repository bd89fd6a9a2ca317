"""What a calibration should promise, and whether there are enough rows for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rung.errors import ConfigError
from rung.learn.arrays import Ints, units_of
from rung.learn.bounds import Betting, Bound, Conformal, bound_for, promise
from rung.learn.certificates import rows_needed
from rung.learn.rows import Row
from rung.learn.splits import FEWEST_TO_FIT, split

Kind = Literal["differs", "judged", "worse", "wrong"]
"""What the promise limits, as in `learned.Promise`."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a calibration should promise.

    Args:
        limit: the largest share.
        delta: share of samples in which the promise may fail.
        kind: what the share is of.
        average: promise it only on average over samples.
        feature: the feature that answers are ranked by; `None` takes the default one, or several if those are better.
    """

    limit: float = 0.03
    delta: float = 0.1
    kind: Kind = "differs"
    average: bool = False
    feature: str | None = None

    def __post_init__(self) -> None:
        promise(self.limit, self.delta)
        if self.average and self.kind == "wrong":
            raise ConfigError("--risk can't be promised on average", hint="leave out --on-average")


def demand_rows(rows: Sequence[Row], question: Question) -> None:
    """Check that there are enough rows to promise anything, before any tier is asked.

    Raises:
        ConfigError: there are too few certify rows, or too few of their labels. The message says how many are needed.
    """
    there = split(rows)
    units = units_of(groups_of(there.certify), len(there.certify))
    what = f"at most {percent(question.limit)}, in {percent(1 - question.delta)} of samples"
    if question.kind in ("worse", "wrong"):
        missing = sum(not row.labelled for row in rows)
        if missing:
            raise ConfigError(
                f"{missing:,} of {len(rows):,} rows have no expected answer, and this promise needs all of them",
                hint="label them, or leave out --risk: agreement with the next tier needs no labels",
            )
    if question.kind == "wrong":
        least = rows_needed(question.limit, question.delta)
        if not there.fit or len(there.certify) < least:
            raise ConfigError(
                f"a promise about accepted answers ({what}) needs {max(FEWEST_TO_FIT, math.ceil(1.5 * least)):,} "
                f"labelled rows, {least:,} of them accepted in the part that certifies; there are {len(rows):,}",
                hint="rows that aren't accepted don't count, so several times as many are likely to be needed",
            )
        return
    bound = bound_of(units, question)
    if bound.certifies(np.zeros(len(units))):
        return
    grouped = int(units.max()) + 1 < len(units) if len(units) else False
    least = _fewest(question, bets=isinstance(bound, Betting))
    whole = least if least < FEWEST_TO_FIT else math.ceil(1.5 * least)
    unit = "groups" if grouped else "rows"
    have = len(set(units.tolist()))
    raise ConfigError(
        f"{have:,} {unit} can certify, but {least:,} are needed for that ({what}), even if none is lost",
        hint=f"collect about {whole:,} {unit}" + (", or give --on-average" if not question.average else ""),
    )


def _fewest(question: Question, *, bets: bool) -> int:
    if question.average:
        return math.ceil(1 / question.limit) - 1
    if not bets:
        return rows_needed(question.limit, question.delta)
    low, high = 0, 1
    while not _bettable(high, question):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _bettable(middle, question) else (middle, high)
    return high


def _bettable(units: int, question: Question) -> bool:
    each = np.arange(units)
    return Betting.of(each, np.ones(units), question.limit, question.delta).certifies(np.zeros(units))


def bound_of(units: Ints, question: Question) -> Bound:
    """The rule that says whether losses on some groups are small enough."""
    if question.average:
        return Conformal(units, question.limit)
    return bound_for(units, np.ones(len(units)), question.limit, question.delta, graded=False)[0]


def groups_of(rows: Sequence[Row]) -> list[str]:
    """The group of each row. A row without one has its own."""
    return [row.group or row.key for row in rows]


def percent(share: float) -> str:
    """A share in the form `3%`."""
    return f"{100 * share:g}%"
