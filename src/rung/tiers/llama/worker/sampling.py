"""Choosing a token from logits, and telling how sure the model was of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rung.types import Sampling

Logits = NDArray[np.float32]
"""One float per token of the vocabulary: unnormalised log-probabilities."""

Mask = NDArray[np.uint8]
"""One bit per token of the vocabulary, the lowest first, which says whether the token is allowed."""

_HEAD = 256
_SURE = -1e-4
"""Log-probability from which on a token's place among the allowed ones isn't worked out. The figure can be off by no
more than this, and most tokens of an answer are as sure."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """How sure the model was of one token, at temperature 1.

    Args:
        logprob: natural logarithm of its probability, unconstrained.
        margin: `logprob` minus that of the likeliest other token.
        allowed_logprob: `logprob` among only the allowed tokens; `None` if nobody said which they are.
        allowed_margin: margin to the likeliest other allowed token; `None` if there was none, or nobody said.
    """

    logprob: float
    margin: float
    allowed_logprob: float | None = None
    allowed_margin: float | None = None


def confidence(logits: Logits, token: int, allowed: Callable[[], Mask | None] | None = None) -> Confidence:
    """How sure the model was of `token`. The logits are used up, since copying a whole vocabulary would cost as much
    again.

    Args:
        logits: the model's logits. They are meaningless afterwards.
        token: the chosen token.
        allowed: tells what else was allowed, or `None` if it can't. It is asked only if the answer could matter. If the
            model was sure of the token, or nobody can tell, the unconstrained probability is given. The probability
            among the allowed tokens lies between that and 1.
    """
    own = float(logits[token])
    logits[token] = -np.inf
    other = float(logits.max())
    top = max(own, other)
    logits -= np.float32(top)
    np.exp(logits, out=logits)
    # numpy adds in pairs, so a vocabulary of single floats is summed to six digits.
    weight = math.exp(own - top)
    logprob, margin = own - top - math.log(weight + float(logits.sum())), own - other
    if allowed is None:
        return Confidence(logprob, margin)
    if logprob > _SURE:
        return Confidence(logprob, margin, logprob, margin)
    mask = allowed()
    if mask is None:
        return Confidence(logprob, margin, logprob)
    return Confidence(logprob, margin, *_among(logits, own - top, mask))


def _among(weights: NDArray[np.float32], own: float, mask: Mask) -> tuple[float, float | None]:
    """Log-probability and margin of a token among the allowed ones.

    What single precision can't hold beside the likeliest token of all (45 orders of magnitude below it) counts as
    nothing.

    Args:
        weights: probabilities of the other tokens, up to a factor. They are used up.
        own: natural logarithm of the token's own probability, with the same factor.
        mask: which tokens are allowed.
    """
    dense = int(np.bitwise_count(mask).sum()) * 2 > len(weights)
    # Going through few bits is faster than through many: those of the allowed tokens, or those of all others.
    bits = np.unpackbits(~mask if dense else mask, bitorder="little", count=len(weights))
    few = np.flatnonzero(bits.view(np.bool_))  # with bytes it would take ten times as long
    if dense:
        weights[few] = 0
    left = weights if dense else weights[few]
    rival = float(left.max(initial=0))
    if not rival:
        return 0.0, None
    return own - math.log(math.exp(own) + float(left.sum())), own - math.log(rival)


class Sampler:
    """Chooses the tokens of one answer.

    Temperature 0 takes the likeliest token. Otherwise logits are divided by the temperature, and `min_p` and then
    `top_p` keep the head of the resulting distribution.

    Args:
        settings: temperature, filters and seed.
        index: number of the call's candidate that it chooses for. Each has random numbers of its own.
    """

    def __init__(self, settings: Sampling, index: int = 0) -> None:
        self._settings = settings
        # numpy accepts no negative seed, but other samplers do.
        seed = None if settings.seed is None else (settings.seed + index) % 2**64
        self._random = np.random.default_rng(seed)

    def choose(self, logits: Logits) -> int:
        """The index of the chosen token. `-inf` is never chosen while there is anything else."""
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
            # Sorting a whole vocabulary takes milliseconds, and the head nearly always has enough mass.
            head = kept[np.argpartition(weights[kept], -_HEAD)[-_HEAD:]]
            kept = head if weights[head].sum() >= mass else kept
        kept = kept[np.argsort(-weights[kept], kind="stable")]
        return kept[: int(weights[kept].cumsum().searchsorted(mass)) + 1]
