"""Choosing a token from logits, and telling how sure the model was of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rung.tiers.llama.worker.exponentials import LogitsSurvey, exponentials, mass, scratch, survey
from rung.types import Sampling

Logits = NDArray[np.float32]
"""One float per token of the vocabulary: unnormalised log-probabilities."""

Mask = NDArray[np.uint8]
"""One bit per token of the vocabulary, the lowest first, which says whether the token is allowed."""

_SURE = -1e-4
"""Log-probability from which on a token's place among the allowed ones isn't worked out. The figure can be off by no
more than this, and most tokens of an answer are as sure."""

_LEFT = 0.01
"""Least share of all probability for which what is allowed may be reckoned as the whole less what isn't. Below, the
difference of two nearly equal sums of floats would be off by more than 1e-4."""

_FLOORS = (1e-3, 1e-6)
"""Weights, relative to the likeliest token's, from which on tokens are sorted first. Sorting a whole vocabulary takes
milliseconds, and these nearly always have enough of the mass."""

_BLOCK = 512
"""Weights that are summed to one number, so that a random number finds its token in two short searches."""


class LogitsRow:
    """The logits after one token, and what is asked of them again and again, worked out once.

    A row is only good until the next step.

    Args:
        logits: contiguous, or what fetches them at the first use. They are left as they are.
        survey: of the logits, if the device that computed them has made one.
    """

    __slots__ = ("_logits", "_survey", "_token")

    def __init__(self, logits: Logits | Callable[[], Logits], survey: LogitsSurvey | None = None) -> None:
        self._logits = logits
        self._token = -1 if survey is None else survey.first
        self._survey = survey

    @property
    def logits(self) -> Logits:
        """One for each token of the vocabulary."""
        if callable(self._logits):
            self._logits = self._logits()
        return self._logits

    @property
    def token(self) -> int:
        """The likeliest token. Of several it is the first, or the one that the survey names."""
        if self._token < 0:
            self._token = int(self.logits.argmax())
        return self._token

    def logit(self, token: int) -> float:
        """The logit of a token. Those of the two likeliest are known once there is a survey."""
        found = self._survey
        if found is not None and token in (found.first, found.second):
            return found.top if token == found.first else found.runner_up
        return float(self.logits.item(token))

    def look(self) -> LogitsSurvey:
        """Find the likeliest tokens, and sum up all weights. Asked first, it serves what is asked afterwards."""
        if self._survey is None:
            self._survey = survey(self.logits)
            self._token = self._survey.first
        return self._survey


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


def confidence(row: LogitsRow, token: int, allowed: Callable[[], Mask | None] | None = None) -> Confidence:
    """How sure the model was of `token`.

    Args:
        row: the model's logits.
        token: the chosen token.
        allowed: tells what else was allowed, or `None` if it can't. It is asked only if the answer could matter. If the
            model was sure of the token, or nobody can tell, the unconstrained probability is given. The probability
            among the allowed tokens lies between that and 1.
    """
    found = row.look()
    own = row.logit(token)
    logprob, margin = own - found.top - math.log(found.mass), own - row.logit(found.rival(token))
    if allowed is None:
        return Confidence(logprob, margin)
    if logprob > _SURE:
        return Confidence(logprob, margin, logprob, margin)
    mask = allowed()
    if mask is None:
        return Confidence(logprob, margin, logprob)
    return Confidence(logprob, margin, *_among(row, token, own, mask))


def _among(row: LogitsRow, token: int, own: float, mask: Mask) -> tuple[float, float | None]:
    """Log-probability and margin of a token among the allowed ones.

    Args:
        row: the model's logits.
        token: the token.
        own: its logit.
        mask: which tokens are allowed.
    """
    size, found = len(row.logits), row.look()
    dense = int(np.bitwise_count(mask).sum()) > size // 2
    # Going through few weights is faster than through many: those of the allowed tokens, or those of all others. And
    # finding them among booleans takes a tenth of the time that it takes among bytes.
    few = np.flatnonzero(np.unpackbits(~mask if dense else mask, bitorder="little", count=size).view(np.bool_))
    if dense:
        weight = math.exp(own - found.top)
        left = found.mass - float(np.exp(row.logits[few] - np.float32(found.top)).sum(dtype=np.float64))
        rival = found.rival(token)
        if left > _LEFT * found.mass and not _within(few, rival):
            # `token` is allowed, so at least its own weight is left
            return math.log(weight / max(left, weight)), own - float(row.logits[rival])
        others = row.logits.copy()
        others[few] = -np.inf
        others[token] = -np.inf
    else:
        others = row.logits[few[few != token]]
    best = float(others.max(initial=-np.inf))
    if best == -np.inf:
        return 0.0, None
    top = max(best, own)
    weight = math.exp(own - top)
    return own - top - math.log(weight + mass(others, top)), own - best


def _likeliest(logits: Logits, allowed: NDArray[np.bool_]) -> int:
    if 2 * int(np.count_nonzero(allowed)) > len(allowed):
        return int(np.where(allowed, logits, np.float32(-np.inf)).argmax())
    few = np.flatnonzero(allowed)
    return int(few[logits[few].argmax()])


def _within(ordered: NDArray[np.intp], number: int) -> bool:
    at = int(ordered.searchsorted(number))
    return at < len(ordered) and int(ordered[at]) == number


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

    def choose(self, row: LogitsRow, allowed: NDArray[np.bool_] | None = None) -> int:
        """The index of the chosen token. `-inf` is never chosen while there is anything else.

        Args:
            row: the model's logits.
            allowed: which tokens may be chosen, at least one; all of them if left out.
        """
        if not self._settings.temperature:
            return row.token if allowed is None else _likeliest(row.logits, allowed)
        logits = row.logits if allowed is None else np.where(allowed, row.logits, np.float32(-np.inf))
        top = logits[row.token if allowed is None else logits.argmax()]
        if not self._settings.min_p and self._settings.top_p in (None, 1.0):
            return self._any(logits, top)
        weights = self._weigh(logits, top)
        kept = self._head(weights)
        cumulative = weights[kept].cumsum(dtype=np.float64)
        return int(kept[self._draw(cumulative)])

    def _weigh(self, logits: Logits, top: np.float32) -> Logits:
        """Probabilities up to a factor, the largest of the whole vocabulary 1. They are good until the next are asked.

        Args:
            logits: some of them.
            top: the largest of all.
        """
        weights, by = scratch(len(logits)), np.float32(self._settings.temperature)
        np.divide(logits, by, out=weights)
        exponentials(weights, float(top / by))
        return weights

    def _any(self, logits: Logits, top: np.float32) -> int:
        """A token in proportion to its weight."""
        weights = self._weigh(logits, top)
        whole = len(weights) // _BLOCK * _BLOCK
        sums = weights[:whole].reshape(-1, _BLOCK).sum(axis=1)
        if whole < len(weights):
            sums = np.append(sums, weights[whole:].sum())
        block = self._draw(sums.cumsum(dtype=np.float64)) * _BLOCK
        return block + self._draw(weights[block : block + _BLOCK].cumsum(dtype=np.float64))

    def _draw(self, cumulative: NDArray[np.float64]) -> int:
        """An index in proportion to the steps of a rising curve; one whose step is 0 is never drawn."""
        at = int(cumulative.searchsorted(self._random.random() * cumulative[-1], side="right"))
        return min(at, int(cumulative.searchsorted(cumulative[-1])))

    def _head(self, weights: Logits) -> NDArray[np.intp]:
        """Indices of the tokens that the filters keep.

        Args:
            weights: probabilities up to a factor, the largest 1.
        """
        least = max(self._settings.min_p or 0.0, float(np.finfo(np.float32).tiny))
        top_p = self._settings.top_p
        if top_p is None or top_p >= 1.0:
            return np.flatnonzero(weights >= least)
        if self._settings.min_p:
            mass = float(weights[weights >= least].sum(dtype=np.float64)) * top_p
        else:
            mass = float(weights.sum(dtype=np.float64)) * top_p
        for floor in (*_FLOORS, least):
            kept = np.flatnonzero(weights >= max(floor, least))
            if floor <= least or float(weights[kept].sum(dtype=np.float64)) >= mass:
                break
        kept = kept[np.argsort(-weights[kept], kind="stable")]
        return kept[: int(weights[kept].cumsum(dtype=np.float64).searchsorted(mass)) + 1]
