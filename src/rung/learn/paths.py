"""One threshold for several tiers: how sure each tier must be, on a common scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rung.errors import ConfigError
from rung.learn.arrays import Floats, scores_of, truths_of
from rung.learn.extra import library


@dataclass(frozen=True, slots=True)
class Path:
    """Thresholds of several tiers that rise together. A tier's position is `intercept + slope * score`.

    Args:
        slopes: of each tier, 0 or more. At 0 the score says nothing, so the tier's answers are all accepted or none.
        intercepts: of each tier.
    """

    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]

    def positions(self, scores: ArrayLike) -> Floats:
        """The position of each answer on the path; minus infinity if it failed validation.

        Args:
            scores: how sure each tier was: (rows, tiers).
        """
        columns = np.asarray(scores, dtype=np.float64)
        if columns.ndim != 2 or columns.shape[1] != len(self.slopes):
            raise ConfigError(f"scores has the shape {columns.shape}, but {len(self.slopes)} tiers are expected")
        valid = np.isfinite(columns)
        placed = np.where(valid, columns, 0.0) * np.array(self.slopes) + np.array(self.intercepts)
        return np.where(valid, placed, -np.inf)

    def thresholds(self, position: float) -> tuple[float, ...]:
        """The threshold of each tier's own score at a position of the path."""
        return tuple(
            (position - intercept) / slope if slope > 0 else (-np.inf if intercept > position else np.inf)
            for slope, intercept in zip(self.slopes, self.intercepts, strict=True)
        )


def common(scores: ArrayLike, agrees: ArrayLike) -> Path:
    """Find the path on which all tiers are equally likely to agree with the last one. Choose it on fit rows.

    Each tier's position is the logit of "agrees" by logistic regression on its score. Thresholds at the same
    probability give up the fewest answers for the loss that they save.

    Args:
        scores: how sure each tier was, minus infinity where the answer failed validation: (rows, tiers).
        agrees: whether its answer agrees with the last tier's (or is right), in the same shape.

    Raises:
        ConfigError: a column is malformed, or the extra `eval` is missing.
    """
    columns, agree = np.asarray(scores), np.asarray(agrees)
    if columns.ndim != 2 or columns.shape != agree.shape:
        raise ConfigError("scores and agrees must have the same shape: rows, tiers")
    lines = [_line(scores_of(column), agree[:, tier]) for tier, column in enumerate(columns.T)]
    return Path(tuple(slope for slope, _ in lines), tuple(intercept for _, intercept in lines))


def _line(score: Floats, agrees: ArrayLike) -> tuple[float, float]:
    agree = truths_of("agrees", agrees, len(score))
    valid = np.isfinite(score)
    score, agree = score[valid], agree[valid]
    # one more answer of each kind than was seen, so that the logit is finite
    base = float(np.log((agree.sum() + 1) / ((~agree).sum() + 1)))
    width = float(score.std()) if len(score) else 0.0
    if width <= 0 or agree.all() or not agree.any():
        return 0.0, base
    middle = float(score.mean())
    model = library("sklearn.linear_model").LogisticRegression(solver="newton-cholesky")
    model.fit(((score - middle) / width)[:, None], agree)
    slope = float(model.coef_[0, 0]) / width
    return (slope, float(model.intercept_[0]) - slope * middle) if slope > 0 else (0.0, base)
