"""What `rung calibrate --check` does: check a task's promise on fresh rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rung.cli.calibration import checked_question, climbed_rows, judgements_of, usable_rows
from rung.cli.evaluation import PreparedEvaluation
from rung.cli.output import Output
from rung.config import load
from rung.errors import ConfigError
from rung.learn import saying
from rung.learn.climbing import Climbed
from rung.learn.data import wording
from rung.learn.judgements import Judgements
from rung.learn.learned import Promise
from rung.learn.looks import note_check, read_looks
from rung.learn.questions import Question
from rung.learn.rechecks import Recheck, recheck
from rung.learn.rows import Row
from rung.learn.tasks import TaskFolder

RECORDER = "rung calibrate DATA --task NAME --check --record FILE"
"""The command that records the answers that a replay of a check lacks."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The report of a check.

    Args:
        found: the check.
        promised: the promise that was checked.
        left_out: number of rows that took part in a calibration.
        notes: for stderr.
    """

    found: Recheck
    promised: Promise
    left_out: int
    notes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The sentences for stdout."""
        return saying.rechecked(self.found, self.promised)

    def as_object(self) -> dict[str, Any]:
        """The object of `--json`."""
        promise = self.promised.model_dump(mode="json")
        return {**asdict(self.found), "promise": promise, "left_out": self.left_out, "sentences": [self.sentence]}


def rechecked(
    ready: PreparedEvaluation, name: str, labels: Path | None, config: Path | None, output: Output
) -> CheckReport:
    """Ask the tiers about fresh rows, and compare the result with the task's promise.

    Args:
        ready: the data, the ladder and its recorders.
        name: of the task.
        labels: the file of judgements, if not the task's own.
        config: the only configuration to read.
        output: where progress is shown.

    Raises:
        ConfigError: nothing is promised, what was learnt is void, or no row is fresh.
        RungError: whatever asking the tiers raises.
    """
    task = load(config).tasks.demand(name)
    promised = task.learned.promise
    if promised is None:
        raise ConfigError(
            f"nothing is promised of the task {name!r}", hint="run `rung calibrate` without --check first"
        )
    _demand_holding(name, task.void())
    rows = usable_rows(ready, name, Question(promised.limit, promised.delta, promised.kind))
    fresh, left_out = _fresh(rows, task, ready.rows.sha256)
    ready = replace(ready, work=replace(ready.work, rows=lambda: fresh))
    climbed = climbed_rows(ready, len(fresh), output)
    learned, now = task.learned.tiers.items(), climbed.conditions
    _demand_holding(name, {tier: known.evidence.void(now[tier]) for tier, known in learned if tier in now})
    with Judgements(judgements_of(task, labels)) as judgements:
        found = recheck(climbed.climbs, task.learned, judgements)
    notes = _noted(task, promised, fresh, ready.rows.sha256, climbed, found)
    if left_out:
        notes = (f"{left_out:,} rows took part in a calibration, so they aren't fresh and are left out", *notes)
    return CheckReport(found, promised, left_out, (*judgements.notes, *notes))


def _demand_holding(name: str, void: dict[str, tuple[str, ...]]) -> None:
    for tier, changed in void.items():
        if changed:
            raise ConfigError(
                f"what was learnt about tier {tier!r} for the task {name!r} is void, because {' and '.join(changed)} "
                "changed since: there is nothing to check",
                hint="run `rung calibrate` anew on fresh rows",
            )


def _fresh(rows: list[Row], task: TaskFolder, data: str) -> tuple[list[Row], int]:
    """The rows that took no part in a calibration of the task, and the number of those that did."""
    looks = [look for look in read_looks(task.path).looks if not look.check]
    whole = {look.data for look in looks} | {tier.evidence.data for tier in task.learned.tiers.values()}
    seen = {one for look in looks for one in look.seen}
    examples = task.examples()
    fresh = [
        row
        for row in rows
        if data not in whole and wording(row.messages) not in seen and not examples.asks(row.messages)
    ]
    if not fresh:
        raise ConfigError(
            f"none of the {len(rows):,} rows is fresh: all took part in a calibration of the task",
            hint="a check needs rows that came later",
        )
    return fresh, len(rows) - len(fresh)


def _noted(
    task: TaskFolder, promised: Promise, fresh: list[Row], data: str, climbed: Climbed, found: Recheck
) -> tuple[str, ...]:
    """Record the result of the check. If the folder can't be written, as where only tests run, the verdict stays."""
    today = datetime.now(UTC).date().isoformat()
    setups = {tier: now.setup for tier, now in climbed.conditions.items()}
    asked = checked_question(promised.limit, promised.delta)
    try:
        note_check(task.path, data=data, rows=[row.key for row in fresh], question=asked, date=today)
        after = task.learned.checked(setups, rows=found.rows, date=today)
        if found.verdict == "confirmed" and after != task.learned:
            after.write(task.path)
            return ("learned.json says that the present setup of the tiers was checked",)
    except ConfigError as error:
        return (f"this check isn't kept: {error.message}",)
    return ()
