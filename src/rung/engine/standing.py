"""What was learnt about a tier for the request's task, and whether it still holds."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass

from rung.engine.forming import form_in_force
from rung.engine.plan import Plan
from rung.tier import Rung
from rung.types import Conditions, Threshold


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the task says of an answer.

    Args:
        threshold: how sure the tier has to be; `None` where the task doesn't say.
        notes: sentences for the trace.
    """

    threshold: Threshold | None = None
    notes: tuple[str, ...] = ()


def learnt(plan: Plan, rung: Rung) -> Learnt:
    """What was learnt about a tier for the request's task. It is asked after the answer, when the weights are known.

    If it is void, valid answers are sent up, by a threshold that no answer reaches. If the task accepts such answers,
    or no other tier may be asked, the attempt says instead that it is unknown how sure the answer is.

    Args:
        plan: the run.
        rung: the tier that answered.
    """
    task = plan.task
    if task is None:
        return Learnt()
    found = task.standing(conditions(plan, rung))
    if not found.void:
        return Learnt(found.threshold, found.notes)
    changed = f"{' and '.join(found.void)} changed since"
    said = f"what was learnt about this tier for the task {task.name!r} is void: {changed}; run `rung calibrate` anew"
    if task.on_void == "escalate" and not _is_last(plan, rung):
        return Learnt(Threshold(math.inf, {}, origin=f"not calibrated: {changed}"), (said, *found.notes))
    return Learnt(None, (f"{said}. Nobody knows how sure this answer is", *found.notes))


def conditions(plan: Plan, rung: Rung) -> Conditions:
    """The conditions under which a tier answers this request, as far as it can tell.

    Args:
        plan: the run.
        rung: the tier that answers.
    """
    found = form_in_force(plan, rung)
    weights = {r.tier.name: r.pinned.weights for r in plan.rungs if r.pinned is not None}
    return Conditions(
        tier=rung.tier.name,
        weights=weights.get(rung.tier.name),
        others={name: sha256 for name, sha256 in weights.items() if sha256 is not None and name != rung.tier.name},
        prompt=plan.prompt,
        contract=plan.contract.sha256,
        sampling=plan.request.sampling,
        max_tokens=plan.request.max_tokens or rung.max_tokens,
        repairs=rung.most_repairs,
        feedback=rung.feedback,
        behaviour=rung.describes.behaviour if rung.describes is not None else {},
        setup=rung.describes.setup if rung.describes is not None else {},
        form="" if found is None else found.sha256,
    )


def form(plan: Plan) -> str:
    """sha256 of a plan's kind of request: contract, template, sampling and cap.

    Nothing of the prompt is in it, because whoever has such a hash could guess what was asked. A template is in a
    task's file, so its hash is included.
    """
    request = plan.request
    sampling = request.sampling
    chosen = [sampling.temperature, sampling.top_p, sampling.min_p, sampling.stop]
    whole = json.dumps([plan.contract.sha256, plan.prompt, chosen, request.max_tokens])
    return hashlib.sha256(whole.encode()).hexdigest()


def _is_last(plan: Plan, rung: Rung) -> bool:
    """Whether no tier after this one may be asked, however far the prompt may travel."""
    later = plan.rungs[plan.rungs.index(rung) + 1 :]
    return all(r.tier.zone > plan.reach for r in later)
