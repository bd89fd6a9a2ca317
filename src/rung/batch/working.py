"""The work of a job: tier by tier, or each row through all tiers, in any number of processes.

A process takes a few questions at a time, asks the tiers whose turn it is, and stores each result before it takes the
next question. So a killed process loses only the questions that were under way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from rung import engine
from rung.batch.climbing import ClimbedRow, Climbs, LoadedModels
from rung.batch.intake import again
from rung.batch.manifest import Claim, JobManifest
from rung.batch.questions import Questions, RowQuestion
from rung.batch.sources import RowSource
from rung.contract import Validator
from rung.errors import ConfigError, RungError
from rung.ladder import Ladder, RequestOptions
from rung.limits import Cancel
from rung.money import Purse

Order = Literal["tiers", "stream"]
"""Whether one tier answers all rows before the next is loaded (`tiers`), or each row climbs by itself (`stream`)."""

_TROUBLES = 5
"""How often in a row a tier may be unable to answer at all before the job stops. It waits between two tries."""
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds of the first such wait, and of the longest. Each wait is twice as long as the one before."""
_LOOK = 0.3
"""Seconds between two checks of what other processes have finished."""
_TELL = 0.2
"""Seconds between two reports of progress. A person can't read faster."""


Asked = tuple[Claim, RowQuestion]
"""A question that was taken, with what it asks."""


