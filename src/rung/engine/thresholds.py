"""Which threshold an answer has to reach: what was learnt for the task, what a person set, or the tier's default."""

from __future__ import annotations

import math
from dataclasses import replace

from rung.engine.plan import Plan
from rung.tier import Rung
from rung.types import Threshold


def threshold(plan: Plan, rung: Rung, learnt: Threshold | None = None) -> Threshold | None:
    """How sure a tier has to be of a valid answer; `None` if it doesn't have to be.

    The first of these that exists: the caller's threshold, what was learnt for the task, the rung's `min_confidence`,
    the tier's default. A `min_confidence` of 0 demands nothing, and turns the default off. The default applies only if
    the request is for a shape and the next tier is on this machine and costs nothing.

    Args:
        plan: the run.
        rung: the tier that answered.
        learnt: what `engine.standing` has for the request's task.
    """
    given = plan.thresholds.get(rung.tier.name, learnt)
    if given is not None:
        return given
    if rung.min_confidence is not None:
        return _configured(rung.min_confidence) if rung.min_confidence else None
    if rung.thresholds is None or plan.contract.shape is None or not _may_climb(plan, rung):
        return None
    default = rung.thresholds.default_threshold(plan.contract.shape)
    return None if default is None else replace(default, soft=True)


def _configured(least: float) -> Threshold:
    """`min_confidence` as a threshold on the log-probability of the least sure token. Reaching it is enough."""
    return Threshold(math.nextafter(math.log(least), -math.inf), {"minimum": 1.0}, origin="min_confidence")


def _may_climb(plan: Plan, rung: Rung) -> bool:
    """Whether the next tier within the prompt's reach is on this machine and costs nothing."""
    later = plan.rungs[plan.rungs.index(rung) + 1 :]
    permitted = (r for r in later if r.tier.zone <= plan.reach)
    following = next(permitted, None)
    return following is not None and not following.may_cost
