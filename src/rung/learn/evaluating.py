"""Asking each tier by itself, and then the ladder: the real engine on tiers that record and replay."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from pydantic_core import to_jsonable_python

from rung import deferral, engine
from rung.consent import always
from rung.contract import Contract, Validator
from rung.contract.sameness import Same
from rung.errors import Cancelled, ConfigError, Offline, RateLimited, RungError, StoreError, TierUnavailable
from rung.ladder import Ladder, RequestOptions
from rung.learn.cassette import Cassette, NotRecorded
from rung.learn.grading import Grade
from rung.learn.grading import grade as graded
from rung.learn.recording import Heard, TierRecorder
from rung.learn.results import LADDER, TierResult, features_of, value_hash
from rung.learn.rows import Row
from rung.limits import Cancel, Deadline
from rung.money import BothPurses, Purse
from rung.tier import Rung
from rung.types import Finished, FormInForce, Outcome, Usage, Zone

TOGETHER = 8
"""Calls under way at once by default: the most that a local engine decodes together. An engine takes as many as its
memory has room for, and the others wait."""

_STOPPING = (TierUnavailable, StoreError, Offline, RateLimited)
"""Errors that would occur for every further row. They say nothing about the tier's answers, so they don't count."""

_UNGRADABLE = 3
"""First answers that a check must fail to grade before it counts as broken. A single row's label may be wrong."""


class MissingRecord(ConfigError):
    """A recording lacks an answer, and no tier may be asked."""


Grader = Callable[[Row, Any], Grade]
"""The check's verdict on the answer to a labelled row."""


@dataclass(frozen=True, slots=True)
class Work:
    """What to evaluate.

    Args:
        ladder: gives the tiers, their settings and the limits.
        recorders: of its tiers, by name.
        rows: returns the rows, again at each call, so that they needn't be held in memory.
        output: what an answer must be, if a row has no schema of its own.
        validators: further checks of the ladder's own.
        options: of every request.
        grade: says whether an answer is right; `None` if no row is labelled.
        same: compares two answers; `None` if the contract has no equality.
        purse: what this evaluation may spend, besides the ladder's own limits; `None` sets no limit.
        asks: whether the real tiers may be asked for what isn't recorded.
        together: most calls under way at once.
        cancel: ends it. What was recorded by then is kept.
        recorder: the command that records the answers that a replay lacks.
        form: gives the form in which a tier is asked, like `rung.types.Task.form`; `None` takes the one in force.
    """

    ladder: Ladder
    recorders: Mapping[str, TierRecorder]
    rows: Callable[[], Iterable[Row]]
    output: Any = None
    validators: Sequence[Validator] = ()
    options: RequestOptions = field(default_factory=RequestOptions)
    grade: Grader | None = None
    same: Same | None = None
    purse: Purse | None = None
    asks: bool = True
    together: int = TOGETHER
    cancel: Cancel = field(default_factory=Cancel)
    recorder: str = "rung eval DATA --record FILE"
    form: Callable[[str, str, str], FormInForce | None] | None = None


@dataclass(frozen=True, slots=True)
class EvalProgress:
    """The progress of an evaluation.

    Args:
        tier: the tier that is being asked.
        whole: whether it is asked by the ladder's rules, after the tiers before it, or by itself.
        done: rows of this pass that are done.
        fresh: those of them for which a call was really made.
        asked: calls that were really made so far, in all passes.
        seconds: of this pass so far.
    """

    tier: str
    whole: bool
    done: int
    fresh: int
    asked: int
    seconds: float

    def left(self, rows: int) -> float | None:
        """Seconds until this pass is done, estimated from the pace of real calls; `None` before there is any.

        Args:
            rows: number of all rows.
        """
        counted = self.fresh or self.done
        return self.seconds / counted * (rows - self.done) if counted else None


def evaluate(work: Work) -> Iterator[EvalProgress | list[TierResult]]:
    """Ask each tier by itself, and then the ladder.

    The tiers come in order, so that one model is loaded at a time. A tier is asked by itself, and right afterwards what
    the ladder asks of it. The two differ: after a rejected answer it gets feedback.

    Args:
        work: what to evaluate.

    Yields:
        Progress, and at the end the results of every row, in no particular order.

    Raises:
        Cancelled: the flag was set. What was recorded is kept, and the next evaluation continues from there.
        MissingRecord: a call isn't recorded and no tier may be asked.
        ConfigError: the check can't grade any of the first answers, or the recording can't be written.
        ContractError: a row's schema can't be used.
        TierUnavailable: a tier can't answer at all.
    """
    yield from Evaluation(work).events()


