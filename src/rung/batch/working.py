"""The work of a job: tier by tier, or each row through all tiers, in any number of processes.

A process takes a few questions at a time, asks the tiers whose turn it is, and stores each result before it takes the
next question. So a killed process loses only the questions that were under way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rung import engine
from rung.batch.answers import answer_of, problem
from rung.batch.intake import again
from rung.batch.manifest import Claim, JobManifest
from rung.batch.questions import Questions, RowQuestion
from rung.batch.replaying import STANDING, Climber, standing
from rung.batch.schema import ACCEPTED, REJECTED, UNUSABLE
from rung.batch.sources import RowSource
from rung.contract import Validator
from rung.errors import ConfigError, ContractError, LedgerError, RungError
from rung.ladder import Ladder, RequestOptions
from rung.limits import Cancel, Deadline
from rung.money import BothPurses, Purse
from rung.tier import Rung
from rung.types import Finished, Outcome, Reason, Zone

Order = Literal["tiers", "stream"]
"""Whether one tier answers all rows before the next is loaded (`tiers`), or each row climbs by itself (`stream`)."""

_ALONE = 2
"""Crashes of a question that is asked alone, after which only the engine's own rule for crashes applies: the question
itself may be what makes the tier crash."""
_TROUBLES = 5
"""How often in a row a tier may be unable to answer at all before the job stops. It waits between two tries."""
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds of the first such wait, and of the longest. Each wait is twice as long as the one before."""
_LOOK = 0.3
"""Seconds between two checks of what other processes have finished."""
_TELL = 0.2
"""Seconds between two reports of progress. A person can't read faster."""
_CONTRACTS = 256
"""Compiled contracts that are cached if rows have their own schemas: a few megabytes."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done.

    Args:
        manifest: of the job, after the intake.
        source: the input.
        questions: makes the question of a row.
        ladder: its tiers, their settings and its limits.
        identities: of the tiers, by name.
        output: what an answer must be, if a row has no schema of its own.
        validators: further checks.
        options: of every request.
        purse: what the job may spend, in addition to the ladder's own limits; `None` sets no limit.
        order: whether one tier answers all rows before the next.
        together: the most questions under way at once.
        stop: ends the job after the questions that are under way.
        cancel: also ends those. They are asked again next time.
        observers: called for each row that cost money or left this machine.
    """

    manifest: JobManifest
    source: RowSource
    questions: Questions
    ladder: Ladder
    identities: Mapping[str, str]
    output: Any = None
    validators: Sequence[Validator] = ()
    options: RequestOptions = field(default_factory=RequestOptions)
    purse: Purse | None = None
    order: Order = "tiers"
    together: int = 8
    stop: Cancel = field(default_factory=Cancel)
    cancel: Cancel = field(default_factory=Cancel)
    observers: Sequence[engine.Observer] = ()


@dataclass(frozen=True, slots=True)
class StepProgress:
    """How far one process is with one step.

    Args:
        tier: the tier that is asked; empty if each row climbs by itself.
        done: questions of this step that this process has completed.
        sent_up: how many of them went on to a later tier.
        seconds: time of the step so far, without the time to load its model.
    """

    tier: str
    done: int
    sent_up: int
    seconds: float


@dataclass(slots=True)
class _Step:
    """A step under way."""

    tier: str
    began: float = field(default_factory=time.monotonic)
    done: int = 0
    sent_up: int = 0
    troubles: int = 0
    last_trouble: float = 0.0
    told: float = 0.0

    def progress(self, loaded: float) -> StepProgress:
        return StepProgress(self.tier, self.done, self.sent_up, time.monotonic() - self.began - loaded)


@dataclass(frozen=True, slots=True)
class _Came:
    """The result of one climb: whether it went up, waits for money, or failed because a tier couldn't be asked."""

    sent_up: bool = False
    waits: bool = False
    trouble: RungError | None = None
    began: float = 0.0


def work(job: Job, among: Sequence[int] | None = None) -> Iterator[StepProgress]:
    """Do the work that is left, or a part of it.

    Args:
        job: what is to be done.
        among: numbers of the only questions to ask; `None` asks all.

    Yields:
        Progress, several times a second, and at the end of each step.

    Raises:
        ConfigError: the input changed meanwhile.
        LedgerError: the manifest can't be written. Finished questions are kept.
        RungError: a tier can't be asked at all.
    """
    yield from _Worker(job, among).steps()


