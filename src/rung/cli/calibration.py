"""What `rung calibrate` does: ask the tiers, look at the rows once, and write what was learnt."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rung import __version__
from rung.cli.admitting import with_waiting
from rung.cli.evaluation import PreparedEvaluation
from rung.cli.output import Output
from rung.cli.progress import EvalLine
from rung.config import load
from rung.errors import ConfigError
from rung.learn import saying
from rung.learn.calibrating import Calibration, Provenance, calibrate, learnt
from rung.learn.choosing import choose
from rung.learn.climbing import Climbed, climb
from rung.learn.data import wording
from rung.learn.disagreements import Disagreements
from rung.learn.escalations import Admission
from rung.learn.judgements import NAME as JUDGEMENTS
from rung.learn.judgements import Judgements
from rung.learn.looks import LookKind, note_look
from rung.learn.questions import Question, demand_rows
from rung.learn.rows import Row
from rung.learn.tasks import TaskFolder

RECORDER = "rung calibrate DATA --task NAME --record FILE"
"""The command that records the answers that a replay lacks."""


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """The report of a calibration.

    Args:
        found: the calibration.
        look: the kind of look at the certify rows.
        sentences: for stdout.
        notes: for stderr.
    """

    found: Calibration
    look: LookKind
    sentences: tuple[str, ...]
    notes: tuple[str, ...]

    def as_object(self) -> dict[str, Any]:
        """The object of `--json`."""
        found = self.found
        tiers = [
            {
                "tier": tier.tier,
                "score": dict(tier.fitted.weights),
                "above": tier.above if math.isfinite(tier.above) else None,
                "valid": tier.valid,
                "good": tier.agrees,
                "kept": tier.kept,
                "auroc": None if tier.auroc is None else tier.auroc.value,
                "tells": tier.tells,
                "seconds": None if tier.pay is None else tier.pay.seconds,
                "next_seconds": None if tier.pay is None else tier.pay.next_seconds,
                "pays": None if tier.pay is None else tier.pay.pays,
            }
            for tier in found.tiers
        ]
        return {
            "promised": found.promised,
            "certified": found.promised and self.look != "later",
            "look": self.look,
            "question": asdict(found.question),
            "against": found.against,
            "rows": found.rows,
            "fit_rows": found.fit_rows,
            "certify_rows": found.certify_rows,
            "groups": found.groups,
            "judged": found.judged,
            "method": found.certificate.method,
            "losses": found.losses,
            "unavoidable": found.unavoidable,
            "kept": found.kept,
            "unanswered": found.unanswered,
            "least_sent_up": found.least_sent_up,
            "hardly_pays": found.hardly_pays,
            "tiers": tiers,
            "sentences": list(self.sentences),
        }


def question(
    ready: PreparedEvaluation, *, limit: float, delta: float, risk: bool, average: bool, feature: str | None
) -> Question:
    """What to promise. Labels on all rows allow a promise that keeps more; without them only agreement is known."""
    labelled = ready.rows.labelled == ready.rows.rows
    return Question(limit, delta, "wrong" if risk else "worse" if labelled else "differs", average, feature)


def calibrated(
    ready: PreparedEvaluation, name: str, asked: Question, labels: Path | None, config: Path | None, output: Output
) -> CalibrationReport:
    """Ask the tiers, calibrate them, and write what was learnt beside the task.

    Args:
        ready: the data, the ladder and its recorders.
        name: of the task.
        asked: what to promise.
        labels: the file of judgements, if not the task's own.
        config: the only configuration to read.
        output: where progress is shown.

    Raises:
        ConfigError: free text can't be compared, there are too few rows, or a file can't be written.
        RungError: whatever asking the tiers raises.
    """
    task = load(config).tasks.demand(name)
    today = datetime.now(UTC).date().isoformat()
    ready, admitted, told = with_waiting(ready, task, today)
    rows = usable_rows(ready, name, asked)
    demand_rows(rows, asked)
    with Judgements(judgements_of(task, labels)) as judgements:
        climbed = climbed_rows(ready, len(rows), output)
        asked, notes = _with_judgements(asked, climbed, judgements)
        found = calibrate(climbed.climbs, asked, judgements)
        look = _look(ready, task, found, climbed, judgements, today)
    says = saying.promise(found, look)
    origin = Provenance(ready.rows.sha256, today, __version__, look != "later", says)
    written = _written(task, found, climbed, origin, admitted)
    told = (*told, *judgements.notes, *notes, *written)
    return CalibrationReport(found, look, (says, *saying.findings(found)), told)


def demand_equality(name: str, same: Any) -> None:
    """Check that two answers of a task can be compared.

    Args:
        name: of the task.
        same: compares them; `None` if nothing does.

    Raises:
        ConfigError: nothing compares them.
    """
    if same is None:
        raise ConfigError(
            f"the task {name!r} answers in free text, and rung can't tell when two texts say the same: nothing can be "
            "certified",
            hint="say how answers are compared with same = ... in its task.toml (docs/tasks.md)",
        )


def usable_rows(ready: PreparedEvaluation, name: str, asked: Question) -> list[Row]:
    """The rows, if the question can be asked of them.

    Args:
        ready: the data.
        name: of the task.
        asked: what to promise.

    Raises:
        ConfigError: free text can't be compared, or rows have contracts of their own.
    """
    rows = list(ready.work.rows())
    if asked.kind in ("differs", "judged"):
        demand_equality(name, ready.work.same)
    if any(row.schema is not None for row in rows):
        raise ConfigError("rows have schemas of their own, but a task has one contract", hint="leave schema out")
    return rows


def climbed_rows(ready: PreparedEvaluation, rows: int, output: Output) -> Climbed:
    """Ask every tier about every row, and show the progress."""
    with EvalLine(output, rows) as line:
        for event in climb(ready.work):
            if isinstance(event, Climbed):
                return event
            line.show(event)
    raise AssertionError("a climb ends with all rows")


def judgements_of(task: TaskFolder, named: Path | None) -> Path | None:
    """The file of a person's judgements: the one that was named, or the task's own; `None` if there is none."""
    own = task.path / JUDGEMENTS
    return named or (own if own.exists() else None)


def _with_judgements(asked: Question, climbed: Climbed, judgements: Judgements) -> tuple[Question, tuple[str, ...]]:
    """The question that a person's judgements allow, and notes about them."""
    chosen = choose(climbed.climbs, asked) if judgements.last is not None else None
    if chosen is None or not judgements.of(chosen.certifying):
        return asked, ()
    if asked.kind != "differs":
        return asked, (f"the judgements in {judgements.path} don't count: every row has an expected answer",)
    disagreements = Disagreements(chosen, judgements)
    if disagreements.decided:
        return replace(asked, kind="judged"), ()
    if not disagreements.judged:
        return asked, ()
    known = f"{disagreements.judged:,} judged, at most {disagreements.left:,} left"
    return asked, (f"the judgements in {judgements.path} aren't enough yet ({known}), so they don't count",)