@dataclass(frozen=True, slots=True)
class Made:
    """A result, and the value that it was made from.

    Args:
        result: of a tier.
        value: the answer as a JSON value.
    """

    result: TierResult
    value: Any


class Evaluation:
    """One evaluation under way.

    Args:
        work: what to evaluate.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._contracts: dict[str, Contract[Any]] = {}
        self._made: dict[tuple[int, str], Made] = {}
        self._shapes: dict[str, Rung] = {}
        self._gradable = False
        self._ungraded = 0

    def events(self) -> Iterator[EvalProgress | list[TierResult]]:
        """Yield progress, and at the end the results; see `evaluate`."""
        rungs = [rung for rung in self._work.ladder.rungs if self._within_reach(rung)]
        if not rungs:
            raise ConfigError("no tier of the ladder may be asked", hint="see --reach, and `rung config show`")
        for place, rung in enumerate(rungs):
            try:
                yield from self._pass(rung.tier.name, rungs[place : place + 1], whole=False)
                if place or len(rungs) == 1:
                    yield from self._pass(rung.tier.name, rungs[: place + 1], whole=True)
            finally:
                if self._work.asks:
                    self._work.recorders[rung.tier.name].put_away()
        yield self._compared([rung.tier.name for rung in rungs])

    def _within_reach(self, rung: Rung) -> bool:
        return not self._work.asks or rung.tier.zone <= self._work.ladder.reach

    def _pass(self, tier: str, rungs: list[Rung], *, whole: bool) -> Iterator[EvalProgress]:
        """Ask some tiers about all rows."""
        began, done, fresh = time.monotonic(), 0, 0
        name = LADDER if whole else tier
        with ThreadPoolExecutor(self._work.together, thread_name_prefix="rung-eval") as pool:
            stop = Cancel()
            forget = self._work.cancel.on_set(stop.set)
            waiting: set[Future[tuple[Row, Made, bool]]] = set()
            rows = iter(self._work.rows())
            try:
                more = True
                while more or waiting:
                    while more and len(waiting) < 2 * self._work.together:
                        row = next(rows, None)
                        more = row is not None
                        if row is not None:
                            waiting.add(pool.submit(self._row, row, name, rungs, stop))
                    ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in ready:
                        row, made, asked = future.result()
                        self._made[row.number, name] = made
                        done, fresh = done + 1, fresh + asked
                    if not ready:
                        break
                    calls = sum(r.asked for r in self._work.recorders.values())
                    yield EvalProgress(tier, whole, done, fresh, calls, time.monotonic() - began)
            finally:
                forget()
                stop.set()
                for future in waiting:
                    future.cancel()

    def _row(self, row: Row, name: str, rungs: list[Rung], cancel: Cancel) -> tuple[Row, Made, bool]:
        heard: list[Heard] = []
        outcome = self._run(row, name, rungs, cancel, heard, asks=False)
        missing = _missing(outcome)
        if missing is not None and not self._work.asks:
            raise MissingRecord(
                f"row {row.number}: {missing.message}",
                hint=f"record it with `{self._work.recorder}`, with the same prompt, settings and models",
            )
        if missing is not None:
            # only now, because a recorded answer needs neither consent nor money
            heard.clear()
            outcome = self._run(row, name, rungs, cancel, heard, asks=True)
        _demand_answers(outcome)
        asked = not all(h.replayed for h in heard)
        return row, self._result(row, name, outcome, heard), asked

    def _run(
        self, row: Row, name: str, rungs: list[Rung], cancel: Cancel, heard: list[Heard], *, asks: bool
    ) -> Outcome[Any]:
        work = self._work
        options: RequestOptions = {**work.options, "cancel": cancel}
        plan = work.ladder.plan(row.messages, self._contract(row), options)
        tiers = tuple(self._shape(r).standing_in(work.recorders[r.tier.name].tier(heard, asks=asks)) for r in rungs)
        # A time limit would measure how many calls are under way at once, and a recording can't run out of time.
        plan = replace(plan, rungs=tiers, observers=(), residency=engine.Residency(), deadline=Deadline(), shadows=None)
        if plan.task is not None:
            # the task's template has already made the rows
            task = plan.task if work.form is None else replace(plan.task, form=work.form)
            plan = replace(plan, prompt=plan.task.prompt, task=task)
        plan = self._ruled(plan, name)
        if not asks:  # a replay sends nothing
            plan = replace(plan, reach=Zone.INTERNET, consent=always, purse=None)
        elif work.purse is not None:
            plan = replace(plan, purse=work.purse if plan.purse is None else BothPurses(plan.purse, work.purse))
        for event in engine.run(plan):
            if isinstance(event, Finished):
                return event.outcome
        raise AssertionError("a run ends with Finished")

    def _shape(self, rung: Rung) -> Rung:
        """The rung with a tier that stands for its own. What abilities that has is looked up once, not for each row."""
        name = rung.tier.name
        found = self._shapes.get(name)
        if found is None:
            found = self._shapes[name] = replace(rung, tier=self._work.recorders[name].tier([], asks=self._work.asks))
        return found

    def _ruled(self, plan: engine.Plan, name: str) -> engine.Plan:
        """The plan with the deferral rule of a pass."""
        return plan if name == LADDER else replace(plan, rule=deferral.WHOLE)

    def _contract(self, row: Row) -> Contract[Any]:
        key = "" if row.schema is None else json.dumps(row.schema)
        found = self._contracts.get(key)
        if found is None:
            output = self._work.output if row.schema is None else dict(row.schema)
            try:
                found = self._work.ladder.contract(output, self._work.validators)
            except RungError as error:
                if row.schema is None:
                    raise
                raise type(error)(f"row {row.number}: {error.message}", hint=error.hint) from None
            if len(self._contracts) < _CONTRACTS:
                self._contracts[key] = found
        return found

    def _result(self, row: Row, name: str, outcome: Outcome[Any], heard: list[Heard]) -> Made:
        value = to_jsonable_python(outcome.value) if outcome.accepted else None
        last = outcome.attempts[-1] if outcome.accepted else None
        usage = outcome.usage if heard else Usage()
        cost = outcome.cost
        result = TierResult(
            row=row.number,
            key=row.key,
            group=row.group,
            tier=name,
            answered_by=outcome.tier,
            asked=any(attempt.sent or attempt.error is not None for attempt in outcome.attempts),
            valid=outcome.accepted,
            reason=str(outcome.reason),
            features=features_of(last.candidate.score if last is not None and last.candidate is not None else None),
            calls=len(heard),
            seconds=sum(h.share for h in heard),
            latency=sum(h.seconds for h in heard),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost=None if cost is None else str(cost),
            value_hash=value_hash(value) if outcome.accepted else None,
            value=value,
        )
        return Made(self._graded_by(row, result, value), value)

    def _graded_by(self, row: Row, result: TierResult, value: Any) -> TierResult:
        grade = self._work.grade
        if grade is None or not row.labelled or not result.asked:
            return result
        if not result.valid:
            return replace(result, right=False)
        found = grade(row, value)
        if found.right is not None:
            self._gradable = True
            return replace(result, right=found.right)
        self._ungraded += 1
        if not self._gradable and self._ungraded >= _UNGRADABLE:
            hint = "correct the check or the data, or name another check with --check"
            raise ConfigError(f"none of the first {_UNGRADABLE} answers can be graded: {found.reason}", hint=hint)
        return replace(result, problem=found.reason)

    def _compared(self, names: list[str]) -> list[TierResult]:
        """The results, each compared with the answer of the tier that it is measured by."""
        against = {**dict(pairwise(names)), LADDER: names[-1]}
        results = []
        for (row, name), made in self._made.items():
            other = self._made.get((row, against.get(name, "")))
            agrees = None
            if other is not None and self._work.same is not None and made.result.asked and other.result.asked:
                both = made.result.valid and other.result.valid
                agrees = both and graded(self._work.same, made.value, other.value).right
            results.append(replace(made.result, agrees=agrees))
        return results


_CONTRACTS = 256
"""Compiled contracts that are kept if rows have schemas of their own. They take a few megabytes."""


def recorders(ladder: Ladder, cassette: Cassette, identities: Mapping[str, str]) -> dict[str, TierRecorder]:
    """A recorder for each tier of a ladder.

    Args:
        ladder: gives the tiers.
        cassette: where their calls are recorded.
        identities: of the tiers, by name.
    """
    return {
        rung.tier.name: TierRecorder(rung, cassette, identities[rung.tier.name])
        for rung in ladder.rungs
        if rung.tier.name in identities
    }


def _missing(outcome: Outcome[Any]) -> NotRecorded | None:
    errors = (attempt.error for attempt in outcome.attempts)
    return next((error for error in errors if isinstance(error, NotRecorded)), None)


def _demand_answers(outcome: Outcome[Any]) -> None:
    """Check that the tiers answered, and that nothing stopped them which would stop every row."""
    if outcome.reason == "cancelled":
        raise Cancelled("interrupted")
    for attempt in outcome.attempts:
        cause = None if attempt.error is None else attempt.error.__cause__
        if isinstance(cause, ConfigError):  # the recording can't be read or written
            raise cause
        if isinstance(attempt.error, _STOPPING):
            error = attempt.error
            raise type(error)(f"tier {attempt.tier!r} can't be asked: {error.message}", hint=error.hint)
