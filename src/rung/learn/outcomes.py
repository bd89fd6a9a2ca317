"""A ladder's results on rows at any thresholds, as arrays: how sure each tier was, and what its answer loses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rung.learn.arrays import Bools, Floats, Ints, units_of
from rung.learn.climbing import Climb
from rung.learn.fitting import Fitted
from rung.learn.judgements import Judgements
from rung.learn.questions import Kind, groups_of
from rung.learn.results import TierResult


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Rows as arrays: how sure each tier was, and what its answer loses.

    Args:
        scores: minus infinity if a tier has no valid answer: (rows, tiers).
        losses: whether accepting that answer loses the row, in the same shape.
        good: whether the answer is what the score should predict, in the same shape.
        base: whether the row is lost if every tier sends it up.
        units: the number of each row's group.
        rest: the index of the tier that answers if every tier here sends the row up; -1 if none does.
    """

    scores: Floats
    losses: Bools
    good: Bools
    base: Bools
    units: Ints
    rest: Ints

    @classmethod
    def of(
        cls, climbs: Sequence[Climb], fitted: Sequence[Fitted], kind: Kind, judgements: Judgements | None = None
    ) -> Outcomes:
        """The arrays of some rows.

        Args:
            climbs: of the rows.
            fitted: the score of each tier that gets a threshold.
            kind: of loss.
            judgements: a person's, for the kind `judged`. An unjudged disagreement is lost.
        """
        steps = [[climb.steps[place] for climb in climbs] for place in range(len(fitted))]
        scores = [scored(one, each) for one, each in zip(fitted, steps, strict=True)]
        losses = [[_loses(climb, place, kind, judgements) for climb in climbs] for place in range(len(fitted))]
        last = len(climbs[0].steps) - 1
        thresholded = len(fitted) > last
        base = [not thresholded and _loses(climb, last, kind, judgements) for climb in climbs]
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
        """The index of the tier that answers each row at some thresholds, and whether the row is lost.

        Args:
            above: the threshold of each tier.
        """
        accepts = self.scores > np.array(above)
        first, taken = accepts.argmax(axis=1), accepts.any(axis=1)
        lost = np.where(taken, self.losses[np.arange(len(first)), first], self.base)
        return np.where(taken, first, self.rest), lost


def scored(fitted: Fitted, steps: Sequence[TierResult]) -> Floats:
    """How sure a tier was of each answer; minus infinity if there is none, or a feature of it is unknown."""
    valid = np.array([step.valid for step in steps])
    return np.where(valid, fitted.scores({name: column_of(steps, name) for name in fitted.weights}), -np.inf)


def column_of(steps: Sequence[TierResult], name: str) -> Floats:
    """A feature of each valid answer; NaN if there is none."""
    return np.array([step.features.get(name, math.nan) if step.valid else math.nan for step in steps])


def lost_first(scores: Floats, losses: Bools, base: Bools) -> tuple[Floats, Bools]:
    """The columns, with rows that are lost at any threshold put first on the way down.

    Args:
        scores: positions of each row on the path: (rows, tiers).
        losses: whether accepting that answer loses the row, in the same shape.
        base: whether the row is lost in any case.
    """
    columns, lost = scores.copy(), losses.copy()
    there = scores[np.isfinite(scores)]
    columns[base, 0] = float(there.max()) + 1.0 if len(there) else 1.0
    lost[base, 0] = True
    return columns, lost


def differs(climb: Climb, place: int) -> bool:
    """Whether a tier's answer differs from what the last tier says by itself. Answers that can't be compared differ."""
    return climb.steps[place].agrees is not True


def _loses(climb: Climb, place: int, kind: Kind, judgements: Judgements | None) -> bool:
    """Whether this answer loses the row. If it can't be compared, graded or judged, it does."""
    step, alone = climb.steps[place], climb.alone
    if kind == "differs":
        return differs(climb, place)
    if kind == "judged":
        # if the last tier has no valid answer, its answer can't be better
        known = None if judgements is None else judgements.loses(climb, place)
        return differs(climb, place) and alone.valid and known is not False
    return step.right is not True and (kind == "wrong" or alone.right is not False)


def is_good(step: TierResult, kind: Kind) -> bool:
    """What the score should predict: whether the answer agrees with the last tier, or is right."""
    return (step.agrees if kind in ("differs", "judged") else step.right) is True
