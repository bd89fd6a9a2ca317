"""Everything that one run needs, put together by the ladder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rung import deferral
from rung.consent import Consent, always
from rung.contract import Contract
from rung.contract.sameness import Same
from rung.engine.residency import Residency
from rung.engine.shadows import Shadows
from rung.limits import Budget, Cancel, Deadline
from rung.money import PaidAfter, Purse
from rung.threads import Awaiter, refuse_to_await
from rung.tier import Rung
from rung.types import Event, Redactor, Request, Task, Threshold, Zone

Observer = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one request.

    Args:
        request: what was asked.
        contract: what the answer must be.
        rungs: the tiers with their settings, smallest first.
        reach: how far the prompt may travel.
        budget: what the request may use.
        deadline: when the request must be over. The budget's seconds are included.
        rule: what to do after an attempt.
        consent: asked before each hop beyond this machine.
        purse: reserves money, in addition to the request's own budget.
        observers: told of every event.
        redactor: masks what leaves the machine, where a tier has no redactor of its own.
        paid_after: whether money may be spent after any failure, or only after the local tiers have answered.
        cancel: stops the run.
        await_: waits for awaitables of validators and consent.
        provisional: whether to show text that isn't validated.
        residency: looks after the models in memory.
        task: the task that the request belongs to, if any.
        prompt: sha256 of the template that made the request's messages; empty where there was no template.
        notes: sentences for the outcome.
        thresholds: how sure a tier has to be, by its name, where the caller says so. They override what was learnt.
        same: finds out how two answers are compared, if the request's task says so.
        shadows: asks some accepted answers of the next tier as well; `None` asks none.
        is_shadow: whether this run is such a question itself.
    """

    request: Request
    contract: Contract[Any]
    rungs: tuple[Rung, ...]
    reach: Zone = Zone.HOST
    budget: Budget = Budget()
    deadline: Deadline = Deadline()
    rule: deferral.Rule = deferral.standard
    consent: Consent = always
    purse: Purse | None = None
    observers: tuple[Observer, ...] = ()
    redactor: Redactor | None = None
    paid_after: PaidAfter = "local_answers"
    cancel: Cancel = field(default_factory=Cancel)
    await_: Awaiter = refuse_to_await
    provisional: bool = False
    residency: Residency = field(default_factory=Residency)
    task: Task | None = None
    prompt: str = ""
    notes: tuple[str, ...] = ()
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    same: Callable[[], Same | None] | None = None
    shadows: Shadows | None = None
    is_shadow: bool = False
