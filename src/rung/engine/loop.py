"""The loop: one attempt after another, until an answer is accepted or nothing is left to try."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace

from rung import thoughts
from rung.deferral import Decision
from rung.engine import gate, shadowing, share
from rung.engine.compose import compose, whose
from rung.engine.forming import formed
from rung.engine.pending import Collected, PendingAttempt
from rung.engine.plan import Observer, Plan
from rung.engine.record import Record
from rung.engine.standing import conditions, form, learnt
from rung.engine.thresholds import threshold
from rung.errors import (
    Cancelled,
    ContractError,
    LedgerError,
    Offline,
    PromptTooLong,
    RungError,
    StoreError,
    TierCrashed,
    TierError,
    TierTimeout,
    Unsupported,
)
from rung.limits import Cancel, Deadline
from rung.tier import Rung
from rung.types import (
    Accepted,
    Attempt,
    AttemptEnded,
    AttemptStarted,
    CheckContext,
    Delta,
    Event,
    Finished,
    Outcome,
    Provisional,
    Reason,
    Toss,
    Usage,
    Verdict,
    Withdrawn,
)

_FAILURES = (TierError, Unsupported, Offline, StoreError, Cancelled)
"""What a tier may raise instead of answering. Any other exception is a bug of the tier, and still only a failed
attempt.
"""


NO_EQUALITY = (
    "free text gets no shadow, because nobody knows when two texts say the same: "
    "same = ... in the task.toml of a task says it"
)
"""The note for a request that should have a shadow, but whose answers can't be compared."""


def run(plan: Plan) -> Generator[Event, None, None]:
    """Answer one request.

    Args:
        plan: what to do.

    Yields:
        Every event, the last of them `Finished`. Closing the iterator cancels.

    Raises:
        ContractError: the rule or a validator is misused.
        Exception: a validator's own bug.
    """
    failed: list[str] = []
    toss = _toss(plan, failed)
    # The caller's flag may serve many requests, so whatever ends only this one sets a flag of its own.
    cancel = Cancel()
    forget = plan.cancel.on_set(cancel.set)
    try:
        for event in _attended(plan, cancel):
            if isinstance(event, Finished):
                event = replace(event, form=form(plan), toss=toss)
            for observer in plan.observers:
                try:
                    observer(event)
                except Exception as error:  # noqa: BLE001  an observer must not break what it observes
                    note = _complaint(observer, error)
                    failed += [note] if note not in failed else []
            if isinstance(event, Finished):
                if toss is not None and toss.fell:
                    shadowing.follow(plan, toss, event.outcome, run)
                if failed:
                    event = replace(event, outcome=replace(event.outcome, notes=(*event.outcome.notes, *failed)))
            yield event
    finally:
        forget()
        cancel.set()


def _toss(plan: Plan, notes: list[str]) -> Toss | None:
    """The draw for a shadow; `None` if nobody would hear of one, or answers can't be compared, which is noted once."""
    shadows = plan.shadows
    if shadows is None or not plan.observers or len(shadowing.steps(plan)) < 2:
        return None
    if shadowing.equality(plan) is not None:
        return shadows.toss()
    if shadows.asks and shadows.once():
        notes.append(NO_EQUALITY)
    return None


def _attended(plan: Plan, cancel: Cancel) -> Iterator[Event]:
    """The events of the run, while shadows make room for it."""
    with plan.shadows.request() if plan.shadows is not None else nullcontext():
        yield from _Run(replace(plan, cancel=cancel)).events()


def _complaint(observer: Observer, error: Exception) -> str:
    """What to say of an observer that raised. Its message is left out, because nobody knows what that quotes."""
    if isinstance(error, LedgerError):  # ours: it names a file and what is wrong with it, and nothing from a request
        return str(error)
    return f"the observer {getattr(observer, '__name__', type(observer).__name__)} raised {type(error).__name__}"


