"""The loop: one attempt after the other until an answer is accepted or nothing is left to try."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace

from rung.deferral import Decision, Situation
from rung.engine import gate
from rung.engine.answer import Answer
from rung.engine.plan import Observer, Plan
from rung.engine.record import Record
from rung.errors import (
    Cancelled,
    ContractError,
    LedgerError,
    Offline,
    RungError,
    StoreError,
    TierCrashed,
    TierError,
    TierTimeout,
    Unsupported,
)
from rung.limits import Cancel
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
    Verdict,
    Withdrawn,
    Zone,
)

_FAILURES = (TierError, Unsupported, Offline, StoreError, Cancelled)
"""What a tier may raise instead of an answer. Anything else is a bug of its own, and still only a failed attempt."""


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
    # The caller's flag may serve many requests, so what ends only this one is set on a flag of its own.
    cancel = Cancel()
    forget = plan.cancel.on_set(cancel.set)
    try:
        for event in _Run(replace(plan, cancel=cancel)).events():
            for observer in plan.observers:
                try:
                    observer(event)
                except Exception as error:  # noqa: BLE001  whoever watches must not break what is watched
                    note = _complaint(observer, error)
                    failed += [note] if note not in failed else []
            if isinstance(event, Finished) and failed:
                event = replace(event, outcome=replace(event.outcome, notes=(*event.outcome.notes, *failed)))
            yield event
    finally:
        forget()
        cancel.set()


def _complaint(observer: Observer, error: Exception) -> str:
    """What to say of an observer that raised. Its message is left out, because nobody knows what it quotes."""
    if isinstance(error, LedgerError):  # ours: names a file and what is wrong with it, and nothing that it saw
        return str(error)
    return f"the observer {getattr(observer, '__name__', type(observer).__name__)} raised {type(error).__name__}"


class _Run:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._record = Record()
        self._deadline = plan.deadline
        self._accepted: Attempt | None = None
        self._reason = ""

    def events(self) -> Iterator[Event]:
        began = time.monotonic()
        yield from self._climb()
        outcome = self._outcome(time.monotonic() - began)
        if outcome.accepted and outcome.tier is not None and outcome.text is not None:
            yield Accepted(outcome.tier, outcome.value, outcome.text)
        yield Finished(self._plan.request, outcome)

    def _climb(self) -> Iterator[Event]:
        for rung in self._plan.rungs:
            cap: int | None = None
            while True:
                if self._plan.cancel.is_set():
                    return
                if self._deadline.passed:
                    self._reason = "deadline"
                    return
                decision = yield from self._try(rung, cap)
                if decision.verdict in (Verdict.ACCEPT, Verdict.STOP):
                    return
                if decision.verdict not in (Verdict.REPAIR, Verdict.RETRY):
                    break
                # One answer was wrong: before the next is known to be, the model after this one can be loaded.
                self._plan.residency.expect(rung.tier)
                cap = decision.max_tokens

    def _try(self, rung: Rung, cap: int | None) -> Generator[Event, None, Decision]:
        """One pass through the gate and, where it opens, one attempt; its verdict."""
        attempt = self._blank(rung)
        admitted: gate.Admitted | None = None
        began, waited = time.monotonic(), 0.0
        self._plan.residency.make_room(rung.tier)
        try:
            passed = gate.admit(self._plan, rung, self._record, cap, self._deadline)
            self._deadline = self._deadline.later(passed.waited)
            if isinstance(passed, gate.Refused):
                verdict = Verdict.STOP if passed.stops else Verdict.SKIP
                attempt = replace(attempt, quote=passed.quote, detail=passed.detail)
                return (yield from self._end(attempt, Decision(verdict, passed.reason)))
            admitted, waited = passed, passed.waited
        except _FAILURES as error:
            attempt = replace(attempt, error=error)
        if admitted is not None:
            attempt = yield from self._stream(attempt, rung, admitted)
            attempt = self._judge(attempt)
        attempt = replace(attempt, seconds=time.monotonic() - began - waited)
        return (yield from self._close(attempt, rung, admitted))

    def _blank(self, rung: Rung) -> Attempt:
        tier = rung.tier
        stays = getattr(tier, "stays_here", tier.zone == Zone.HOST)
        destination = getattr(tier, "destination", None)
        return Attempt(len(self._record.attempts) + 1, tier.name, tier.zone, stays_here=stays, destination=destination)

    def _stream(self, attempt: Attempt, rung: Rung, admitted: gate.Admitted) -> Generator[Event, None, Attempt]:
        """The attempt with what the tier gave or raised, its money settled."""
        answer = Answer()
        shows = self._plan.provisional and admitted.restore is None
        # billed="no" until the tier has the call: a caller who leaves at `AttemptStarted` gets the reservation back
        error: RungError | None = TierError("the stream was closed before the call")
        stream: Iterator[Delta] | None = None
        try:
            yield AttemptStarted(attempt.number, attempt.tier, attempt.zone)
            error = Cancelled("the stream was closed")
            stream = rung.tier.stream(admitted.call)
            for delta in stream:
                self._check(admitted)
                answer.add(delta)
                if shows and delta.text and delta.index == 0:
                    yield Provisional(attempt.number, attempt.tier, delta.text)
                if answer.is_stuck(self._plan.contract):
                    break
            self._check(admitted)
            error = None
        except _FAILURES as failure:
            error = failure
        except Exception as bug:  # noqa: BLE001  somebody's tier has a bug: the host lives, and the cause is kept
            error = TierCrashed(f"tier {attempt.tier!r} raised {type(bug).__name__}")
            error.__cause__ = bug
        finally:
            cost = gate.settle(admitted, attempt.zone, answer.usage, error)
            close = getattr(stream, "close", None)  # a tier may return any iterator, not just a generator
            if close is not None:
                with suppress(Exception):  # what its clean-up trips over doesn't change what came of the attempt
                    close()
        sent = error is None or error.sent
        return replace(
            attempt,
            quote=admitted.quote,
            consent=admitted.consent,
            sent=sent,
            prompt_bytes=sum(m.size for m in admitted.call.messages) if sent else None,
            weights=getattr(rung.tier, "weights", None),
            error=error,
            candidate=None if error else answer.candidate(self._plan.contract, admitted.restore),
            ttft=answer.ttft,
            load_seconds=answer.load_seconds,
            usage=answer.usage,
            cost=cost,
            notes=(*admitted.notes, *answer.notes, *gate.doubt(admitted.quote, cost)),
        )

    def _check(self, admitted: gate.Admitted) -> None:
        if self._plan.cancel.is_set():
            raise Cancelled("the caller cancelled")
        if admitted.call.deadline.passed:
            raise TierTimeout("the deadline passed")

    def _judge(self, attempt: Attempt) -> Attempt:
        candidate = attempt.candidate
        if candidate is None:
            return attempt
        context = CheckContext(
            request=self._plan.request,
            tier=attempt.tier,
            text=candidate.text,
            attempts=tuple(self._record.attempts),
            context=self._plan.request.context,
            deadline=self._deadline,
            cancel=self._plan.cancel,
            shape=self._plan.contract.shape,
        )
        confidence = None if candidate.score is None else math.exp(candidate.score.minimum)
        try:
            validation = self._plan.contract.judge(candidate, context, self._plan.await_)
        except Cancelled as error:
            return replace(attempt, error=error, confidence=confidence)
        return replace(attempt, validation=validation, confidence=confidence)

    def _close(self, attempt: Attempt, rung: Rung, admitted: gate.Admitted | None) -> Generator[Event, None, Decision]:
        """The rule's verdict on an attempt that is over."""
        situation = Situation(
            attempt=attempt,
            earlier=tuple(self._record.attempts),
            repairs=rung.repairs,
            min_confidence=rung.min_confidence,
            larger_cap=gate.larger_cap(self._plan, self._record, admitted, attempt) if admitted else None,
        )
        decision = self._plan.rule(situation)
        if decision is None:
            raise ContractError("the rule came to no decision", mend="end it with rung.deferral.standard")
        if decision.verdict is Verdict.ACCEPT and (attempt.candidate is None or attempt.issues):
            raise ContractError(
                "the rule accepted an answer that didn't pass validation", mend="escalate or stop instead"
            )
        climbs = decision.verdict in (Verdict.ESCALATE, Verdict.FALLBACK, Verdict.SKIP)
        if self._deadline.passed and decision.verdict is not Verdict.ACCEPT:
            self._reason = "deadline"
        if self._reason or (climbs and rung is self._plan.rungs[-1]):
            decision = replace(decision, verdict=Verdict.STOP)
        if attempt.error is not None:
            attempt = replace(attempt, detail=str(attempt.error))
        if decision.verdict is Verdict.ACCEPT and rung.min_confidence is not None and attempt.validation is not None:
            checked_by = (*attempt.validation.checked_by, "confidence")
            attempt = replace(attempt, validation=replace(attempt.validation, checked_by=checked_by))
        return (yield from self._end(attempt, decision))

    def _end(self, attempt: Attempt, decision: Decision) -> Generator[Event, None, Decision]:
        attempt = replace(attempt, verdict=decision.verdict, reason=decision.reason)
        self._record.attempts.append(attempt)
        if decision.verdict is Verdict.ACCEPT:
            self._accepted = attempt
        elif self._plan.provisional and attempt.sent:
            yield Withdrawn(attempt.number, attempt.tier, decision.reason, attempt.issues)
        yield AttemptEnded(attempt)
        return decision

    def _outcome(self, seconds: float) -> Outcome[object]:
        record, accepted = self._record, self._accepted
        reason = self._reason or (record.attempts[-1].reason if record.attempts else "no_tier")
        if self._plan.cancel.is_set() and not accepted:
            reason = "cancelled"
        mends = [a.error.mend for a in record.attempts if a.error is not None and a.error.mend]
        return Outcome(
            value=accepted.validation.value if accepted and accepted.validation else None,
            accepted=accepted is not None,
            tier=accepted.tier if accepted else None,
            text=accepted.text if accepted else None,
            checked_by=accepted.validation.checked_by if accepted and accepted.validation else (),
            attempts=tuple(record.attempts),
            best=None if accepted else record.best,
            reason=reason,
            usage=record.usage,
            cost=record.cost,
            seconds=seconds,
            left_machine=record.left_machine,
            mend="" if accepted or not mends else mends[0],
        )
