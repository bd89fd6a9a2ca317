"""Whether a second form of the same tier pays where the first one isn't quite sure: agreement in the grey zone.

    .venv/bin/python scripts/bench_tune.py SETS clinc20 RECORDED --tier small --ask
    .venv/bin/python scripts/bench_agreement.py SETS clinc20 RECORDED --tier small --ask    # asks the next tier, too

A policy with one threshold accepts what is surer and sends up the rest. A policy with two also asks another form
between them, and accepts where both say the same. On half of the rows, by group, each finds the thresholds that take
the fewest seconds a row while at most 3 in 100 answers differ from the next tier's; the other half says what they are
worth. The seconds are those of the recording.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

import bench_tune
from rung.errors import RungError
from rung.learn.axes import DEFAULT, described
from rung.learn.results import TierResult
from rung.types import PromptForm

SPLITS = 200
HEAD = ("first form; second form", "same", "accepted: one threshold, two", "differ", "seconds a row", "ratio")
_LIMIT = 0.03
_GRID = 12
"""Thresholds that are tried, at quantiles of the scores of one half."""
_FEATURE = "allowed_minimum"
"""The least sure token, rung's default score of a choice and of an object."""


@dataclass(frozen=True)
class Rows:
    """What was answered to each row.

    Args:
        score: how sure the first form was; minus infinity where its answer is invalid.
        lost: whether that answer differs from the next tier's.
        same: whether the second form says the same.
        first: seconds of the first form.
        second: seconds of the second one.
        climb: seconds of the next tier.
    """

    score: np.ndarray
    lost: np.ndarray
    same: np.ndarray
    first: np.ndarray
    second: np.ndarray
    climb: np.ndarray

    def of(self, which: np.ndarray) -> Rows:
        """Some of them."""
        return Rows(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def under(self, sure: float, grey: float) -> tuple[float, float, float]:
        """Seconds a row, share that is lost, and share that is accepted.

        Args:
            sure: scores above are accepted.
            grey: scores above, up to `sure`, are accepted if the second form says the same.
        """
        accepted = self.score > sure
        asked = (self.score > grey) & ~accepted
        taken = accepted | (asked & self.same)
        seconds = self.first + np.where(asked, self.second, 0) + np.where(taken, 0, self.climb)
        return float(seconds.mean()), float((taken & self.lost).mean()), float(taken.mean())


def rows_of(first: Sequence[TierResult], second: Sequence[TierResult], top: Sequence[TierResult]) -> Rows:
    """The facts of some rows, from the results of both forms and of the next tier."""
    return Rows(
        np.array([one.features.get(_FEATURE, -np.inf) if one.valid else -np.inf for one in first]),
        np.array([one.value != other.value for one, other in zip(first, top, strict=True)]),
        np.array([one.valid and one.value == other.value for one, other in zip(second, first, strict=True)]),
        *(np.array([one.seconds for one in some]) for some in (first, second, top)),
    )


def best(rows: Rows, *, grey: bool) -> tuple[float, float]:
    """The two thresholds that take the fewest seconds within the limit; the same one twice without a grey zone."""
    finite = rows.score[np.isfinite(rows.score)]
    levels = [np.inf, *np.unique(np.quantile(finite, np.linspace(0, 1, _GRID)))] if len(finite) else [np.inf]
    found = (np.inf, np.inf)
    least = rows.under(*found)[0]
    for sure in levels:
        for low in [low for low in levels if low <= sure] if grey else [sure]:
            seconds, lost, _ = rows.under(float(sure), float(low))
            if lost <= _LIMIT and seconds < least:
                found, least = (float(sure), float(low)), seconds
    return found


def halves(rows: Rows, groups: Sequence[str]) -> Iterator[tuple[Rows, Rows]]:
    """One half to choose on and one to look at, by group."""
    labels = np.array(groups)
    every = sorted(set(groups))
    for seed in range(SPLITS):
        mixed = list(every)
        random.Random(seed).shuffle(mixed)
        chosen = np.isin(labels, mixed[: len(mixed) // 2])
        yield rows.of(chosen), rows.of(~chosen)


def line(name: str, rows: Rows, groups: Sequence[str]) -> str:
    """A line of the table: each policy's seconds, loss and accepted share on the halves that took no part."""
    one, two = [], []
    for choosing, looking in halves(rows, groups):
        one.append(looking.under(*best(choosing, grey=False)))
        two.append(looking.under(*best(choosing, grey=True)))
    (s1, l1, k1), (s2, l2, k2) = np.mean(one, axis=0), np.mean(two, axis=0)
    ratio = np.array([a[0] / b[0] for a, b in zip(two, one, strict=True)])
    low, high = np.quantile(ratio, [0.05, 0.95])
    return (
        f"| {name} | {rows.same.mean():.0%} | {k1:.0%}, {k2:.0%} | {l1:.1%}, {l2:.1%} | {s1:.2f}, {s2:.2f} | "
        f"{ratio.mean():.2f} ({low:.2f} to {high:.2f}) |"
    )


def main() -> None:
    """A table, one line for each second form."""
    parser = bench_tune.arguments(__doc__)
    options = parser.parse_args()
    with bench_tune.prepared(options) as what:
        if what.following is None:
            parser.error(f"no tier comes after {options.tier}")
        found = bench_tune.everything(what)
        top = bench_tune.asked_alone(what, what.following, what.rows)
        numbers = [row.number for row in what.rows]
        groups = [row.group or row.key for row in what.rows]
        print(f"\n| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")

        def of(form: PromptForm) -> list[TierResult]:
            return [found[form][number] for number in numbers]

        after = [top[number] for number in numbers]
        quickest = sorted(found, key=lambda form: np.mean([one.seconds for one in of(form)]))
        for first in dict.fromkeys((DEFAULT, max(found, key=lambda form: bench_tune.accuracy(of(form))))):
            for second in (form for form in quickest if form != first):
                print(line(f"{described(first)}; {described(second)}", rows_of(of(first), of(second), after), groups))


if __name__ == "__main__":
    try:
        main()
    except RungError as error:
        raise SystemExit(f"bench_agreement.py: error: {error}") from None
