"""Everything that one run needs, put together by the ladder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from rung.contract import Awaiter, Contract
from rung.deferral import Rule
from rung.engine.residency import Residency
from rung.limits import Budget, Cancel, Deadline, Purse
from rung.tier import Rung
from rung.types import Event, Hop, Redactor, Request, Zone

Consent = Callable[[Hop], bool | Awaitable[bool]]
Observer = Callable[[Event], None]
PaidAfter = Literal["local_answers", "any_failure"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one request.

    Args:
        request: what was asked.
        contract: what the answer must be.
        rungs: the tiers, smallest first.
        reach: how far the prompt may travel.
        budget: what the request may use.
        deadline: when it must be over; the budget's seconds are in it.
        rule: what to do after an attempt.
        consent: asked before each hop beyond this machine.
        purse: where money is reserved, beside the request's own budget.
        observers: told of every event.
        redactor: masks what leaves the machine, where a tier has no redactor of its own.
        paid_after: whether money may be spent after any failure, or only after the local tiers answered.
        cancel: stops the run.
        await_: waits for awaitables of validators and consent.
        provisional: whether to show text that isn't validated.
        residency: looks after the models in memory.
    """

    request: Request
    contract: Contract[Any]
    rungs: tuple[Rung, ...]
    reach: Zone
    budget: Budget
    deadline: Deadline
    rule: Rule
    consent: Consent
    purse: Purse | None
    observers: tuple[Observer, ...]
    redactor: Redactor | None
    paid_after: PaidAfter
    cancel: Cancel
    await_: Awaiter
    provisional: bool
    residency: Residency
