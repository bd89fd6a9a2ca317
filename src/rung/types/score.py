"""How sure a model was of its answer, and how sure it has to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Score:
    """What the log-probabilities of the tokens that a model chose amount to. Nothing here is calibrated.

    Args:
        sum: sum of log-probabilities.
        mean: their mean.
        minimum: the least of them.
        margin: the least margin to the runner-up; `None` where the tier reports none.
        tokens: how many were counted. Forced tokens and JSON punctuation are not.
    """

    sum: float
    mean: float
    minimum: float
    margin: float | None
    tokens: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """How sure a tier must be of a valid answer before that is accepted.

    The score is a weighted sum of features: `bias + sum(weights[name] * features[name])`. One feature with the weight 1
    is that feature itself.

    Args:
        above: an answer is accepted where its score is greater than this.
        weights: the weight of each feature, by its name.
        bias: added to the sum.
        origin: where the figure comes from, in the words that the attempt shows.
        curve: pairs of a score and the probability that an answer with this score is right, in rising order. For
            display only; empty where nobody measured it.
    """

    above: float
    weights: Mapping[str, float]
    bias: float = 0.0
    origin: str = ""
    curve: tuple[tuple[float, float], ...] = field(default=(), repr=False)
