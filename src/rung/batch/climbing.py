"""One question on its way up, by the real engine: what comes of it, before anything is stored.

It knows neither the manifest nor other questions, so it runs in the job's process as well as in an actor of a cluster.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rung import engine
from rung.batch.answers import answer_of, problem
from rung.batch.manifest import Claim, KeptCall
from rung.batch.questions import RowQuestion
from rung.batch.replaying import STANDING, Climber, standing
from rung.batch.schema import ACCEPTED, REJECTED, UNUSABLE
from rung.contract import Validator
from rung.errors import ConfigError, ContractError, LedgerError, RungError
from rung.ladder import Ladder, RequestOptions
from rung.limits import Cancel, Deadline
from rung.money import BothPurses, Purse
from rung.tier import Rung
from rung.types import Finished, Reason, Zone

_ALONE = 2
"""Crashes of a question that is asked alone, after which only the engine's own rule for crashes applies: the question
itself may be what makes the tier crash."""
_CONTRACTS = 256
"""Compiled contracts that are cached if rows have their own schemas: a few megabytes."""
Keep = Callable[[int, int, KeptCall, int | None], None]
"""Stores a call that may have cost money at once: question, number of the call, the call, its reservation."""


@dataclass(frozen=True, slots=True)
class ClimbedRow:
    """What came of one climb.

    Args:
        question: its number.
        stage: where the question goes: the place of a tier, or one of the stages of a finished question.
        answer: of a finished question.
        calls: answers of tiers that aren't stored yet.
        forget: whether the manifest may hold calls of this question, which are no longer needed.
        sent_up: whether it goes on to a later tier.
        given_back: whether it was not answered, and waits for the same tier again.
        crashed: whether a tier crashed while it worked on the question. Then the question has to be asked alone.
        over_budget: whether a tier was left out because of what it may cost.
        trouble: why the tier couldn't be asked at all.
        began: when the climb began, by `time.monotonic`.
        told: what observers are told, if the question cost money or left this machine.
    """

    question: int
    stage: int
    answer: Mapping[str, Any] | None = None
    calls: Mapping[int, KeptCall] = field(default_factory=dict, repr=False)
    forget: bool = True
    sent_up: bool = False
    given_back: bool = False
    crashed: bool = False
    over_budget: bool = False
    trouble: RungError | None = None
    began: float = 0.0
    told: Finished | None = field(default=None, repr=False)


class LoadedModels:
    """The models of a ladder that are in memory. Each is loaded before its tier's first call.

    Args:
        rungs: of the ladder.
    """

    def __init__(self, rungs: Sequence[Rung]) -> None:
        self._rungs = rungs
        self._lock = threading.Lock()
        self._ready: set[int] = set()
        self.seconds = 0.0
        """Time spent loading."""
        self.fatal: RungError | None = None
        """Why a model can't be loaded. It is an error of the job, not of a row."""

    def get_ready(self, place: int) -> None:
        """Load a tier's model, unless it is loaded.

        Raises:
            RungError: it can't be loaded.
        """
        with self._lock:
            if self.fatal is not None:
                raise self.fatal
            rung, began = self._rungs[place], time.monotonic()
            if place in self._ready or rung.warms is None:
                self._ready.add(place)
                return
            try:
                rung.warms.warm()
            except STANDING as error:
                self.fatal = error
                raise
            self._ready.add(place)
            self.seconds += time.monotonic() - began

    def put_away(self, place: int) -> None:
        """Unload a model to make room for the next."""
        if place in self._ready:
            self._ready.discard(place)
            self._rungs[place].tier.close()


