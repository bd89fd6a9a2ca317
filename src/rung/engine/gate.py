"""What an attempt has to pass before it starts: a table of steps, each of which turns an offer into an offer or a
refusal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from rung import consent, money, threads
from rung.engine.plan import Plan
from rung.engine.record import Record
from rung.errors import BudgetExceeded, QuotaExceeded, RungError, TierCrashed, TierTimeout
from rung.money import Purse, Reservation
from rung.tier import Rung
from rung.types import Call, Hop, Quote, Reason, Zone


@dataclass(frozen=True, slots=True)
class Offer:
    """An attempt as it would be made, with what the gate has found out and reserved for it so far.

    Args:
        rung: the tier with its settings.
        call: what the tier would be given.
        restore: puts the real values back into the answer to a masked prompt; `None` where nothing was masked.
        retries: whether the call asks for more room because less was not enough. Then money never caps it.
        quote: what the call is expected to take.
        reservation: the money that was reserved.
        consent: who allowed the hop.
        waited: seconds that consent took.
        notes: sentences for the trace.
    """

    rung: Rung
    call: Call
    restore: Callable[[str], str] | None = None
    retries: bool = False
    quote: Quote | None = None
    reservation: Reservation | None = None
    consent: str | None = None
    waited: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def bound(self) -> Decimal | None:
        """The most that it can cost, in US dollars; `None` where nobody knows."""
        return self.quote.max_cost if self.quote else None

    @property
    def input_tokens(self) -> int:
        """Tokens of the prompt; 0 where nobody counted them."""
        return (self.quote.input_tokens if self.quote else None) or 0

    def refused(self, reason: Reason, detail: str, *, stops: bool = False) -> Refusal:
        """This offer, refused."""
        return Refusal(self, reason, detail, stops)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An offer that the gate has refused.

    Args:
        offer: the offer, as far as it came.
        reason: as in `Attempt.reason`.
        detail: the reason in a sentence.
        stops: whether no later tier may be tried either.
    """

    offer: Offer
    reason: Reason
    detail: str
    stops: bool


Step = Callable[[Plan, Record, Offer], Offer | Refusal]
"""Lets an offer pass, with what it found out, or refuses it. Raises `TierError` if the tier or the purse fails, and
`Cancelled` if the caller cancels meanwhile."""


def within_reach(plan: Plan, record: Record, offer: Offer) -> Offer | Refusal:
    """The prompt may travel as far as this tier."""
    zone = offer.rung.tier.zone
    if zone > plan.reach:
        return offer.refused(Reason.BEYOND_REACH, f"its zone is {zone} and the reach is {plan.reach}")
    return offer


def quoted(plan: Plan, record: Record, offer: Offer) -> Offer:
    """The tier says what the call would take, unless no later step would decide anything by that."""
    if offer.rung.quotes is None or (offer.rung.free_here and plan.budget.tokens is None):
        return offer
    return replace(offer, quote=quote(offer.rung, offer.call))


def paid_after_answers(plan: Plan, record: Record, offer: Offer) -> Offer | Refusal:
    """Money is spent because local answers failed, not because something broke."""
    if not offer.bound or plan.paid_after == "any_failure":
        return offer
    silent = silent_before(plan, record, offer.rung)
    if not silent:
        return offer
    detail = f"{', '.join(silent)} never gave an answer, and this tier costs money"
    return offer.refused(Reason.LOCAL_UNAVAILABLE, detail, stops=True)


def silent_before(plan: Plan, record: Record, rung: Rung) -> list[str]:
    """The tiers of this machine that stand before a rung and gave no answer."""
    before = plan.rungs[: plan.rungs.index(rung)]
    return [r.tier.name for r in before if r.tier.zone == Zone.HOST and not record.answered_or_paid(r.tier.name)]


def within_tokens(plan: Plan, record: Record, offer: Offer) -> Offer | Refusal:
    """The token budget holds the prompt, and caps the answer at what is left."""
    left = record.tokens_left(plan.budget)
    if left is None:
        return offer
    if offer.input_tokens >= left:
        return offer.refused(
            Reason.OVER_BUDGET, f"the prompt takes {offer.input_tokens:,} tokens and {left:,} are left"
        )
    room = left - offer.input_tokens
    return replace(offer, call=replace(offer.call, max_tokens=min(offer.call.max_tokens or room, room)))


