"""How sure a model was of its answer, and how sure it has to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

FEATURES = (
    "sum",
    "mean",
    "minimum",
    "quantile10",
    "margin",
    "tokens",
    "allowed_sum",
    "allowed_mean",
    "allowed_minimum",
    "allowed_margin",
    "choices",
)
"""What a `Threshold` can weigh, under the names that `Score.features` and a task's file use."""


@dataclass(frozen=True, slots=True)
class Score:
    """How sure a model was of its answer, from the log-probabilities of the tokens that it chose. Nothing here is
    calibrated.

    Only tokens that carry a value count, and those that end one: the closing quote of a string, what follows a number,
    the end of a text. Forced tokens don't count.

    Args:
        sum: sum of the log-probabilities.
        mean: their mean.
        minimum: the least of them.
        margin: the least margin to the runner-up; `None` where the tier reports none.
        tokens: how many tokens count.
        quantile10: the log-probability that a tenth of them lie below, interpolated between two of them.
        allowed_sum: like `sum`, but among only the tokens that the shape allowed. This and the next three are `None`
            where the tier doesn't report them.
        allowed_mean: like `mean`, among the allowed tokens.
        allowed_minimum: like `minimum`, among the allowed tokens.
        allowed_margin: like `margin`, among the allowed tokens; also `None` where no token had a rival that was
            allowed.
        choices: sum of the log-probabilities, among what the shape allowed, of the tokens that carry no value: an
            optional field that was written or left out, one more element or none. It is 0 where all of them were
            forced, and `None` for one field of several, and where the tier doesn't report what was allowed.
    """

    sum: float
    mean: float
    minimum: float
    margin: float | None
    tokens: int
    quantile10: float | None = None
    allowed_sum: float | None = None
    allowed_mean: float | None = None
    allowed_minimum: float | None = None
    allowed_margin: float | None = None
    choices: float | None = None

    @property
    def features(self) -> Mapping[str, float]:
        """The known ones of these figures by name, for a `Threshold` to weigh."""
        return {name: float(value) for name in FEATURES if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Threshold:
    """How sure a tier must be of a valid answer for it to be accepted.

        sure = rung.Threshold(above=-0.1, weights={"minimum": 1.0}, origin="my own rows")
        sure.accepts(sure.weigh({"minimum": -0.02}))  # True
        ladder.run("Is water wet?", ["yes", "no"], thresholds={"small": sure}).checked_by  # ('schema', 'confidence')

    The score is a weighted sum of features: `bias + sum(weights[name] * features[name])`. A single feature with the
    weight 1 is the score itself.

    Args:
        above: an answer is accepted if its score is greater than this.
        weights: the weight of each feature, by its name.
        bias: added to the sum.
        origin: where the figure comes from, in the words that the attempt shows.
        soft: whether it only decides which tier of this machine answers. An answer below a soft threshold is held
            back while a later tier of this machine may give a valid one, and accepted where none does. A threshold
            that isn't soft rejects the answer.
        curve: pairs of a score and the probability that an answer with this score is right, in rising order. For
            display only; empty where nobody measured it.
    """

    above: float
    weights: Mapping[str, float]
    bias: float = 0.0
    origin: str = ""
    soft: bool = False
    curve: tuple[tuple[float, float], ...] = field(default=(), repr=False)

    def weigh(self, features: Mapping[str, float]) -> float | None:
        """The score of an answer; `None` where one of its features isn't known.

        Args:
            features: the answer's features, as in `Score.features`.
        """
        if not self.weights.keys() <= features.keys():
            return None
        return self.bias + sum(weight * features[name] for name, weight in self.weights.items())

    def accepts(self, score: float | None) -> bool:
        """Whether an answer with this score is sure enough. An unknown score satisfies only a soft threshold."""
        return self.soft if score is None else score > self.above

    def probability(self, score: float) -> float | None:
        """The probability that an answer with this score is right, read off the curve; `None` without a curve.

        Between two points of the curve it is interpolated. Beyond an end it is the probability at that end.
        """
        if not self.curve:
            return None
        if score <= self.curve[0][0]:
            return self.curve[0][1]
        for (low, below), (high, above) in pairwise(self.curve):
            if score <= high:
                return below + (above - below) * (score - low) / (high - low) if high > low else above
        return self.curve[-1][1]
