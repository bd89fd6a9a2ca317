"""What `rung calibrate` does: asks the tiers, looks at the rows once, and writes what was learnt."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rung import __version__
from rung.cli.evaluation import PreparedEvaluation
from rung.cli.output import Output
from rung.cli.progress import EvalLine
from rung.config import load
from rung.errors import ConfigError
from rung.learn import saying
from rung.learn.calibrating import Calibration, Provenance, calibrate, learnt
from rung.learn.climbing import Climbed, climb
from rung.learn.looks import LookKind, note_look
from rung.learn.questions import Question, demand_rows
from rung.learn.splits import split
from rung.learn.tasks import TaskFolder


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What a person is told.

    Args:
        found: by the calibration.
        look: at the certify rows.
        sentences: for stdout.
        notes: for stderr.
    """

    found: Calibration
    look: LookKind
    sentences: tuple[str, ...]
    notes: tuple[str, ...]

    def as_object(self) -> dict[str, Any]:
        """The same for `--json`."""
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
            "method": found.certificate.method,
            "losses": found.losses,
            "unavoidable": found.unavoidable,
            "kept": found.kept,
            "unanswered": found.unanswered,
            "least_sent_up": found.least_sent_up,
            "tiers": tiers,
            "sentences": list(self.sentences),
        }


def question(ready: PreparedEvaluation, *, limit: float, delta: float, risk: bool, average: bool) -> Question:
    """What is to be promised: with labels on all rows more is kept, and without them nothing but agreement is known."""
    labelled = ready.rows.labelled == ready.rows.rows
    return Question(limit, delta, "wrong" if risk else "worse" if labelled else "differs", average)


def with_feature(asked: Question, feature: str | None) -> Question:
    """The same with the feature that a person named."""
    return replace(asked, feature=feature)


def calibrated(
    ready: PreparedEvaluation, name: str, asked: Question, config: Path | None, output: Output
) -> CalibrationReport:
    """Ask the tiers, calibrate them, and write what was learnt beside the task.

    Args:
        ready: the data, the ladder and its recorders.
        name: of the task.
        asked: what is to be promised.
        config: the only configuration to read.
        output: where progress is told.

    Raises:
        ConfigError: free text knows no equality, there are too few rows, or a file can't be written.
        RungError: what asking the tiers raises.
    """
    task = load(config).tasks.demand(name)
    rows = list(ready.work.rows())
    if asked.kind == "differs" and ready.work.same is None:
        raise ConfigError(
            f"the task {name!r} answers in free text, and nobody knows when two texts say the same: nothing can be "
            "certified",
            hint="say how answers are compared with same = ... in its task.toml (docs/tasks.md)",
        )
    if any(row.schema is not None for row in rows):
        raise ConfigError("rows have schemas of their own, and a task has one contract", hint="leave schema out")
    demand_rows(rows, asked)
    climbed = _climbed(ready, len(rows), output)
    found = calibrate(climbed.climbs, asked)
    certify = split(rows).certify
    today = datetime.now(UTC).date().isoformat()
    look = note_look(
        task.path,
        data=ready.rows.sha256,
        keys=[row.key for row in certify],
        question=_identity(found, climbed),
        date=today,
    )
    says = saying.promise(found, look)
    origin = Provenance(ready.rows.sha256, today, __version__, look != "later", says)
    notes = _written(task, found, climbed, origin)
    return CalibrationReport(found, look, (says, *saying.findings(found)), notes)


def _climbed(ready: PreparedEvaluation, rows: int, output: Output) -> Climbed:
    with EvalLine(output, rows) as line:
        for event in climb(ready.work):
            if isinstance(event, Climbed):
                return event
            line.show(event)
    raise AssertionError("a climb ends with all rows")


def _identity(found: Calibration, climbed: Climbed) -> dict[str, Any]:
    """What a look depends on: the promise, the scores, the conditions, and what each row came to."""
    return {
        "question": asdict(found.question),
        "answered": found.answered.tolist(),
        "lost": found.lost.tolist(),
        "scores": [[dict(tier.fitted.weights), tier.fitted.bias, str(tier.above)] for tier in found.tiers],
        "conditions": {
            tier: [now.weights, now.prompt, now.contract, str(now.sampling), now.max_tokens, now.repairs, now.feedback]
            for tier, now in climbed.conditions.items()
        },
    }


def _written(task: TaskFolder, found: Calibration, climbed: Climbed, origin: Provenance) -> tuple[str, ...]:
    """Write what was learnt; an estimate never takes the place of a certificate that still stands."""
    before = task.learned
    conditions = climbed.conditions
    stands = any(
        tier in conditions and not learned.evidence.void(conditions[tier]) for tier, learned in before.tiers.items()
    )
    if not origin.certified and before.promise is not None and before.promise.certified and stands:
        return ("learned.json keeps the certificate that it has; fresh rows make another one",)
    learnt(found, conditions, origin).write(task.path)
    return (f"what was learnt is in {task.path / 'learned.json'}",)