class _Run:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._record = Record()
        self._deadline = plan.deadline
        self._limit = Deadline()
        self._reason: Reason | None = None
        self._stopped = False  # whether the rule itself said that nothing more is to be tried
        self._held: Attempt | None = None  # the last valid answer that only a soft threshold held back

    def events(self) -> Iterator[Event]:
        began = time.monotonic()
        yield from self._climb()
        yield from self._settle_for_held()
        attempts = tuple(self._record.attempts)
        reason = self._reason or (attempts[-1].reason if attempts else Reason.NO_TIER)
        outcome: Outcome[object] = Outcome(attempts, reason, time.monotonic() - began, self._plan.notes)
        if self._plan.cancel.is_set() and not outcome.accepted:
            outcome = replace(outcome, reason=Reason.CANCELLED)
        elif (tier := outcome.tier) is not None and (text := outcome.text) is not None:
            yield Accepted(tier, outcome.value, text)
        yield Finished(self._plan.request, outcome)

    def _climb(self) -> Iterator[Event]:
        for rung in self._plan.rungs:
            if self._held is not None and rung.may_cost and rung.tier.zone <= self._plan.reach:
                return  # a soft threshold sends nothing beyond this machine, and spends nothing
            cap: int | None = None
            self._limit = Deadline.after(rung.max_seconds)
            while True:
                if self._plan.cancel.is_set():
                    return
                if self._deadline.passed:
                    self._reason = Reason.DEADLINE
                    return
                decision = yield from self._try(rung, cap)
                if decision.verdict in (Verdict.ACCEPT, Verdict.STOP):
                    return
                if decision.verdict not in (Verdict.REPAIR, Verdict.RETRY):
                    break
                # One answer was wrong. While the next one is made, the model after this one can be loaded.
                self._plan.residency.expect(rung)
                cap = decision.max_tokens

    def _settle_for_held(self) -> Iterator[Event]:
        """Accept the answer that a soft threshold held back, if no later tier of this machine gave a valid one."""
        held, attempts = self._held, self._record.attempts
        if held is None or attempts[-1].verdict is Verdict.ACCEPT:
            return
        if self._stopped or self._reason is not None or self._deadline.passed or self._plan.cancel.is_set():
            return
        why = "no later tier of this machine gave a valid one, and then no threshold applies"
        accepted = Attempt(
            number=len(attempts) + 1,
            tier=held.tier,
            zone=held.zone,
            verdict=Verdict.ACCEPT,
            reason=Reason.VALID,
            candidate=held.candidate,
            validation=held.validation,
            usage=Usage(0, 0),
            confidence=held.confidence,
            stays_here=held.stays_here,
            destination=held.destination,
            weights=held.weights,
            notes=(f"this is the answer of attempt {held.number}: {why}",),
        )
        attempts.append(accepted)
        yield AttemptEnded(accepted)

    def _try(self, rung: Rung, cap: int | None) -> Generator[Event, None, Decision]:
        """One pass through the gate and, if it opens, one attempt. Returns what is done next."""
        plan = self._plan
        pending = PendingAttempt(len(self._record.attempts) + 1, rung, formed(plan, rung))
        plan.residency.make_room(rung)
        refusal = None
        try:
            limit = _earlier(self._deadline, self._limit)
            call, restore = compose(plan, rung, pending.formed, self._record, cap, limit)
            passed = gate.admit(plan, self._record, gate.Offer(rung, call, restore, retries=cap is not None))
            refusal = passed if isinstance(passed, gate.Refusal) else None
            pending.offer = passed.offer if isinstance(passed, gate.Refusal) else passed
            self._deadline = self._deadline.later(pending.offer.waited)
            self._limit = self._limit.later(pending.offer.waited)
        except _FAILURES as error:
            pending.error = self._told(error, pending, None)
        if refusal is not None:
            pending.detail = refusal.detail
            decision = Decision(Verdict.STOP if refusal.stops else Verdict.SKIP, refusal.reason)
        else:
            if pending.offer is not None:
                yield from self._stream(pending, pending.offer)
                self._judge(pending)
            pending.stop_clock()
            decision = self._decide(pending)
        attempt = pending.attempt(decision)
        self._record.attempts.append(attempt)
        if attempt.threshold is not None and attempt.threshold.soft and attempt.reason == Reason.LOW_CONFIDENCE:
            self._held = attempt
        if plan.provisional and attempt.sent and decision.verdict is not Verdict.ACCEPT:
            yield Withdrawn(attempt.number, attempt.tier, decision.reason, attempt.issues)
        yield AttemptEnded(attempt)
        return decision

    def _stream(self, pending: PendingAttempt, offer: gate.Offer) -> Iterator[Event]:
        """Let the tier answer, and settle the money."""
        tier, plan = pending.rung.tier, self._plan
        came = pending.collected = Collected(pending.formed.contract, plan.request)
        tiers = 1 + share.waiting(plan, self._record, pending.rung)
        patience: share.MovingDeadline | None = None
        # billed="no" until the tier has the call: a caller who leaves at `AttemptStarted` gets the reservation back
        pending.error = TierError("the stream was closed before the call")
        stream: Iterator[Delta] | None = None
        try:
            yield AttemptStarted(pending.number, tier.name, tier.zone)
            pending.error = Cancelled("the stream was closed")
            patience = share.MovingDeadline(self._deadline, self._limit, tiers)
            stream = tier.stream(replace(offer.call, deadline=patience))
            for delta in thoughts.apart(self._watched(stream, patience)):
                came.add(delta)
                if delta.preparing is not None:
                    yield delta.preparing
                shown = plan.provisional and offer.restore is None and delta.index == 0
                if shown and (delta.text or delta.reasoning):
                    yield Provisional(pending.number, tier.name, delta.text, delta.reasoning)
                    patience.take(delta)  # the time that the stream's reader took isn't the tier's
                if came.is_over:
                    break
            self._check(self._deadline.passed)
            pending.error = None
        except _FAILURES as failure:
            pending.error = self._told(failure, pending, patience)
        except Exception as bug:  # noqa: BLE001  a bug in somebody's tier doesn't end the host, and the cause is kept
            pending.error = TierCrashed(f"tier {tier.name!r} raised {type(bug).__name__}")
            pending.error.__cause__ = bug
        finally:
            pending.settle()
            close = getattr(stream, "close", None)  # a tier may return any iterator, not just a generator
            if close is not None:
                with suppress(Exception):  # a failing clean-up doesn't change what came of the attempt
                    close()
        if pending.error is None:
            pending.candidate = came.candidate(offer.restore)

    def _watched(self, stream: Iterator[Delta], patience: share.MovingDeadline) -> Iterator[Delta]:
        """What a tier yields, as long as somebody waits for it and it makes progress."""
        for delta in stream:
            self._check(patience.used_up)
            patience.take(delta)
            yield delta

    def _check(self, late: bool) -> None:
        if self._plan.cancel.is_set():
            raise Cancelled("the caller cancelled")
        if late:
            raise TierTimeout("the deadline passed")

    def _told(self, error: RungError, pending: PendingAttempt, patience: share.MovingDeadline | None) -> RungError:
        """The error that ended an attempt early, in terms of the request."""
        if isinstance(error, PromptTooLong):
            return whose(error, self._plan, pending.formed)
        if not isinstance(error, TierTimeout):
            return error
        return share.stalled(error, pending.rung, self._deadline, self._limit, patience)

    def _judge(self, pending: PendingAttempt) -> None:
        if pending.candidate is None:
            return
        context = CheckContext(
            request=self._plan.request,
            tier=pending.rung.tier.name,
            text=pending.candidate.text,
            attempts=tuple(self._record.attempts),
            context=self._plan.request.context,
            deadline=self._deadline,
            cancel=self._plan.cancel,
            shape=self._plan.contract.shape,
        )
        try:
            pending.validation = pending.formed.contract.judge(pending.candidate, context, self._plan.await_)
        except Cancelled as error:
            pending.error = error

    def _decide(self, pending: PendingAttempt) -> Decision:
        """The rule's decision on an attempt that is over, within what deadline and ladder allow."""
        if pending.candidate is not None:
            pending.conditions = conditions(self._plan, pending.rung).sha256
            pending.learnt = learnt(self._plan, pending.rung)
            pending.threshold = threshold(self._plan, pending.rung, pending.learnt.threshold)
        decision = self._plan.rule(pending.situation(self._record, self._plan.budget))
        if decision is None:
            raise ContractError("the rule came to no decision", hint="end it with rung.deferral.standard")
        accepts = decision.verdict is Verdict.ACCEPT
        if accepts and (pending.validation is None or not pending.validation.valid):
            raise ContractError(
                "the rule accepted an answer that didn't pass validation", hint="escalate or stop instead"
            )
        if self._deadline.passed:
            self._reason = Reason.DEADLINE
            # an answer that was found right too late is not accepted, because the caller has stopped waiting
            return Decision(Verdict.STOP, Reason.DEADLINE if accepts else decision.reason)
        if accepts:
            if self._held is not None and pending.threshold is None:
                pending.note = "no threshold applies here: no later tier of this machine follows"
            pending.vouch()
            return decision
        self._stopped = decision.verdict is Verdict.STOP
        climbs = decision.verdict in (Verdict.ESCALATE, Verdict.FALLBACK, Verdict.SKIP)
        return replace(decision, verdict=Verdict.STOP) if climbs and pending.rung is self._plan.rungs[-1] else decision


def _earlier(one: Deadline, other: Deadline) -> Deadline:
    return min((d for d in (one, other) if d.at is not None), key=lambda d: d.at or 0.0, default=one)
