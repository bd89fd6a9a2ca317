"""What the table is made of."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Some measurements of one thing.

    Args:
        median: of them.
        low: the least.
        high: the greatest.
        count: how many.
    """

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of at least one value."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1], len(found))

    def show(self, digits: int) -> str:
        """Median and range."""
        text = f"{self.median:.{digits}f}"
        return text if self.count == 1 else f"{text} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(frozen=True)
class Target:
    """What a figure must reach.

    Args:
        limit: the bound.
        at_least: whether the figure must not be below it; otherwise not above.
    """

    limit: float
    at_least: bool = True

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"

    def met(self, figure: float) -> bool:
        """Whether a figure reaches it."""
        return figure >= self.limit if self.at_least else figure <= self.limit


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        measure: what was measured, against whom.
        model: on which model; empty where none is needed.
        ours: our measurements, in `unit`.
        theirs: the others', in `unit`; `None` where there is nobody to compare with.
        figure: what must reach the target; of pairs measured one right after the other where there are pairs.
        target: `None` for a row that only informs.
        unit: of `ours` and `theirs`.
        digits: of `ours` and `theirs` behind the point; `None` as their size asks.
        note: what a reader should know of this row.
    """

    measure: str
    model: str
    ours: Spread
    theirs: Spread | None
    figure: Spread
    target: Target | None
    unit: str
    note: str = ""
    digits: int | None = None

    HEAD = (
        "| measure | model | n | ours | theirs | unit | figure | must reach | reached | note |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )

    @property
    def reached(self) -> bool | None:
        """Whether the median figure reaches the target; `None` without one."""
        return None if self.target is None else self.target.met(self.figure.median)

    def __str__(self) -> str:
        shown = [] if self.theirs is None else [self.theirs]
        ours, *theirs = (s.show(_digits(s) if self.digits is None else self.digits) for s in (self.ours, *shown))
        reached = {None: "", True: "yes", False: "**no**"}[self.reached]
        cells = (
            self.measure,
            self.model,
            str(self.ours.count),
            ours,
            *(theirs or [""]),
            self.unit,
            self.figure.show(2 if self.figure.median < 20 else 0),
            "" if self.target is None else str(self.target),
            reached,
            self.note,
        )
        return f"| {' | '.join(cells)} |"


def _digits(spread: Spread) -> int:
    return 0 if spread.median >= 100 else 1


def compared(
    measure: str,
    model: str,
    pairs: Sequence[tuple[float, float]],
    target: Target | None,
    unit: str,
    *,
    figure: Callable[[float, float], float] = lambda ours, theirs: ours / theirs,
    note: str = "",
    digits: int | None = None,
) -> Row:
    """A row of pairs.

    Args:
        measure: what was measured, against whom.
        model: on which model.
        pairs: ours and theirs, measured one right after the other.
        target: what the median of the pairs' figures must reach.
        unit: of the measurements.
        figure: of one pair; the ratio where none is named.
        note: for the reader.
        digits: of the measurements behind the point.
    """
    ours, theirs = Spread.of(o for o, _ in pairs), Spread.of(t for _, t in pairs)
    return Row(measure, model, ours, theirs, Spread.of(figure(o, t) for o, t in pairs), target, unit, note, digits)
