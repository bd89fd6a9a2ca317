"""Whether fresh rows confirm what a certificate promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rung.errors import ConfigError
from rung.learn.arrays import Groups, shares_of, units_of
from rung.learn.bounds import bound_for, fortune, per_unit, promise
from rung.learn.climbing import Climb
from rung.learn.extra import library
from rung.learn.fitting import Fitted
from rung.learn.judgements import Judgements
from rung.learn.learned import Learned, Promise
from rung.learn.outcomes import Outcomes, differs
from rung.learn.questions import Kind, groups_of

_CONTRADICTED = 0.05
"""A certificate is contradicted if fresh rows at least as bad as those seen have at most this probability."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """What fresh rows say about a certificate.

    Args:
        verdict: `contradicted`, `confirmed` (the fresh rows alone would certify as much), or `too few rows to tell`.
        p: probability of at least as much loss as was seen, if the promise is right; for groups an upper bound.
        losses: how much was lost.
        rows: number of fresh rows that count: all, or the accepted ones if the promise is about those.
        groups: number of independent groups among them.
        limit: the promised limit.
        unknown: number of rows of which it is unknown whether they are lost.
    """

    verdict: Literal["contradicted", "confirmed", "too few rows to tell"]
    p: float
    losses: float
    rows: int
    groups: int
    limit: float
    unknown: int = 0


def check(losses: ArrayLike, *, limit: float, delta: float, groups: Groups | None = None) -> Recheck:
    """Whether fresh rows contradict a certificate.

        check(differs[fresh], limit=0.03, delta=0.1).verdict

    Rows that are lost or not, and nearly all of them independent, get the exact binomial test. Others get a bet on a
    larger loss.

    Args:
        losses: of each fresh row under the certified policy, 0 if it was sent up. For a promise about accepted answers
            give only the accepted rows.
        limit: the promised limit.
        delta: of the certificate.
        groups: label of each row's group.

    Raises:
        ConfigError: a column is malformed, or a number is out of range.
    """
    limit, delta = promise(limit, delta)
    lost = shares_of("losses", losses)
    units = units_of(groups, len(lost))
    bound, method = bound_for(units, np.ones(len(lost)), limit, delta, graded=bool(((lost > 0) & (lost < 1)).any()))
    if method == "binomial":
        # a group that is lost in part is no evidence here, as it is a whole loss to the bound
        whole = per_unit(lost, units) == 1
        p = float(library("scipy.special").bdtrc(whole.sum() - 1, len(whole), limit))
    else:
        edge = (per_unit(lost, units) - limit) / limit
        p = min(1.0, float(np.exp(-fortune(edge, _STAKES))))
    verdict: Literal["contradicted", "confirmed", "too few rows to tell"] = "too few rows to tell"
    if p <= _CONTRADICTED:
        verdict = "contradicted"
    elif bound.certifies(lost):
        verdict = "confirmed"
    return Recheck(verdict, p, float(lost.sum()), len(lost), int(units.max()) + 1, limit)


def recheck(climbs: Sequence[Climb], learned: Learned, judgements: Judgements) -> Recheck:
    """Whether fresh rows contradict what a task promises.

    A row of which it is unknown whether it is lost counts as kept for a contradiction, and as lost for a confirmation.
    So even without labels a promise about right answers can be confirmed if few answers differ.

    Args:
        climbs: what every tier answered to each fresh row.
        learned: of the task.
        judgements: a person's, if these rows were judged.

    Raises:
        ConfigError: the ladder has other tiers than the promise, or the promise can't be checked on rows.
    """
    promised = _promise_of(climbs, learned)
    tiers = [step.tier for step in climbs[0].steps if step.tier in learned.tiers]
    scores = [Fitted(learned.tiers[name].weights, learned.tiers[name].bias, (), None, 0, 0) for name in tiers]
    above = [learned.tiers[name].threshold.above for name in tiers]
    answered, _ = Outcomes.of(climbs, scores, promised.kind).under(above)
    last = len(climbs[0].steps) - 1
    places = [int(place) if place >= 0 else last for place in answered]
    if promised.kind == "wrong":
        taken = [at for at, place in enumerate(answered) if place >= 0]
        climbs, places = [climbs[at] for at in taken], [places[at] for at in taken]
    if not climbs:
        return Recheck("too few rows to tell", 1.0, 0.0, 0, 0, promised.limit)
    lost = [_lost(climb, place, promised.kind, judgements) for climb, place in zip(climbs, places, strict=True)]
    groups = groups_of([climb.row for climb in climbs])
    least, most = (
        check([float(wrong) for wrong in column], limit=promised.limit, delta=promised.delta, groups=groups)
        for column in ([one is True for one in lost], [one is not False for one in lost])
    )
    verdict = least.verdict
    if verdict != "contradicted":
        verdict = "confirmed" if most.verdict == "confirmed" else "too few rows to tell"
    return replace(least, verdict=verdict, unknown=lost.count(None))


def _promise_of(climbs: Sequence[Climb], learned: Learned) -> Promise:
    promised, names = learned.promise, [step.tier for step in climbs[0].steps]
    if promised is None:
        raise ConfigError("nothing is promised of this task, so there is nothing to check", hint="calibrate it first")
    if promised.average:
        raise ConfigError(
            "a promise on average over samples says nothing about one calibration, so no rows can contradict it",
            hint="calibrate without --on-average on fresh rows",
        )
    of = names if promised.kind == "wrong" else names[:-1]
    if names[-1] != promised.against or set(of) != set(learned.tiers):
        then = " and ".join(dict.fromkeys((*learned.tiers, promised.against)))
        raise ConfigError(
            f"the promise is about a ladder of {then}, but this one is {' and '.join(names)}",
            hint="check it with the ladder that was calibrated, or calibrate anew",
        )
    return promised


def _lost(climb: Climb, place: int, kind: Kind, judgements: Judgements) -> bool | None:
    """Whether the ladder's answer loses the row; `None` if unknown."""
    step, alone = climb.steps[place], climb.alone
    if kind == "differs":
        return differs(climb, place)
    if kind == "wrong":
        return None if step.right is None else not step.right
    if not differs(climb, place) or not alone.valid:
        return False
    if step.right is not None and alone.right is not None:
        return alone.right and not step.right
    return judgements.loses(climb, place)


_STAKES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Stakes against a promise. The best one, if the loss is r times the limit, is about (r - 1) times the limit."""
