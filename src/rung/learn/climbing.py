"""What every tier of a ladder answers if each tier before it sent its answer up, asked as the ladder asks it.

A tier that sends an answer up because it isn't sure enough tells the next one nothing. A tier whose answer was rejected
gives it feedback. So whatever the thresholds are, the ladder's answer is one of these, or the last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import to_jsonable_python

from rung import deferral, engine
from rung.deferral import Decision, Rule, Situation
from rung.errors import ConfigError
from rung.learn.evaluating import EvalProgress, Evaluation, Made, Work
from rung.learn.grading import grade
from rung.learn.recording import Heard
from rung.learn.results import LADDER, TierResult, features_of, value_hash
from rung.learn.rows import Row
from rung.tier import Rung
from rung.types import Attempt, Conditions, Outcome, Reason, Standing, Verdict, Zone


@dataclass(frozen=True, slots=True)
class Climb:
    """One row on its way through all tiers.

    Args:
        row: what was asked.
        steps: what each tier answered, smallest first, if all before it sent theirs up. `agrees` says whether the
            answer is what the last tier says by itself. For the last step it says whether feedback changed its answer.
        alone: what the last tier says by itself.
    """

    row: Row = field(repr=False)
    steps: tuple[TierResult, ...]
    alone: TierResult


@dataclass(frozen=True, slots=True)
class Climbed:
    """All rows.

    Args:
        climbs: in the order of the rows.
        conditions: those under which each tier answered, by its name.
    """

    climbs: tuple[Climb, ...] = field(repr=False)
    conditions: Mapping[str, Conditions]


def local_rungs(work: Work) -> tuple[Rung, ...]:
    """The tiers of this machine, smallest first. A calibration decides between them.

    Raises:
        ConfigError: there are fewer than two, so there is nothing to decide.
    """
    found = tuple(rung for rung in work.ladder.rungs if rung.tier.zone <= Zone.HOST)
    if len(found) < 2:
        names = ", ".join(repr(rung.tier.name) for rung in found) or "none"
        raise ConfigError(
            f"a calibration needs two tiers on this machine; there is {names}",
            hint="add a larger local model: `rung models list` shows some",
        )
    return found


def climb(work: Work) -> Iterator[EvalProgress | Climbed]:
    """Ask every local tier about every row, in tier order, so that one model is loaded at a time.

    Args:
        work: what to ask. Its options name a task.

    Yields:
        Progress, and at the end all rows.

    Raises:
        RungError: whatever `rung.learn.evaluating.evaluate` raises.
    """
    yield from _Climbing(work).climbs()


class _Climbing(Evaluation):
    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._rungs = local_rungs(work)
        self._steps: dict[int, tuple[Made, ...]] = {}
        self._conditions: dict[str, Conditions] = {}

    def climbs(self) -> Iterator[EvalProgress | Climbed]:
        """Yield progress, and at the end all rows."""
        rungs = list(self._rungs)
        last = rungs[-1].tier.name
        for place, rung in enumerate(rungs):
            try:
                if place == len(rungs) - 1:
                    yield from self._pass(last, rungs[place:], whole=False)
                yield from self._pass(rung.tier.name, rungs[: place + 1], whole=True)
            finally:
                if self._work.asks:
                    self._work.recorders[rung.tier.name].put_away()
        yield Climbed(tuple(self._climb(row, last) for row in self._work.rows()), self._conditions)

    def _ruled(self, plan: engine.Plan, name: str) -> engine.Plan:
        task = None if plan.task is None else replace(plan.task, standing=self._standing)
        rule = _sending_up(self._rungs[-1].tier.name) if name == LADDER else deferral.WHOLE
        return replace(plan, task=task, rule=rule)

    def _standing(self, now: Conditions) -> Standing:
        """Note the conditions under which a tier answers, as the engine sees them in use, before anything is learnt."""
        before = self._conditions.get(now.tier)
        others = now.others if before is None else {**before.others, **now.others}
        self._conditions[now.tier] = replace(now, others=others)
        return Standing()

    def _result(self, row: Row, name: str, outcome: Outcome[Any], heard: list[Heard]) -> Made:
        if name == LADDER:
            took: dict[str, float] = {}
            for attempt, each in zip((a for a in outcome.attempts if a.sent), heard, strict=False):
                took[attempt.tier] = took.get(attempt.tier, 0.0) + each.share
            tiers = dict.fromkeys(attempt.tier for attempt in outcome.attempts)
            self._steps[row.number] = tuple(
                self._step(row, [a for a in outcome.attempts if a.tier == tier], took.get(tier, 0.0)) for tier in tiers
            )
        return super()._result(row, name, outcome, heard)

    def _step(self, row: Row, attempts: list[Attempt], seconds: float) -> Made:
        last = attempts[-1]
        valid = last.candidate is not None and last.validation is not None and last.validation.valid
        value = to_jsonable_python(last.validation.value) if valid and last.validation is not None else None
        result = TierResult(
            row=row.number,
            key=row.key,
            group=row.group,
            tier=last.tier,
            asked=any(attempt.sent for attempt in attempts),
            valid=valid,
            reason=str(last.reason),
            features=features_of(last.candidate.score) if valid and last.candidate is not None else {},
            seconds=seconds,
            value_hash=value_hash(value) if valid else None,
            value=value,
        )
        return Made(self._graded_by(row, result, value), value)

    def _climb(self, row: Row, last: str) -> Climb:
        alone = self._made[row.number, last]
        steps = {made.result.tier: made for made in self._steps[row.number]}
        there = [steps.get(rung.tier.name) or self._not_asked(row, rung.tier.name) for rung in self._rungs]
        return Climb(row, tuple(self._held(made, alone) for made in there), alone.result)

    def _not_asked(self, row: Row, tier: str) -> Made:
        return Made(TierResult(row.number, row.key, row.group, tier, asked=False), None)

    def _held(self, made: Made, alone: Made) -> TierResult:
        """A step compared with what the last tier says by itself. If neither has an answer they agree."""
        if not made.result.valid and not alone.result.valid:
            return replace(made.result, agrees=True)
        both = made.result.valid and alone.result.valid
        same = self._work.same
        if both and made.result.value_hash == alone.result.value_hash:
            return replace(made.result, agrees=True)
        if same is None:
            return made.result
        # an answer that can't be compared counts as a different one
        return replace(made.result, agrees=both and grade(same, made.value, alone.value).right is True)


def _sending_up(last: str) -> Rule:
    """The deferral table in which no tier but the last is ever sure enough."""

    def unsure(s: Situation) -> Decision | None:
        climbs = s.tier != last and s.candidate is not None and not s.issues
        return Decision(Verdict.ESCALATE, Reason.LOW_CONFIDENCE) if climbs else None

    rules = (unsure if rule is deferral.low_confidence else rule for rule in deferral.STANDARD)
    return deferral.first_of(*rules)
