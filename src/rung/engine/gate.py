"""What stands before each attempt, always in this order: reach, quote, consent, reserve."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from rung import feedback, threads
from rung.engine.masking import mask
from rung.engine.plan import Plan
from rung.engine.record import Record
from rung.errors import BudgetExceeded, Cancelled, RungError, TierCrashed, TierTimeout
from rung.limits import Deadline, Purse, Reservation
from rung.tier import Rung
from rung.types import Attempt, Call, Hop, Quote, Usage, Zone

_USEFUL = 256
"""Tokens of the shortest answer that a budget is spent on: some 190 words, or an object of thirty short fields."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The gate stays shut.

    Args:
        reason: as in `Attempt.reason`.
        detail: the same in a sentence.
        stops: whether no tier behind this one may be tried either.
        quote: what the call would have taken, where it got that far.
        waited: seconds that consent took.
    """

    reason: str
    detail: str
    stops: bool = False
    quote: Quote | None = None
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Admitted:
    """The gate is open for one attempt.

    Args:
        call: what the tier is given.
        quote: what the call is expected to take.
        reservation: the money that was set aside.
        consent: who allowed the hop.
        waited: seconds that consent took.
        restore: puts the real values back into an answer to a redacted prompt; `None` where nothing was redacted.
        notes: sentences for the trace.
    """

    call: Call
    quote: Quote | None
    reservation: Reservation | None
    consent: str | None
    waited: float
    restore: Callable[[str], str] | None
    notes: tuple[str, ...] = ()


def admit(plan: Plan, rung: Rung, record: Record, cap: int | None, deadline: Deadline) -> Admitted | Refused:
    """Whether an attempt on this tier may start, and with what call.

    Args:
        plan: the run.
        rung: the tier and its settings.
        record: what was tried so far.
        cap: larger cap of a retry, in tokens; `None` takes the usual one.
        deadline: of the run, as consent has moved it so far.

    Raises:
        TierError: the tier failed while it was asked for a quote, or the purse didn't answer in time.
        Cancelled: the caller cancelled while somebody was asked for consent, or the purse for money.
    """
    tier = rung.tier
    if tier.zone > plan.reach:
        return Refused("beyond_reach", f"its zone is {tier.zone} and the reach is {plan.reach}")
    call, restore = _call(plan, rung, record, cap, deadline)
    quote = _quote(rung, call)
    refused = _paid_too_early(plan, rung, record, quote) or _over_tokens(plan, record, quote)
    if refused:
        return refused
    offer = _affordable(plan, rung, record, _Offer(_within_tokens(plan, record, quote, call), quote), retries=bool(cap))
    if isinstance(offer, Refused):
        return offer
    call, quote = offer.call, offer.quote
    consent, waited = None, 0.0
    if tier.zone > Zone.HOST:
        began = time.monotonic()
        hop = _hop(rung, call, quote, record, redacted=restore is not None)
        allowed = _ask(plan, hop)
        waited = time.monotonic() - began
        if not allowed:
            return Refused("consent_refused", f"{_origin(plan, hop)} said no", quote=quote, waited=waited)
        consent = _origin(plan, hop)
        call = replace(call, deadline=deadline.later(waited))
    try:
        offer, reservation = _reserve(plan, rung, _Offer(call, quote, offer.notes), retries=bool(cap))
    except BudgetExceeded as error:
        return Refused("over_budget", str(error), quote=quote, waited=waited)
    return Admitted(offer.call, offer.quote, reservation, consent, waited, restore, offer.notes)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A call and what it would take."""

    call: Call
    quote: Quote | None
    notes: tuple[str, ...] = ()

    @property
    def bound(self) -> Decimal | None:
        return self.quote.max_cost if self.quote else None


def _call(
    plan: Plan, rung: Rung, record: Record, cap: int | None, deadline: Deadline
) -> tuple[Call, Callable[[str], str] | None]:
    rejected = record.rejected
    told = None
    if rejected is not None and rejected.candidate is not None:
        told = feedback.packet(rejected.issues, rejected.candidate.text, rung.feedback)
    messages = feedback.tell(plan.contract.instruct(plan.request.messages), told)
    local = rung.tier.zone == Zone.HOST
    call = Call(
        messages=messages,
        shape=plan.contract.shape,
        sampling=plan.request.sampling,
        max_tokens=cap or plan.request.max_tokens or rung.max_tokens,
        deadline=deadline,
        cancel=plan.cancel,
        feedback=told,
        rejected=rejected.text if rejected is not None and local else None,
    )
    redactor = rung.redactor or plan.redactor
    return (call, None) if local or redactor is None else mask(call, redactor)