class _Worker:
    def __init__(self, job: Job, among: Sequence[int] | None) -> None:
        self._job = job
        self._among = among
        self._rungs = standing(job.ladder.rungs, job.identities)
        self._lock = threading.Lock()
        self._loaded = 0.0
        self._fatal: RungError | None = None
        self._contracts: dict[str, Any] = {}
        self._ready: set[int] = set()

    def steps(self) -> Iterator[StepProgress]:
        job = self._job
        places = range(len(job.ladder.rungs))
        job.manifest.join()
        while not job.stop.is_set():
            counts = job.manifest.counts()
            if not counts.open:
                return
            if job.order == "stream":
                yield from self._step(_Step(""), [*places], frozenset(places))
            else:
                for place in places:
                    step = _Step(job.ladder.rungs[place].tier.name)
                    try:
                        yield from self._step(step, [place], frozenset((place,)))
                    finally:
                        self._put_away(place)
            if self._among is not None:
                return
            # questions that are still open are held by other processes, or were until those died
            if job.manifest.bury():
                job.stop.wait(_LOOK)

    def _step(self, step: _Step, places: list[int], live: frozenset[int]) -> Iterator[StepProgress]:
        """Ask all questions that wait for one of some tiers."""
        job, self._loaded = self._job, 0.0
        with ThreadPoolExecutor(job.together, thread_name_prefix="rung-batch") as pool:
            under_way: set[Future[_Came]] = set()
            try:
                while True:
                    claims = [] if len(under_way) > job.together else self._claims(places, under_way)
                    for claim in claims:
                        under_way.add(pool.submit(self._climb, claim, self._question(claim), live))
                    if not under_way:
                        break
                    ready, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for future in ready:
                        self._count(step, future.result())
                    if time.monotonic() - step.told > _TELL:
                        step.told = time.monotonic()
                        yield step.progress(self._loaded)
            finally:
                for future in under_way:
                    future.cancel()
        if step.done:
            yield step.progress(self._loaded)

    def _claims(self, places: list[int], under_way: set[Future[_Came]]) -> list[Claim]:
        """The next questions. Those on which a tier crashed come last, one at a time."""
        job = self._job
        if job.stop.is_set():
            return []
        for place in places:
            if found := job.manifest.claim(place, job.together, among=self._among):
                return found
        for place in places if not under_way else ():
            if found := job.manifest.claim(place, 1, suspects=True, among=self._among):
                return found
        return []

    def _count(self, step: _Step, came: _Came) -> None:
        if came.waits:
            return
        if came.trouble is None:
            step.done += 1
            step.sent_up += came.sent_up
            step.troubles = 0
            return
        if self._fatal is not None:
            raise self._fatal
        if came.began < step.last_trouble:
            return  # the call began before the last trouble, so this is the same trouble
        step.troubles += 1
        if step.troubles >= _TROUBLES:
            error = came.trouble
            raise type(error)(error.message, hint=error.hint or "run the same command again: it goes on from here")
        self._job.stop.wait(min(_PAUSE * 2 ** (step.troubles - 1), _LONGEST_PAUSE))
        step.last_trouble = time.monotonic()

    def _get_ready(self, place: int) -> None:
        """Load a model before its first call. A model that can't be loaded is an error of the job, not of a row."""
        with self._lock:
            if self._fatal is not None:
                raise self._fatal
            rung, began = self._job.ladder.rungs[place], time.monotonic()
            if place in self._ready or rung.warms is None:
                self._ready.add(place)
                return
            try:
                rung.warms.warm()
            except STANDING as error:
                self._fatal = error
                raise
            self._ready.add(place)
            self._loaded += time.monotonic() - began

    def _put_away(self, place: int) -> None:
        """Unload a model to make room for the next."""
        if place in self._ready:
            self._ready.discard(place)
            self._job.ladder.rungs[place].tier.close()

    def _question(self, claim: Claim) -> RowQuestion:
        found = again(self._job.source, self._job.questions, claim.place, claim.line)
        if found is None or found[1].key != claim.key:
            raise ConfigError(
                f"{self._job.source.path} changed while the job was running: line {claim.line:,} asks something else",
                hint="run the same command again: what changed is asked anew",
            )
        return found[1]

    def _climb(self, claim: Claim, question: RowQuestion, live: frozenset[int]) -> _Came:
        """Ask one question, and store the result."""
        job, began = self._job, time.monotonic()
        climber = Climber(
            claim.number,
            claim.calls,
            job.identities,
            live,
            job.manifest.keep,
            self._get_ready,
            patient=claim.crashes <= _ALONE,
        )
        try:
            plan = self._plan(question, climber)
        except (ConfigError, ContractError) as error:
            job.manifest.finish(claim.number, UNUSABLE, problem("unusable", error.message), {})
            return _Came()
        forget = job.cancel.on_set(climber.cancel.set)
        try:
            finished = _run(plan)
        except LedgerError:
            raise
        except RungError as error:
            return self._broken(claim, climber, error.message)
        except Exception as bug:  # noqa: BLE001  a user's check raised it: the job continues without the row
            return self._broken(claim, climber, f"a check raised {type(bug).__name__}")
        finally:
            forget()
        outcome = finished.outcome
        if climber.stopped_at is not None:
            job.manifest.move(claim.number, climber.stopped_at, climber.fresh())
            return _Came(sent_up=climber.stopped_at != claim.stage)
        if climber.cancel.is_set():
            job.manifest.give_back(claim.number, climber.fresh(), crashed=climber.crashed)
            return _Came(trouble=None if climber.crashed else climber.failure, began=began)
        if outcome.reason == Reason.OVER_BUDGET and job.purse is not None and job.manifest.money_may_come_back():
            job.manifest.give_back(claim.number, climber.fresh())
            job.stop.wait(_LOOK)
            return _Came(waits=True)
        self._record(plan, finished)
        answer = answer_of(outcome, climber.made)
        if outcome.accepted:
            job.manifest.finish(claim.number, ACCEPTED, answer, {}, forget=climber.kept_any)
        else:
            job.manifest.finish(claim.number, REJECTED, answer, climber.fresh())
        return _Came()

    def _broken(self, claim: Claim, climber: Climber, said: str) -> _Came:
        self._job.manifest.finish(claim.number, REJECTED, problem("check_failed", said), climber.fresh())
        return _Came()

    def _plan(self, question: RowQuestion, climber: Climber) -> engine.Plan:
        job = self._job
        options: RequestOptions = {**job.options, "cancel": climber.cancel}
        if question.max_tokens is not None:
            options["max_tokens"] = question.max_tokens
        if question.sampling is not None:
            options["sampling"] = question.sampling
        plan = job.ladder.plan(question.messages, self._contract(question), options)
        purses = [climber.purse(purse) for purse in (plan.purse, job.purse) if purse is not None]
        if plan.task is not None and plan.task.fill is not None:
            plan = replace(plan, prompt=plan.task.prompt)  # the rows were already filled into its template
        return replace(
            plan,
            rungs=climber.tiers(self._rungs),
            purse=BothPurses(*purses) if len(purses) == 2 else next(iter(purses), None),
            # no time limit: how long a row takes depends on how many are under way
            deadline=Deadline(),
            residency=_Residency(job.ladder.rungs, plan.residency) if job.order == "stream" else engine.Residency(),
            observers=(),
            shadows=None,
        )

    def _contract(self, question: RowQuestion) -> Any:
        if question.schema is None:
            return self._contract_of("", self._job.output)
        import json

        return self._contract_of(json.dumps(question.schema), dict(question.schema))

    def _contract_of(self, key: str, output: Any) -> Any:
        found = self._contracts.get(key)
        if found is None:
            found = self._job.ladder.contract(output, self._job.validators)
            if len(self._contracts) < _CONTRACTS:
                self._contracts[key] = found
        return found

    def _record(self, plan: engine.Plan, finished: Finished) -> None:
        """Tell the observers about a row that cost money or left this machine. Other rows are only in the manifest."""
        outcome: Outcome[Any] = finished.outcome
        far = any(attempt.sent and attempt.zone > Zone.HOST for attempt in outcome.attempts)
        if not far and outcome.cost == 0:
            return
        for observer in self._job.observers:
            with suppress(Exception):  # an observer must not break the job
                observer(finished)


class _Residency(engine.Residency):
    """Manages the models of the real tiers for climbs, whose rungs have stand-ins.

    Args:
        rungs: the real rungs.
        residency: of the ladder.
    """

    def __init__(self, rungs: Sequence[Rung], residency: engine.Residency) -> None:
        super().__init__()
        self._real = {rung.tier.name: rung for rung in rungs}
        self._residency = residency

    def make_room(self, rung: Rung) -> None:
        """Unload models that no call uses until the model of this rung fits."""
        self._residency.make_room(self._real[rung.tier.name])

    def expect(self, rung: Rung) -> None:
        """Begin to load the model after this rung's, if it fits."""
        self._residency.expect(self._real[rung.tier.name])


def _run(plan: engine.Plan) -> Finished:
    for event in engine.run(plan):
        if isinstance(event, Finished):
            return event
    raise AssertionError("a run ends with Finished")
