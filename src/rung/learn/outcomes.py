"""What a ladder makes of rows at any thresholds, as arrays: how sure each tier was, and what its answer loses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rung.learn.arrays import Bools, Floats, Ints, units_of
from rung.learn.climbing import Climb
from rung.learn.fitting import Fitted
from rung.learn.questions import Kind, groups_of
from rung.learn.results import TierResult


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Rows as arrays: how sure each tier was, and what its answer loses.

    Args:
        scores: minus infinity where a tier has no valid answer: (rows, tiers).
        losses: whether accepting that answer loses the row, in the same shape.
        good: whether the answer is what the score should tell, in the same shape.
        base: whether the row is lost where every tier sends it up.
        units: the number of each row's group.
        rest: the place of the tier that answers where every tier here sends it up; -1 where none does.
    """

    scores: Floats
    losses: Bools
    good: Bools
    base: Bools
    units: Ints
    rest: Ints

    @classmethod
    def of(cls, climbs: Sequence[Climb], fitted: Sequence[Fitted], kind: Kind) -> Outcomes:
        """The arrays of some rows.

        Args:
            climbs: of the rows.
            fitted: the score of each tier that gets a threshold.
            kind: of loss.
        """
        steps = [[climb.steps[place] for climb in climbs] for place in range(len(fitted))]
        scores = [scored(one, each) for one, each in zip(fitted, steps, strict=True)]
        losses = [[_loses(step, climb.alone, kind) for step, climb in zip(each, climbs, strict=True)] for each in steps]
        last = len(climbs[0].steps) - 1
        thresholded = len(fitted) > last
        base = [not thresholded and _loses(climb.steps[-1], climb.alone, kind) for climb in climbs]
        rest = [last if not thresholded and climb.steps[-1].valid else -1 for climb in climbs]
        good = [[is_good(step, kind) for step in each] for each in steps]
        return cls(
            np.stack(scores, axis=1),
            np.array(losses, dtype=np.bool_).T,
            np.array(good, dtype=np.bool_).T,
            np.array(base, dtype=np.bool_),
            units_of(groups_of([climb.row for climb in climbs]), len(climbs)),
            np.array(rest, dtype=np.intp),
        )

    def under(self, above: Sequence[float]) -> tuple[Ints, Bools]:
        """The place of the tier that answers each row at some thresholds, and whether the row is lost.

        Args:
            above: the threshold of each tier.
        """
        accepts = self.scores > np.array(above)
        first, taken = accepts.argmax(axis=1), accepts.any(axis=1)
        lost = np.where(taken, self.losses[np.arange(len(first)), first], self.base)
        return np.where(taken, first, self.rest), lost


def scored(fitted: Fitted, steps: Sequence[TierResult]) -> Floats:
    """How sure a tier was of each answer; minus infinity where there is none, or a feature of it isn't known."""
    valid = np.array([step.valid for step in steps])
    return np.where(valid, fitted.scores({name: column_of(steps, name) for name in fitted.weights}), -np.inf)


def column_of(steps: Sequence[TierResult], name: str) -> Floats:
    """A feature of each valid answer; NaN where there is none."""
    return np.array([step.features.get(name, math.nan) if step.valid else math.nan for step in steps])


def _loses(step: TierResult, alone: TierResult, kind: Kind) -> bool:
    """Whether this answer loses the row. What nobody could compare or grade counts as lost."""
    if kind == "differs":
        return step.agrees is not True
    return step.right is not True and (kind == "wrong" or alone.right is not False)


def is_good(step: TierResult, kind: Kind) -> bool:
    """What the score should tell: whether the answer agrees with the last tier, or is right."""
    return (step.agrees if kind == "differs" else step.right) is True
