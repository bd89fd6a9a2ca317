"""A population whose every risk is known: the score of a right answer is normal, that of a wrong one too, and lower."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import multivariate_normal, norm

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_TOGETHER = 0.755
"""Correlation of a prompt's latent difficulty for the two tiers: what is hard for one is hard for the other."""

_APART = 0.6
"""Share of prompts that both get wrong on which they differ."""


@dataclass(frozen=True)
class Draw:
    """Rows from a population: the score, and what is lost by accepting the small tier's answer."""

    scores: Floats
    wrong: Bools
    worse: Bools
    differs: Bools


@dataclass(frozen=True)
class Population:
    """A small tier and the mid tier.

    Args:
        small: share of prompts that the small tier gets right.
        auroc: of its score.
        mid: share that the mid tier gets right.
        step: scores are rounded to multiples of this, so that they tie; 0 leaves them.
    """

    small: float
    auroc: float
    mid: float
    step: float = 0.0

    @cached_property
    def shift(self) -> float:
        """How much higher a right answer scores than a wrong one."""
        return float(np.sqrt(2) * norm.ppf(self.auroc))

    @cached_property
    def both_wrong(self) -> float:
        """Share of prompts that both tiers get wrong."""
        corner = [norm.ppf(1 - self.small), norm.ppf(1 - self.mid)]
        return float(multivariate_normal.cdf(corner, cov=[[1, _TOGETHER], [_TOGETHER, 1]]))

    @property
    def mended(self) -> float:
        """Share of the small tier's wrong answers where mid is right."""
        return 1 - self.both_wrong / (1 - self.small)

    @property
    def spoilt(self) -> float:
        """Share of the small tier's right answers where mid is wrong."""
        return (1 - self.mid - self.both_wrong) / self.small

    def draw(self, generator: np.random.Generator, rows: int, *, group: int = 1, alike: float = 0.0) -> Draw:
        """Rows drawn at random; in groups of `group` rows that are alike to a degree."""
        groups = -(-rows // group)

        def normal() -> Floats:
            common = np.repeat(generator.normal(size=groups), group)[:rows]
            return np.sqrt(alike) * common + np.sqrt(1 - alike) * generator.normal(size=rows)

        def chance() -> Floats:
            return norm.cdf(normal()) if alike else generator.random(rows)

        right = chance() < self.small
        mid = np.where(right, chance() >= self.spoilt, chance() < self.mended)
        scores = normal() + self.shift * right
        if self.step:
            scores = np.round(scores / self.step) * self.step
        differs = np.where(right, ~mid, mid | (chance() < _APART))
        return Draw(scores, ~right, ~right & mid, differs)

    def accepted(self, threshold: float | Floats) -> tuple[Floats, Floats]:
        """Shares of all prompts that are accepted above a threshold and right, and accepted and wrong."""
        if self.step:
            threshold = (np.floor(threshold / self.step + 1e-9) + 0.5) * self.step
        return self.small * norm.sf(threshold - self.shift), (1 - self.small) * norm.sf(threshold)

    def kept(self, threshold: float | Floats | None) -> Any:
        """Share of prompts that a threshold keeps."""
        return 0.0 if threshold is None else sum(self.accepted(threshold))

    def wrong(self, threshold: float | Floats | None) -> Any:
        """Share of what is accepted that is wrong."""
        if threshold is None:
            return 0.0
        right, wrong = self.accepted(threshold)
        return wrong / np.maximum(right + wrong, 1e-300)

    def worse(self, threshold: float | Floats | None) -> Any:
        """Share of prompts where the ladder is wrong and mid is right."""
        return 0.0 if threshold is None else self.accepted(threshold)[1] * self.mended

    def differs(self, threshold: float | Floats | None) -> Any:
        """Share of prompts where the ladder differs from mid."""
        if threshold is None:
            return 0.0
        right, wrong = self.accepted(threshold)
        return right * self.spoilt + wrong * (self.mended + (1 - self.mended) * _APART)