def _look(
    ready: PreparedEvaluation,
    task: TaskFolder,
    found: Calibration,
    climbed: Climbed,
    judgements: Judgements,
    today: str,
) -> LookKind:
    """Record the look at the certify rows.

    A certificate by judgements doesn't count as a second choice after one without them: its thresholds can only be
    lower, and both promise that the ladder is not much less accurate. Nor does one after a check of the same promise.
    """
    asked, chosen = found.question, found.chosen
    before = [checked_question(asked.limit, asked.delta)]
    if asked.kind == "judged":
        before.append(chosen.asking(replace(asked, kind="differs")).identity(climbed.conditions))
    return note_look(
        task.path,
        data=ready.rows.sha256,
        rows=[c.row.key for c in chosen.certifying],
        question=chosen.identity(climbed.conditions, judgements),
        date=today,
        seen=[wording(c.row.messages) for c in climbed.climbs],
        after=before,
    )


def checked_question(limit: float, delta: float) -> dict[str, Any]:
    """The question of a check on fresh rows, for the record of looks."""
    return {"check": [limit, delta]}


def _written(
    task: TaskFolder, found: Calibration, climbed: Climbed, origin: Provenance, admitted: Admission
) -> tuple[str, ...]:
    """Write what was learnt. An estimate never replaces a certificate that is still valid."""
    before = task.learned
    conditions = climbed.conditions
    stands = any(
        tier in conditions and not learned.evidence.void(conditions[tier]) for tier, learned in before.tiers.items()
    )
    if not origin.certified and before.promise is not None and before.promise.certified and stands:
        return ("learned.json keeps its certificate; only fresh rows can make another one",)
    if admitted.admitted:
        admitted.examples.write(task.path)
    learnt(found, conditions, origin).model_copy(update={"forms": admitted.forms}).write(task.path)
    return (f"what was learnt is in {task.path / 'learned.json'}",)
