"""Choosing a token from logits, and what the model thought of the choice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rung.types import Sampling

Logits = NDArray[np.float32]
"""One float per token of the vocabulary: unnormalised log-probabilities."""

_HEAD = 256


@dataclass(frozen=True, slots=True)
class Confidence:
    """What the model, unconstrained and at temperature 1, thought of one token.

    Args:
        logprob: natural logarithm of its probability.
        margin: `logprob` less that of the likeliest other token.
    """

    logprob: float
    margin: float


def confidence(logits: Logits, token: int) -> Confidence:
    """What the model thought of `token`. The logits are used up: a copy of a whole vocabulary would cost as much again.

    Args:
        logits: as the model gave them; meaningless afterwards.
        token: that was chosen.
    """
    own = float(logits[token])
    logits[token] = -np.inf
    other = float(logits.max())
    top = max(own, other)
    logits -= np.float32(top)
    np.exp(logits, out=logits)
    # numpy adds in pairs: a vocabulary of single floats is summed to six digits.
    mass = math.exp(own - top) + float(logits.sum())
    return Confidence(own - top - math.log(mass), own - other)


class Sampler:
    """Chooses the tokens of one answer.

    Temperature 0 takes the likeliest token. Otherwise logits are divided by the temperature, and of the resulting
    distribution `min_p` and then `top_p` keep the head.

    Args:
        settings: temperature, filters and seed.
        index: which of a call's candidates it chooses for; each has random numbers of its own.
    """

    def __init__(self, settings: Sampling, index: int = 0) -> None:
        self._settings = settings
        # numpy takes no negative seed; other samplers do.
        seed = None if settings.seed is None else (settings.seed + index) % 2**64
        self._random = np.random.default_rng(seed)

    def choose(self, logits: Logits) -> int:
        """The index of the chosen token; `-inf` is never chosen while anything else is there."""
        if not self._settings.temperature:
            return int(logits.argmax())
        weights = logits.astype(np.float64)
        weights -= weights.max()
        weights /= self._settings.temperature
        np.exp(weights, out=weights)
        kept = self._head(weights)
        cumulative = weights[kept].cumsum()
        at = int(cumulative.searchsorted(self._random.random() * cumulative[-1], side="right"))
        return int(kept[min(at, len(kept) - 1)])

    def _head(self, weights: NDArray[np.float64]) -> NDArray[np.intp]:
        """Indices of the tokens that the filters keep.

        Args:
            weights: probabilities up to a factor, the largest 1.
        """
        kept = np.flatnonzero(weights >= max(self._settings.min_p or 0.0, np.finfo(np.float64).tiny))
        top_p = self._settings.top_p
        if top_p is None or top_p >= 1.0:
            return kept
        mass = weights[kept].sum() * top_p
        if len(kept) > _HEAD:
            # Sorting a whole vocabulary takes milliseconds, and the head nearly always holds the mass.
            head = kept[np.argpartition(weights[kept], -_HEAD)[-_HEAD:]]
            kept = head if weights[head].sum() >= mass else kept
        kept = kept[np.argsort(-weights[kept], kind="stable")]
        return kept[: int(weights[kept].cumsum().searchsorted(mass)) + 1]
