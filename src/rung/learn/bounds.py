"""How much a sample may lose before a limit on the whole can no longer be promised.

Each bound answers one question: do these losses still certify the limit? The rows are a sample of independent units.
A unit is a row, or a group of rows with their mean loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np

from rung.checking import real
from rung.learn.arrays import Floats, Ints
from rung.learn.extra import library

Method = Literal["binomial", "betting", "learn then test", "conformal risk control"]

_WHOLE = 1.25
"""Most rows a group, in the mean, for which a group counts as lost whole if one of its rows is. That is exact for the
many groups that are a single row, and a bet allows a quarter to a half fewer of those to be lost: one of 200, not two.
Larger groups lose more by it, for their rows are seldom all lost."""


class Bound(Protocol):
    """A rule that says whether losses are small enough. Fewer losses never turn a yes into a no."""

    def certifies(self, losses: Floats) -> bool:
        """Whether the limit can be promised, given the loss of each row."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Binomial:
    """The exact bound for independent units that are lost or not: the number of losses has a binomial distribution.

    A unit counts as lost if any of its rows is, so its mean loss is at most that.

    Args:
        allowed: the largest number of losses that still certifies; below 0 if there are too few units.
        units: the number of each row's unit; by default each row is one.
    """

    allowed: int
    units: Ints | None = None

    @classmethod
    def of(cls, rows: int, limit: float, delta: float) -> Binomial:
        """The bound for this many rows: the largest k with BinomCDF(k; rows, limit) <= delta."""
        return cls(_allowed(rows, limit, delta))

    def certifies(self, losses: Floats) -> bool:
        """Whether this many losses are allowed."""
        lost = losses if self.units is None else per_unit(losses, self.units) > 0
        return int(lost.sum()) <= self.allowed


@dataclass(frozen=True, slots=True)
class Conformal:
    """A bound in expectation only: conformal risk control (Angelopoulos et al. 2022, arXiv 2208.02814, theorem 1).

    Averaged over samples, the loss stays within the limit. Roughly every second sample exceeds it.

    Args:
        units: the number of each row's unit.
        limit: the largest mean loss.
    """

    units: Ints
    limit: float

    def certifies(self, losses: Floats) -> bool:
        """Whether the mean loss stays within the limit when one more unit is added that is lost whole."""
        means = per_unit(losses, self.units)
        return float(means.sum() + 1) <= self.limit * (len(means) + 1) + 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Betting:
    """A bound for losses between 0 and a known maximum: mean losses of groups, and losses weighted by 1/probability.

    A gambler bets against the statement that the mean loss is above the limit. If the statement is true, he rarely
    becomes rich: a fortune of 1/delta has at most the probability delta (Waudby-Smith and Ramdas 2024, arXiv
    2010.09686, section 4). Stakes are fixed before any loss is seen, and the fortune is looked at once, after the last
    unit. So the order of the units doesn't matter, and nobody can choose it.

    Args:
        units: the number of each row's unit.
        weights: of each row: 1, or 1/probability that it was looked at.
        most: the largest mean loss that each unit can have.
        limit: the largest mean loss.
        delta: how often the promise may fail.
        stakes: shares of the largest possible stake. The fortune is the mean over them.
    """

    units: Ints
    weights: Floats
    most: Floats
    limit: float
    delta: float
    stakes: tuple[float, ...]

    @classmethod
    def of(cls, units: Ints, weights: Floats, limit: float, delta: float) -> Betting:
        """The bound for these rows.

        Half of the money bets the stake that allows most rows to be lost if every loss is whole. The other half bets
        more, by two thirds of what is left, because losses that spread over the rows of a group leave room for that.
        """
        most = per_unit(weights, units)
        shares = np.linspace(0.01, 0.99, 99)
        kinds, counts = np.unique(most, return_counts=True)
        gains = np.log1p(np.outer(shares, limit / (kinds - limit))) @ counts
        allowed = (gains + np.log(delta)) / (gains / len(most) - np.log1p(-shares))
        best = float(shares[int(np.argmax(allowed))])
        return cls(units, weights, most, limit, delta, (best, 1 - (1 - best) / 3))

    def certifies(self, losses: Floats) -> bool:
        """Whether the gambler has become rich."""
        means = per_unit(losses * self.weights, self.units)
        edge = (self.limit - means) / (self.most - self.limit)
        return fortune(edge, self.stakes) >= -math.log(self.delta)


@lru_cache(maxsize=4096)
def _allowed(rows: int, limit: float, delta: float) -> int:
    special = library("scipy.special")

    def chance(losses: int) -> float:
        """The binomial CDF, of fewer losses than rows."""
        return float(special.betainc(rows - losses, losses + 1, 1 - limit))

    # the real number at which the CDF is delta, or NaN if it is above delta at 0; the integer is found beside it
    inverse = special.bdtrik(delta, rows, limit)
    most = 0 if math.isnan(inverse) else min(int(inverse), rows - 1)
    while most >= 0 and chance(most) > delta:
        most -= 1
    while most + 1 < rows and chance(most + 1) <= delta:
        most += 1
    return most


def fortune(edge: Floats, stakes: tuple[float, ...]) -> float:
    """The logarithm of the gambler's fortune after all bets, as the mean over several stakes.

    Args:
        edge: what a whole stake wins on each unit, at least -1.
        stakes: shares of a whole stake.
    """
    with np.errstate(divide="ignore"):
        logs = np.array([np.log1p(np.maximum(stake * edge, -1.0)).sum() for stake in stakes])
    return float(np.logaddexp.reduce(logs) - np.log(len(stakes)))


def per_unit(values: Floats, units: Ints) -> Floats:
    """The mean of each unit's rows."""
    return np.bincount(units, weights=values).astype(np.float64) / np.bincount(units)


def promise(limit: float, delta: float) -> tuple[float, float]:
    """Check the two numbers of a promise, each strictly between 0 and 1.

    Raises:
        ConfigError: one of them isn't.
    """
    return (
        real("limit", limit, 0, 1, above=True, below=True),
        real("delta", delta, 0, 1, above=True, below=True),
    )


def bound_for(units: Ints, weights: Floats, limit: float, delta: float, *, graded: bool) -> tuple[Bound, Method]:
    """The bound that suits the rows: exact if nearly all are independent, looked at, and lost or not; else betting.

    Sizes of groups decide, and no loss, so that nobody chooses the bound that suits what was lost.

    Args:
        units: the number of each row's group.
        weights: 1/probability that each was looked at.
        limit: the limit to promise.
        delta: share of samples in which the promise may fail.
        graded: whether a loss lies between 0 and 1.
    """
    groups = int(units.max()) + 1
    if not graded and len(units) <= _WHOLE * groups and (weights == 1).all():
        return Binomial(_allowed(groups, limit, delta), units), "binomial"
    return Betting.of(units, weights, limit, delta), "betting"
