"""How far off a measured number may be, and whether two runs over the same rows differ by more than chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rung.errors import ConfigError
from rung.learn.arrays import Floats, Groups, truths_of, units_of
from rung.learn.extra import library

RESAMPLES = 1000
"""Resamples of a bootstrap. With this many, the ends of a 95% interval differ between seeds by about a tenth of its
width."""

_DEFINED = 0.9
"""Share of the resamples in which a number must exist for an interval to be given. Below it, the rest would be a biased
choice of resamples.
"""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured number and its interval.

    Args:
        value: as measured; `None` if the rows don't define it.
        low: lower end of the interval; `None` if there is no interval.
        high: upper end.
        level: share of samples in which such an interval contains the true number.
        rows: number of measured rows.
        groups: number of independent groups among them.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    rows: int
    groups: int


def share(values: ArrayLike, groups: Groups | None = None, level: float = 0.95) -> Estimate:
    """The share of rows that are right (or accepted, or sent up), with an interval that is valid even at 0 and 1.

        share([True, True, False], groups=["a", "a", "b"])

    The interval is Clopper and Pearson's. If rows come in groups, it uses the effective number of rows that the
    variance between groups leaves (Korn and Graubard 1998). If no row, or every row, is right, it uses the number of
    groups.

    Args:
        values: true or false per row.
        groups: label of each row's group.
        level: share of samples in which the interval contains the true share.

    Raises:
        ConfigError: a column is malformed, or the extra `eval` is missing.
    """
    right = truths_of("values", values)
    units = units_of(groups, len(right))
    rows, count = len(right), int(units.max()) + 1
    mean = float(right.mean())
    effective = float(rows)
    if count < rows:
        effective = float(count)
        if 0 < mean < 1 and count > 1:
            deviations = np.bincount(units, weights=right - mean)
            variance = count / (count - 1) * float((deviations**2).sum()) / rows**2
            effective = min(float(rows), mean * (1 - mean) / variance) if variance > 0 else float(rows)
    # not `scipy.stats`, which has the same behind a second and a half of imports
    quantile = library("scipy.special").betaincinv
    tail = (1 - level) / 2
    hits = mean * effective
    low = float(quantile(hits, effective - hits + 1, tail)) if hits > 0 else 0.0
    high = float(quantile(hits + 1, effective - hits, 1 - tail)) if hits < effective else 1.0
    return Estimate(mean, low, high, level, rows, count)


def bootstrap(
    statistic: Callable[..., float | None],
    *columns: ArrayLike,
    groups: Groups | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """A number with the interval from resampling its rows: whole groups are drawn, with replacement.

        bootstrap(apgr, scores, small_right, mid_right, groups=customers)

    The interval is between quantiles of the resampled numbers (Efron and Tibshirani 1993, section 13.3; for groups
    Davison and Hinkley 1997, section 3.8). Resamples in which the number doesn't exist, such as those without a wrong
    row, are left out. If those are more than a tenth, there is no interval.

    Args:
        statistic: takes the columns and returns the number or `None`.
        columns: arrays of one length, resampled together.
        groups: label of each row's group.
        level: share of samples in which the interval should contain the true number.
        resamples: number of resamples.
        seed: of the draws. The same seed gives the same interval.

    Raises:
        ConfigError: a column is malformed.
    """
    arrays = [np.asarray(column) for column in columns]
    rows = len(arrays[0])
    if any(len(array) != rows for array in arrays):
        raise ConfigError("the columns differ in length")
    if not rows:
        raise ConfigError("there is no row", hint="give at least one row")
    units = units_of(groups, rows)
    count = int(units.max()) + 1
    order = np.argsort(units, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(units))[:-1])
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        drawn = generator.integers(count, size=count)
        chosen = drawn if count == rows else np.concatenate([members[unit] for unit in drawn])
        value = statistic(*(array[chosen] for array in arrays))
        if value is not None:
            found.append(value)
    low = high = None
    if count > 1 and len(found) >= _DEFINED * resamples:
        tail = (1 - level) / 2
        low, high = (float(end) for end in np.quantile(found, [tail, 1 - tail]))
    return Estimate(statistic(*arrays), low, high, level, rows, count)


def mean(values: ArrayLike, groups: Groups | None = None, level: float = 0.95, resamples: int = RESAMPLES) -> Estimate:
    """A mean with the interval of `bootstrap`, all resamples at once: hundreds of times as fast.

    Args:
        values: a number per row.
        groups: label of each row's group.
        level: share of samples in which the interval should hold the true mean.
        resamples: how many are drawn.

    Raises:
        ConfigError: there is no row, or the columns differ in length.
    """
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        raise ConfigError("there is no row", hint="give at least one row")
    units = units_of(groups, len(array))
    count = int(units.max()) + 1
    value = float(array.mean())
    if count < 2:
        return Estimate(value, None, None, level, len(array), count)
    sums, sizes = np.bincount(units, weights=array), np.bincount(units)
    drawn = _drawn(count, resamples)
    tail = (1 - level) / 2
    low, high = np.quantile((drawn @ sums) / (drawn @ sizes), [tail, 1 - tail])
    return Estimate(value, float(low), float(high), level, len(array), count)


@lru_cache(maxsize=4)
def _drawn(count: int, resamples: int) -> NDArray[np.float64]:
    """How often each of so many groups is drawn, in each resample. The draws are the same in every run."""
    return np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Paired:
    """Two runs over the same rows, compared.

    Args:
        first_only: number of rows that only the first gets right.
        second_only: number of rows that only the second gets right.
        difference: share of rows right in the second, minus that in the first.
        p: probability of a difference at least as large if neither is better.
        rows: number of compared rows.
        groups: number of independent groups among them.
    """

    first_only: int
    second_only: int
    difference: float
    p: float
    rows: int
    groups: int


def paired(first: ArrayLike, second: ArrayLike, groups: Groups | None = None) -> Paired:
    """Test whether two runs over the same rows differ by more than chance. Exact, two-sided.

        paired(right_before, right_after).p

    Each group has a difference: rows that only the second gets right, minus those that only the first does. If neither
    run is better, each difference is as likely with the other sign. The distribution of their sum under all signs is
    computed, not sampled. Without groups that is McNemar's exact test (McNemar 1947); for groups it is the sign-flip
    test.

    Args:
        first: whether each row is right in the first run.
        second: the same in the second run, in the same order.
        groups: label of each row's group.

    Raises:
        ConfigError: a column is malformed.
    """
    before = truths_of("first", first)
    after = truths_of("second", second, len(before))
    units = units_of(groups, len(before))
    change = after.astype(np.float64) - before
    sums = np.rint(np.bincount(units, weights=change)).astype(int)
    return Paired(
        int((change < 0).sum()),
        int((change > 0).sum()),
        float(change.mean()),
        _sign_flip(np.abs(sums), abs(int(sums.sum()))),
        len(before),
        len(sums),
    )


def _sign_flip(sizes: np.ndarray[tuple[int], np.dtype[np.int_]], seen: int) -> float:
    """Probability that the sum of `sizes` with random signs is at least `seen` away from 0."""
    total = int(sizes.sum())
    chance: Floats = np.zeros(2 * total + 1)
    chance[total] = 1.0
    for size in sizes[sizes > 0]:
        chance = (np.roll(chance, size) + np.roll(chance, -size)) / 2
    away = np.abs(np.arange(-total, total + 1))
    return min(1.0, float(chance[away >= seen].sum()))