class Cluster(Protocol):
    """Asks tiers on other machines, or in other processes."""

    def takes(self, place: int) -> bool:
        """Whether the tier at this place is asked there."""

    def block(self, left: int) -> int:
        """How many questions are handed over, and come back, together.

        Args:
            left: questions of the step.
        """

    def climb(self, place: int, blocks: Iterator[Sequence[Asked]], stop: Cancel) -> Iterator[ClimbedRow]:
        """Ask the tier at a place. Results come in any order, each as soon as its block is through.

        Args:
            place: of the tier.
            blocks: of questions. They are handed over one by one.
            stop: ends it at once. What hasn't come back is asked again.

        Raises:
            RungError: nothing more can be asked there.
        """


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
        cluster: asks some of the tiers elsewhere; `None` asks all of them in this process.
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
    cluster: Cluster | None = None


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
        self._climbs = Climbs(
            job.ladder,
            job.identities,
            job.output,
            job.validators,
            job.options,
            job.purse,
            shares_memory=job.order == "stream",
        )
        self._models = LoadedModels(job.ladder.rungs)

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
                    yield from self._tier(place)
            if self._among is not None:
                return
            # questions that are still open are held by other processes, or were until those died
            if job.manifest.bury():
                job.stop.wait(_LOOK)

    def _tier(self, place: int) -> Iterator[StepProgress]:
        """Ask all questions that wait for one tier."""
        job, step = self._job, _Step(self._job.ladder.rungs[place].tier.name)
        if job.cluster is not None and job.cluster.takes(place):
            yield from self._far_step(step, place, job.cluster)
            return
        try:
            yield from self._step(step, [place], frozenset((place,)))
        finally:
            self._models.put_away(place)

    def _step(self, step: _Step, places: list[int], live: frozenset[int]) -> Iterator[StepProgress]:
        """Ask all questions that wait for one of some tiers."""
        job, self._models.seconds = self._job, 0.0
        with ThreadPoolExecutor(job.together, thread_name_prefix="rung-batch") as pool:
            under_way: set[Future[ClimbedRow | None]] = set()
            try:
                while True:
                    claims = (
                        [] if len(under_way) > job.together else self._claims(places, job.together, alone=not under_way)
                    )
                    for claim in claims:
                        under_way.add(pool.submit(self._climb, claim, self._question(claim), live))
                    if not under_way:
                        break
                    ready, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for future in ready:
                        if (climbed := future.result()) is not None:
                            self._count(step, climbed)
                    if time.monotonic() - step.told > _TELL:
                        step.told = time.monotonic()
                        yield step.progress(self._models.seconds)
            finally:
                for future in under_way:
                    future.cancel()
        if step.done:
            yield step.progress(self._models.seconds)

    def _far_step(self, step: _Step, place: int, cluster: Cluster) -> Iterator[StepProgress]:
        """Ask all questions that wait for a tier of the cluster. They are stored here, as they come back."""
        job, came = self._job, True
        while came and not job.stop.is_set():
            came, done, trouble = False, step.done, None
            size = cluster.block(job.manifest.counts().open.get(place, 0))
            for climbed in cluster.climb(place, self._blocks(place, size), job.stop):
                came = True
                self._store(climbed)
                trouble = climbed.trouble or trouble
                self._count(step, climbed, waits=False)
                if time.monotonic() - step.told > _TELL:
                    step.told = time.monotonic()
                    yield step.progress(0.0)
            if trouble is not None and step.done == done:
                self._trouble(step, trouble)
        if step.done:
            yield step.progress(0.0)

    def _blocks(self, place: int, size: int) -> Iterator[Sequence[Asked]]:
        """The questions that wait for a tier; those on which it crashed only where there are no others, each alone."""
        found = False
        while claims := self._claims([place], size, alone=not found):
            found = True
            yield [(claim, self._question(claim)) for claim in claims]

    def _claims(self, places: list[int], most: int, *, alone: bool) -> list[Claim]:
        """The next questions; where none of these are left and none is under way (`alone`), one that crashed a tier."""
        job = self._job
        if job.stop.is_set():
            return []
        for place in places:
            if found := job.manifest.claim(place, most, among=self._among):
                return found
        for place in places if alone else ():
            if found := job.manifest.claim(place, 1, suspects=True, among=self._among):
                return found
        return []

    def _count(self, step: _Step, climbed: ClimbedRow, *, waits: bool = True) -> None:
        """Count a question that was asked, or the trouble of its tier.

        Args:
            step: the step.
            climbed: what came of it.
            waits: whether to wait, and in the end to give up, if its tier can't be asked.
        """
        if climbed.trouble is None:
            step.done += 1
            step.sent_up += climbed.sent_up
            step.troubles = 0
        elif waits:
            if self._models.fatal is not None:
                raise self._models.fatal
            if climbed.began >= step.last_trouble:  # a call that began before the last trouble had the same trouble
                self._trouble(step, climbed.trouble)

    def _trouble(self, step: _Step, error: RungError) -> None:
        step.troubles += 1
        if step.troubles >= _TROUBLES:
            raise type(error)(error.message, hint=error.hint or "run the same command again: it goes on from here")
        self._job.stop.wait(min(_PAUSE * 2 ** (step.troubles - 1), _LONGEST_PAUSE))
        step.last_trouble = time.monotonic()

    def _question(self, claim: Claim) -> RowQuestion:
        found = again(self._job.source, self._job.questions, claim.place, claim.line)
        if found is None or found[1].key != claim.key:
            raise ConfigError(
                f"{self._job.source.path} changed while the job was running: line {claim.line:,} asks something else",
                hint="run the same command again: what changed is asked anew",
            )
        return found[1]

    def _climb(self, claim: Claim, question: RowQuestion, live: frozenset[int]) -> ClimbedRow | None:
        """Ask one question, and store the result. `None` if it waits for money that may come back."""
        job = self._job
        keep, get_ready = job.manifest.keep, self._models.get_ready
        climbed = self._climbs.climb(claim, question, live, keep, get_ready, job.cancel)
        if climbed.over_budget and job.purse is not None and job.manifest.money_may_come_back():
            job.manifest.give_back(claim.number, climbed.calls)
            job.stop.wait(_LOOK)
            return None
        self._store(climbed)
        return climbed

    def _store(self, climbed: ClimbedRow) -> None:
        """Tell the observers of a climb, and write into the manifest what came of it."""
        manifest, number, stage = self._job.manifest, climbed.question, climbed.stage
        if climbed.told is not None:
            for observer in self._job.observers:
                with suppress(Exception):  # an observer must not break the job
                    observer(climbed.told)
        if climbed.answer is not None:
            manifest.finish(number, stage, climbed.answer, climbed.calls, forget=climbed.forget)
        elif climbed.given_back:
            manifest.give_back(number, climbed.calls, crashed=climbed.crashed)
        else:
            manifest.move(number, stage, climbed.calls)