def _quote(rung: Rung, call: Call) -> Quote | None:
    # not isinstance(..., Quotes): asking a runtime protocol costs more than the rest of the gate
    ask: Callable[[Call], Quote] | None = getattr(rung.tier, "quote", None)
    if ask is None:
        return None
    try:
        return ask(call)
    except RungError:
        raise
    except Exception as bug:  # somebody's tier has a bug: the host lives, and the cause is kept
        raise TierCrashed(f"tier {rung.tier.name!r} raised {type(bug).__name__}", billed="no") from bug


def _paid_too_early(plan: Plan, rung: Rung, record: Record, quote: Quote | None) -> Refused | None:
    """Money is spent after local answers failed, not because something broke."""
    if quote is None or not quote.max_cost or plan.paid_after == "any_failure":
        return None
    before = plan.rungs[: plan.rungs.index(rung)]
    silent = [r.tier.name for r in before if r.tier.zone == Zone.HOST and not record.answered_or_paid(r.tier.name)]
    if not silent:
        return None
    names = ", ".join(silent)
    return Refused("local_unavailable", f"{names} never gave an answer, and this tier costs money", True, quote)


def _over_tokens(plan: Plan, record: Record, quote: Quote | None) -> Refused | None:
    left = record.tokens_left(plan.budget)
    needed = (quote.input_tokens if quote else None) or 0
    if left is not None and needed >= left:
        return Refused("over_budget", f"the prompt takes {needed:,} tokens and {left:,} are left", quote=quote)
    return None


def _affordable(plan: Plan, rung: Rung, record: Record, offer: _Offer, *, retries: bool) -> _Offer | Refused:
    """The offer within the request's budget and the tier's, its answer capped where that leaves a useful one."""
    limits = []
    if plan.budget.usd is not None:
        limits.append((plan.budget.usd - record.spent(), "the request's budget"))
    if rung.usd is not None:
        limits.append((rung.usd - record.spent(rung.tier.name), "this tier's max_cost"))
    if offer.bound is None:
        if rung.tier.zone > Zone.HOST and (limits or plan.purse is not None):
            return Refused("over_budget", "what it costs is unknown, and there is a budget", quote=offer.quote)
        return offer
    if not limits:
        return offer
    limit, what = min(limits)
    if offer.bound <= limit:
        return offer
    detail = f"it may cost ${offer.bound:f}, and {what} has ${limit:f} left"
    return _capped(rung, offer, limit, retries=retries) or Refused("over_budget", detail, quote=offer.quote)


def _reserve(plan: Plan, rung: Rung, offer: _Offer, *, retries: bool) -> tuple[_Offer, Reservation | None]:
    """Set the offer's bound aside, or that of a cheaper one where the purse holds less.

    Raises:
        BudgetExceeded: the purse holds too little for a useful answer.
        TierTimeout: it doesn't say so before the deadline.
        Cancelled: the caller cancelled meanwhile.
    """
    if plan.purse is None or not offer.bound:
        return offer, None
    try:
        return offer, _set_aside(plan.purse, offer.bound, offer.call)
    except BudgetExceeded as error:
        cheaper = None if error.left is None else _capped(rung, offer, error.left, retries=retries)
        if cheaper is None or cheaper.bound is None:
            raise
        return cheaper, _set_aside(plan.purse, cheaper.bound, offer.call)


def _set_aside(purse: Purse, bound: Decimal, call: Call) -> Reservation:
    """A reservation. A purse that processes share may have to wait for one of them, but no longer than the request."""
    awaited = True

    def reserve() -> Reservation:
        reservation = purse.reserve(bound)
        if not awaited:
            reservation.release()
        return reservation

    try:
        return threads.run(reserve, call.deadline, call.cancel)
    except threads.Abandoned:
        raise TierTimeout("the deadline passed before the purse had answered", billed="no") from None
    finally:
        awaited = False