def within_money(plan: Plan, record: Record, offer: Offer) -> Offer | Refusal:
    """The bound is within the request's budget and the tier's. The answer is capped if that leaves a useful one."""
    rung, limits = offer.rung, []
    if plan.budget.usd is not None:
        limits.append((plan.budget.usd - record.spent(), "the request's budget"))
    if rung.usd is not None:
        limits.append((rung.usd - record.spent(rung.tier.name), "this tier's max_cost"))
    if plan.is_shadow and offer.bound and not limits and plan.purse is None:
        return offer.refused(Reason.OVER_BUDGET, "a shadow costs money only where a budget limits it")
    if offer.bound is None:
        if rung.tier.zone > Zone.HOST and (limits or plan.purse is not None):
            return offer.refused(Reason.OVER_BUDGET, "what it costs is unknown, and there is a budget")
        return offer
    limit, what = min(limits, default=(offer.bound, ""))
    if offer.bound <= limit:
        return offer
    detail = f"it may cost ${offer.bound:f}, and {what} has ${limit:f} left"
    return _capped(offer, limit) or offer.refused(Reason.OVER_BUDGET, detail)


def consented(plan: Plan, record: Record, offer: Offer) -> Offer | Refusal:
    """Somebody allows a hop beyond this machine. The time that this takes doesn't count as the request's."""
    rung = offer.rung
    if rung.tier.zone == Zone.HOST:
        return offer
    hop = Hop(
        tier=rung.tier.name,
        zone=rung.tier.zone,
        destination=rung.travels.destination if rung.travels else None,
        max_cost=offer.bound,
        characters=sum(len(m.text) for m in offer.call.messages),
        sends_answer=rung.feedback == "issues+answer" and record.rejected is not None,
        reasons=tuple(f"{a.tier}: {a.reason}" for a in record.attempts),
        redacted=offer.restore is not None,
        shadow=plan.is_shadow,
    )
    began = time.monotonic()
    allowed = consent.ask(plan.consent, hop, plan.await_, plan.cancel)
    waited = time.monotonic() - began
    who = consent.origin(plan.consent, hop)
    if not allowed:
        return replace(offer, waited=waited).refused(Reason.CONSENT_REFUSED, f"{who} said no")
    call = replace(offer.call, deadline=offer.call.deadline.later(waited))
    return replace(offer, call=call, consent=who, waited=waited)


def reserved(plan: Plan, record: Record, offer: Offer) -> Offer | Refusal:
    """The purse reserves the bound, or the bound of a shorter answer if it holds less."""
    if plan.purse is None or not offer.bound:
        return offer
    try:
        try:
            return replace(offer, reservation=_set_aside(plan.purse, offer.bound, offer.call))
        except BudgetExceeded as error:
            cheaper = None if error.left is None else _capped(offer, error.left)
            if cheaper is None or cheaper.bound is None:
                raise
            return replace(cheaper, reservation=_set_aside(plan.purse, cheaper.bound, offer.call))
    except BudgetExceeded as error:
        reason = Reason.OVER_QUOTA if isinstance(error, QuotaExceeded) else Reason.OVER_BUDGET
        return offer.refused(reason, str(error))


GATE: tuple[Step, ...] = (
    within_reach,
    quoted,
    paid_after_answers,
    within_tokens,
    within_money,
    consented,
    reserved,
)
"""The steps, in this order so that no tier beyond the reach is asked for a quote, and nobody is asked to consent to
what the budget forbids.
"""


def admit(plan: Plan, record: Record, offer: Offer) -> Offer | Refusal:
    """Whether an attempt may start, and with what call.

    Args:
        plan: the run.
        record: what was tried so far.
        offer: the call as it was composed.

    Raises:
        TierError: the tier failed while it was asked for a quote, or the purse didn't answer in time.
        Cancelled: the caller cancelled while a person was asked for consent, or the purse for money.
    """
    for step in GATE:
        passed = step(plan, record, offer)
        if isinstance(passed, Refusal):
            return passed
        offer = passed
    return offer


def quote(rung: Rung, call: Call) -> Quote | None:
    """What a tier says a call would take; `None` if it doesn't quote."""
    if rung.quotes is None:
        return None
    try:
        return rung.quotes.quote(call)
    except RungError:
        raise
    except Exception as bug:  # a bug in somebody's tier doesn't end the host, and the cause is kept
        raise TierCrashed(f"tier {rung.tier.name!r} raised {type(bug).__name__}", billed="no") from bug


def _capped(offer: Offer, limit: Decimal) -> Offer | None:
    """The offer with its answer capped to cost no more than `limit`; `None` if that leaves no useful answer."""
    if offer.retries or offer.quote is None:
        return None
    tokens = money.room(offer.quote, offer.call.max_tokens, offer.call.candidates, limit)
    if tokens is None:
        return None
    call = replace(offer.call, max_tokens=tokens)
    again = quote(offer.rung, call)
    if again is None or again.max_cost is None or again.max_cost > limit:
        return None
    note = f"the answer was capped at {tokens:,} tokens, which is what the budget allows"
    return replace(offer, call=call, quote=again, notes=(*offer.notes, note))


def _set_aside(purse: Purse, bound: Decimal, call: Call) -> Reservation:
    """A reservation. A purse that processes share may have to wait for one of them, but only as long as the request
    may.
    """
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
