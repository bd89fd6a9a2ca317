"""A ladder's costs compared with simpler ways: mixing at random, and not asking the small tier at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rung.checking import real
from rung.learn.arrays import shares_of, truths_of


@dataclass(frozen=True, slots=True)
class EqualCost:
    """A ladder compared with random mixing that costs as much.

    Args:
        ladder: accuracy of the ladder.
        mixing: accuracy of sending a random share of the rows straight to the next tier, and the rest to the small one,
            at the ladder's mean cost. If that cost pays for every row at the next tier, it is the next tier's accuracy.
        cost: mean cost of a row, in the unit of the given costs.
        mixed_share: the random share.
    """

    ladder: float
    mixing: float
    cost: float
    mixed_share: float

    @property
    def gain(self) -> float:
        """By how much the ladder is more accurate."""
        return self.ladder - self.mixing


def equal_cost(
    accepted: ArrayLike, small: ArrayLike, larger: ArrayLike, *, small_cost: float, larger_cost: float
) -> EqualCost:
    """Compare a ladder with random mixing at equal cost. A ladder pays the small tier for every row; mixing doesn't.

    Args:
        accepted: whether the ladder gave the small tier's answer.
        small: whether that answer is right, or how good it is from 0 to 1.
        larger: the same for the next tier's answer.
        small_cost: mean cost of a row on the small tier: seconds, tokens or money.
        larger_cost: the same on the next tier; more than `small_cost`.

    Raises:
        ConfigError: a column is malformed, or the next tier doesn't cost more.
    """
    low = real("small_cost", small_cost, 0, np.inf)
    high = real("larger_cost", larger_cost, low, np.inf, above=True)
    kept = truths_of("accepted", accepted)
    first = shares_of("small", small, len(kept))
    second = shares_of("larger", larger, len(kept))
    cost = low + float((~kept).mean()) * high
    mixed = min(1.0, (cost - low) / (high - low))
    mixing = float(first.mean()) + mixed * float(second.mean() - first.mean())
    return EqualCost(float(np.where(kept, first, second).mean()), mixing, cost, mixed)


@dataclass(frozen=True, slots=True)
class Pay:
    """Whether asking a tier first saves time.

    Args:
        kept: share of prompts that the tier answers.
        seconds: mean seconds that it takes for a prompt.
        next_seconds: mean seconds that the next tier takes.
    """

    kept: float
    seconds: float
    next_seconds: float

    @property
    def needed(self) -> float:
        """The share that must be kept for asking the tier first to cost no time."""
        return self.seconds / self.next_seconds if self.next_seconds > 0 else float("inf")

    @property
    def pays(self) -> bool:
        """Whether more than that is kept."""
        return self.kept > self.needed

    @property
    def mean_seconds(self) -> float:
        """Mean seconds of a prompt if the tier is asked first."""
        return self.seconds + (1 - self.kept) * self.next_seconds