def _capped(rung: Rung, offer: _Offer, limit: Decimal, *, retries: bool) -> _Offer | None:
    """The offer with its answer capped so that it costs no more than `limit`; `None` where no useful one is left.

    Useful is an answer of 256 tokens, or of the cap that was asked for if that is less. A retry asks for more room
    because less was not enough, so it is never capped.
    """
    quote, cap = offer.quote, offer.call.max_tokens or (offer.quote.max_tokens if offer.quote else None)
    if retries or quote is None or quote.price is None or quote.input_tokens is None or not cap:
        return None
    each = quote.price.cost(0, 1) * offer.call.candidates
    room = int((limit - quote.price.cost(quote.input_tokens, 0)) / each) if each else 0
    if room < min(cap, _USEFUL):
        return None
    call = replace(offer.call, max_tokens=min(room, cap))
    again = _quote(rung, call)
    if again is None or again.max_cost is None or again.max_cost > limit:
        return None
    note = f"the answer was capped at {call.max_tokens:,} tokens, which is what the budget allows"
    return _Offer(call, again, (*offer.notes, note))


def _within_tokens(plan: Plan, record: Record, quote: Quote | None, call: Call) -> Call:
    left = record.tokens_left(plan.budget)
    if left is None:
        return call
    room = left - ((quote.input_tokens if quote else None) or 0)
    return replace(call, max_tokens=min(call.max_tokens or room, room))


def _hop(rung: Rung, call: Call, quote: Quote | None, record: Record, *, redacted: bool) -> Hop:
    return Hop(
        tier=rung.tier.name,
        zone=rung.tier.zone,
        destination=getattr(rung.tier, "destination", None),
        max_cost=quote.max_cost if quote else None,
        characters=sum(len(m.text) for m in call.messages),
        sends_answer=rung.feedback == "issues+answer" and record.rejected is not None,
        reasons=tuple(f"{a.tier}: {a.reason}" for a in record.attempts),
        redacted=redacted,
    )


def _ask(plan: Plan, hop: Hop) -> bool:
    def ask() -> bool:
        answer = plan.consent(hop)
        return (plan.await_(answer) if inspect.isawaitable(answer) else answer) is True

    # no deadline: the person's time is not the request's
    return threads.run(ask, Deadline(), plan.cancel)


def _origin(plan: Plan, hop: Hop) -> str:
    """Who answers for a hop: a consent's `origin`, which may be a function of the hop, or its name."""
    origin = getattr(plan.consent, "origin", None)
    if callable(origin):
        origin = origin(hop)
    return str(origin or getattr(plan.consent, "__name__", "consent"))


def larger_cap(plan: Plan, record: Record, admitted: Admitted, attempt: Attempt) -> int | None:
    """A larger cap for a retry of an attempt that isn't recorded yet, in tokens: four times the last, as far as context
    and token budget allow; `None` if not. Whether the money does is seen when the retry is quoted.
    """
    quote = admitted.quote
    cap = admitted.call.max_tokens or (quote.max_tokens if quote else None)
    if cap is None:
        return None
    limits = [cap * 4]
    if quote is not None and quote.context is not None and quote.input_tokens is not None:
        limits.append(quote.context - quote.input_tokens)
    left = record.tokens_left(plan.budget, attempt)
    if left is not None:
        limits.append(left - ((quote.input_tokens if quote else None) or 0))
    return min(limits) if min(limits) > cap else None


def settle(admitted: Admitted, zone: Zone, usage: Usage, error: RungError | None) -> Decimal | None:
    """Close the reservation of an attempt that is over.

    Args:
        admitted: the attempt's pass.
        zone: of the tier.
        usage: tokens that the endpoint reported.
        error: what ended the attempt early; `None` for an answer.

    Returns:
        US dollars: 0 where nothing can have been billed, `None` where nobody knows.
    """
    cost = _cost(admitted.quote, zone, usage, error)
    if admitted.reservation is not None:
        if cost == 0 and error is not None:
            admitted.reservation.release()
        else:
            admitted.reservation.settle(cost)
    return cost


def doubt(quote: Quote | None, cost: Decimal | None) -> tuple[str, ...]:
    """A sentence for an attempt that may have been billed, nobody knows how much."""
    if cost is not None or quote is None or not quote.max_cost:
        return ()
    return (f"it may have been billed; what it cost is unknown, so its bound of ${quote.max_cost:f} is counted",)


def _cost(quote: Quote | None, zone: Zone, usage: Usage, error: RungError | None) -> Decimal | None:
    if quote is None or quote.max_cost is None:
        return Decimal(0) if zone == Zone.HOST else None
    if quote.max_cost == 0:
        return Decimal(0)
    if isinstance(error, Cancelled):
        return None
    if error is not None and getattr(error, "billed", "no") == "no":
        return Decimal(0)
    if error is not None or quote.price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    return quote.price.cost(usage.input_tokens, usage.output_tokens)