class Climbs:
    """Asks the questions of a job.

    Args:
        ladder: its tiers, their settings and its limits.
        identities: of the tiers, by name.
        output: what an answer must be, if a row has no schema of its own.
        validators: further checks.
        options: of every request.
        purse: what the job may spend, in addition to the ladder's own limits; `None` sets no limit.
        shares_memory: whether models of several tiers are in memory together, so that the ladder makes room for each.
    """

    def __init__(
        self,
        ladder: Ladder,
        identities: Mapping[str, str],
        output: Any = None,
        validators: Sequence[Validator] = (),
        options: RequestOptions | None = None,
        purse: Purse | None = None,
        *,
        shares_memory: bool = False,
    ) -> None:
        self.ladder, self.identities = ladder, identities
        self._output, self._validators, self._options = output, validators, options or {}
        self._purse, self._shares_memory = purse, shares_memory
        self._rungs = standing(ladder.rungs, identities)
        self._contracts: dict[str, Any] = {}

    def climb(
        self,
        claim: Claim,
        question: RowQuestion,
        live: frozenset[int],
        keep: Keep,
        get_ready: Callable[[int], None],
        cancel: Cancel,
    ) -> ClimbedRow:
        """Ask one question.

        Args:
            claim: what the manifest has of it.
            question: what is asked.
            live: places of the tiers that may be asked.
            keep: stores a call that may have cost money.
            get_ready: loads a tier's model.
            cancel: ends the climb.

        Raises:
            LedgerError: such a call can't be stored.
        """
        began, number = time.monotonic(), claim.number
        climber = Climber(number, claim.calls, self.identities, live, keep, get_ready, patient=claim.crashes <= _ALONE)
        try:
            plan = self._plan(question, climber)
        except (ConfigError, ContractError) as error:
            return ClimbedRow(number, UNUSABLE, problem("unusable", error.message))
        forget = cancel.on_set(climber.cancel.set)
        try:
            finished = _run(plan)
        except LedgerError:
            raise
        except RungError as error:
            return ClimbedRow(number, REJECTED, problem("check_failed", error.message), climber.fresh())
        except Exception as bug:  # noqa: BLE001  a user's check raised it: the job continues without the row
            said = f"a check raised {type(bug).__name__}"
            return ClimbedRow(number, REJECTED, problem("check_failed", said), climber.fresh())
        finally:
            forget()
        outcome = finished.outcome
        if climber.stopped_at is not None:
            up = climber.stopped_at != claim.stage
            return ClimbedRow(number, climber.stopped_at, calls=climber.fresh(), sent_up=up)
        if climber.cancel.is_set():
            trouble = None if climber.crashed else climber.failure
            return ClimbedRow(
                number,
                claim.stage,
                calls=climber.fresh(),
                given_back=True,
                crashed=climber.crashed,
                trouble=trouble,
                began=began,
            )
        answer, told = answer_of(outcome, climber.made), _to_tell(finished)
        if outcome.accepted:
            return ClimbedRow(number, ACCEPTED, answer, forget=climber.kept_any, told=told)
        over = outcome.reason == Reason.OVER_BUDGET
        return ClimbedRow(number, REJECTED, answer, climber.fresh(), over_budget=over, told=told)

    def _plan(self, question: RowQuestion, climber: Climber) -> engine.Plan:
        options: RequestOptions = {**self._options, "cancel": climber.cancel}
        if question.max_tokens is not None:
            options["max_tokens"] = question.max_tokens
        if question.sampling is not None:
            options["sampling"] = question.sampling
        plan = self.ladder.plan(question.messages, self._contract(question), options)
        purses = [climber.purse(purse) for purse in (plan.purse, self._purse) if purse is not None]
        if plan.task is not None and plan.task.fill is not None:
            plan = replace(plan, prompt=plan.task.prompt)  # the rows were already filled into its template
        residency = _Residency(self.ladder.rungs, plan.residency) if self._shares_memory else engine.Residency()
        return replace(
            plan,
            rungs=climber.tiers(self._rungs),
            purse=BothPurses(*purses) if len(purses) == 2 else next(iter(purses), None),
            # no time limit: how long a row takes depends on how many are under way
            deadline=Deadline(),
            residency=residency,
            observers=(),
            shadows=None,
        )

    def _contract(self, question: RowQuestion) -> Any:
        if question.schema is None:
            return self._contract_of("", self._output)
        return self._contract_of(json.dumps(question.schema), dict(question.schema))

    def _contract_of(self, key: str, output: Any) -> Any:
        found = self._contracts.get(key)
        if found is None:
            found = self.ladder.contract(output, self._validators)
            if len(self._contracts) < _CONTRACTS:
                self._contracts[key] = found
        return found


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


def _to_tell(finished: Finished) -> Finished | None:
    """What observers are told: a question that cost money or left this machine. Others are only in the manifest."""
    outcome = finished.outcome
    far = any(attempt.sent and attempt.zone > Zone.HOST for attempt in outcome.attempts)
    return finished if far or outcome.cost != 0 else None
