"""Comparing the ladder's answer with what the next tier says by itself."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from pydantic_core import to_jsonable_python

from rung import deferral
from rung.contract.sameness import NotComparable, Same
from rung.engine.plan import Plan
from rung.engine.record import used
from rung.engine.shadows import ShadowJob
from rung.limits import Budget, Cancel, Deadline
from rung.threads import refuse_to_await
from rung.tier import Rung
from rung.types import Attempt, Event, Finished, Outcome, Reason, Shadowed, Toss, Zone

Run = Callable[[Plan], Iterator[Event]]

_LONGEST = 600.0
"""Seconds that a shadow may take once it is asked. Nobody waits for it, but another shadow may."""


@dataclass(frozen=True, slots=True)
class ShadowQuestion:
    """What to compare the ladder's answer with.

    Args:
        against: the tier that answers by itself.
        asks: whether it has to be asked. It needn't be if the ladder's own call to it was the very same.
        answered: whether the ladder has an answer of its own to compare.
        value: that answer, as a JSON value.
        money: US dollars that the request's budget has left; `None` without a budget.
        tokens: tokens that it has left; `None` without a limit.
    """

    against: str
    asks: bool
    answered: bool
    value: Any = field(default=None, repr=False)
    money: Decimal | None = None
    tokens: int | None = None


def steps(plan: Plan) -> tuple[Rung, ...]:
    """The tiers between which shadows go: those of this machine or, if that is only one, also the next tier beyond it
    that the prompt may go to.
    """
    local = tuple(rung for rung in plan.rungs if rung.tier.zone <= Zone.HOST)
    beyond = tuple(rung for rung in plan.rungs if Zone.HOST < rung.tier.zone <= plan.reach)
    return local + beyond[:1] if len(local) == 1 else local


def equality(plan: Plan) -> Same | None:
    """How to compare two answers to the request: by its task or, if that doesn't say, by its contract; `None` for free
    text.
    """
    if plan.same is not None:
        with suppress(Exception):  # if a task's module can't be imported, its answers can't be compared
            return plan.same()
        return None
    return plan.contract.same


def question(plan: Plan, outcome: Outcome[Any]) -> ShadowQuestion | None:
    """What to compare a finished request with; `None` if it was cancelled, or ran out of time.

    An answer of a tier before the last one is compared with the next tier's. The last tier's own answer differs from
    what it says by itself only if it was told of an earlier rejected answer. Then it is asked again, untold.

    Args:
        plan: the run.
        outcome: its outcome.

    Raises:
        Exception: the value can't be written as JSON.
    """
    if outcome.reason in (Reason.CANCELLED, Reason.DEADLINE):
        return None
    there = steps(plan)
    names = [rung.tier.name for rung in there]
    spent = sum((_spent(a) for a in outcome.attempts), Decimal(0))
    money = None if plan.budget.usd is None else max(Decimal(0), plan.budget.usd - spent)
    tokens = plan.budget.tokens
    if tokens is not None:
        tokens = max(0, tokens - sum(used(a.quote, a.usage) for a in outcome.attempts if a.sent))
    ours = outcome.accepted and outcome.tier in names
    value = to_jsonable_python(outcome.value) if ours else None
    if outcome.tier in names[:-1]:
        return ShadowQuestion(names[names.index(outcome.tier) + 1], True, True, value, money, tokens)
    asks = not _asked_alone(there[-1], outcome.attempts)
    return ShadowQuestion(names[-1], asks, ours, value, money, tokens)


def _spent(attempt: Attempt) -> Decimal:
    """US dollars of an attempt; an unknown cost counts as its bound."""
    if not attempt.sent:
        return Decimal(0)
    return attempt.cost if attempt.cost is not None else attempt.bound or Decimal(0)


def _asked_alone(last: Rung, attempts: tuple[Attempt, ...]) -> bool:
    """Whether the last tier's first call was the same that it would have got by itself."""
    for number, attempt in enumerate(attempts):
        if attempt.tier == last.tier.name and attempt.sent:
            told = next((a for a in reversed(attempts[:number]) if a.answered and not a.partial), None)
            return told is None or not told.issues or last.feedback == "none"
    return False


def ask(plan: Plan, asked: ShadowQuestion, toss: Toss, cancel: Cancel, run: Run) -> Shadowed:
    """Ask the tier by itself, and compare the answers.

    The question goes through the gate like any attempt: reach, consent and what is left of the budgets apply. Nobody is
    asked for consent, and money is spent only if a budget limits it.

    Args:
        plan: of the request.
        asked: what to compare the ladder's answer with.
        toss: the draw.
        cancel: ends it.
        run: the engine.

    Raises:
        Exception: a validator's own bug.
    """
    rung = next(rung for rung in plan.rungs if rung.tier.name == asked.against)
    alone = replace(
        plan,
        rungs=(rung,),
        budget=Budget(None, asked.tokens, asked.money),
        deadline=Deadline.after(_LONGEST),
        rule=deferral.WHOLE,
        observers=(),
        cancel=cancel,
        await_=refuse_to_await,
        provisional=False,
        shadows=None,
        is_shadow=True,
        notes=(),
    )
    outcome = next(event.outcome for event in run(alone) if isinstance(event, Finished))
    shadowed = Shadowed(toss, asked.against, None, attempts=outcome.attempts)
    if not outcome.accepted and not any(attempt.issues for attempt in outcome.attempts):
        # it never gave an answer, so it is unknown what that would have been
        return replace(shadowed, reason=str(outcome.reason))
    same = equality(plan)
    if not outcome.accepted or not asked.answered or same is None:
        return replace(shadowed, agrees=not outcome.accepted and not asked.answered)
    try:
        return replace(shadowed, agrees=same(asked.value, to_jsonable_python(outcome.value)) is True)
    except NotComparable as error:
        return replace(shadowed, reason=str(error))


def follow(plan: Plan, toss: Toss, outcome: Outcome[Any], run: Run) -> None:
    """Have the shadow of a request asked, if it was drawn for one.

    Args:
        plan: of the request.
        toss: the draw.
        outcome: of the request.
        run: the engine.
    """
    shadows = plan.shadows
    last = steps(plan)[-1].tier.name
    try:
        asked = question(plan, outcome)
    except Exception as error:  # noqa: BLE001  a value of somebody's own type
        tell(plan, Shadowed(toss, last, None, f"the answer can't be written as JSON ({type(error).__name__})"))
        return
    if asked is None:
        if outcome.reason == Reason.DEADLINE:
            tell(plan, Shadowed(toss, last, None, "the request was out of time"))
    elif not asked.asks:
        tell(plan, Shadowed(toss, asked.against, True, "it was asked the same"))
    elif shadows is not None and shadows.asks:
        zone = next(rung.tier.zone for rung in plan.rungs if rung.tier.name == asked.against)
        shadows.put(
            ShadowJob(
                toss,
                asked.against,
                lambda cancel: ask(plan, asked, toss, cancel, run),
                functools.partial(tell, plan),
                here=zone <= Zone.HOST,
            )
        )


def tell(plan: Plan, shadowed: Shadowed) -> None:
    """Tell the observers. The request is over, so nobody is left to hear of an observer that fails."""
    for observer in plan.observers:
        with suppress(Exception):
            observer(shadowed)
