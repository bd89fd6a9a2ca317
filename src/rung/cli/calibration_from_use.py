"""What `rung calibrate --from-ledger` does: read the ledger, look at the requests once, and write what was learnt."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rung import __version__, guard
from rung.cli.calibration import demand_equality
from rung.config import Config, load
from rung.engine import Plan, conditions, form
from rung.errors import ConfigError
from rung.learn.calibrating import Provenance
from rung.learn.looks import LookKind, note_look
from rung.learn.questions import Question
from rung.learn.tasks import TaskFolder
from rung.learn.use import Use, read_use
from rung.learn.use_calibrating import UseCalibration, calibrate_use, data_hash, learnt_from_use, sentences
from rung.ledger import LedgerFile
from rung.tier import Rung
from rung.types import Conditions, Zone


@dataclass(frozen=True, slots=True)
class UseReport:
    """The report of a calibration from the ledger.

    Args:
        found: the calibration.
        look: the kind of look at the requests.
        sentences: for stdout.
        notes: for stderr.
    """

    found: UseCalibration
    look: LookKind
    sentences: tuple[str, ...]
    notes: tuple[str, ...]

    def as_object(self) -> dict[str, Any]:
        """The object of `--json`."""
        found, use = self.found, self.found.use
        return {
            "promised": found.promised,
            "certified": found.promised and self.look != "later",
            "look": self.look,
            "question": asdict(found.question),
            "against": found.against,
            "requests": len(use.rows),
            "tossed": len(use.tossed),
            "dropped": use.dropped,
            "method": found.certificate.method,
            "losses": found.losses,
            "unavoidable": found.unavoidable,
            "kept": found.kept,
            "tier": use.first,
            "score": dict(found.weights),
            "above": found.above if math.isfinite(found.above) else None,
            "sentences": list(self.sentences),
        }


def calibrated_from_use(name: str, asked: Question, config: Path | None) -> UseReport:
    """Calibrate a task from the ledger, and write what was learnt beside it.

    Args:
        name: of the task.
        asked: what to promise.
        config: the only configuration to read.

    Raises:
        ConfigError: the ledger has too few requests, or none under the present settings, or a file can't be written.
        LedgerError: the ledger can't be read.
    """
    guard.install(Zone.HOST)
    found = load(config)
    task = found.tasks.demand(name)
    demand_equality(name, task.same())
    plan, rungs = _present(found, task)
    use = _use(found, name, form(plan))
    now = _conditions(plan, rungs, use)
    calibration = calibrate_use(use, rungs[-1].tier.name, asked)
    today = datetime.now(UTC).date().isoformat()
    data = data_hash(calibration.use)
    look = note_look(
        task.path,
        data=data,
        rows=[row.id for row in calibration.use.rows],
        question={"question": asdict(asked), "lost": [row.lost for row in calibration.use.rows]},
        date=today,
    )
    says = tuple(sentences(calibration, look))
    origin = Provenance(data, today, __version__, look != "later", says[0])
    if not origin.certified and task.learned.promise is not None and task.learned.promise.certified:
        notes = ("learned.json keeps its certificate; only fresh requests can make another one",)
    else:
        learnt_from_use(calibration, now, origin).keeping(task.learned).write(task.path)
        notes = (f"what was learnt is in {task.path / 'learned.json'}",)
    return UseReport(calibration, look, says, notes)


def _present(found: Config, task: TaskFolder) -> tuple[Plan, tuple[Rung, ...]]:
    """A request of the task as it would be made now, and the two tiers of this machine."""
    ladder = found.ladder()
    rungs = tuple(rung for rung in ladder.rungs if rung.tier.zone <= Zone.HOST)
    if len(rungs) != 2:
        names = ", ".join(repr(rung.tier.name) for rung in rungs) or "none"
        raise ConfigError(
            f"calibrating from the ledger needs exactly two tiers on this machine; there is {names}",
            hint="calibrate on a file of prompts instead: rung calibrate DATA",
        )
    prompt = "?" if task.template is None else dict.fromkeys(task.template.fields, "?")
    return ladder.plan(prompt, None, {"task": task.name}), rungs


def _use(found: Config, name: str, wanted: str) -> Use:
    path = found.ledger.path.value
    use = None
    if path.exists():
        with LedgerFile(path) as file:
            use = read_use(file, name, time.time(), wanted)
    if use is None:
        raise ConfigError(
            f"the ledger {path} has no request of the task {name!r} in its present form",
            hint="make some (rung ask --task), with [shadow] share = ... in rung.toml",
        )
    return use


def _conditions(plan: Plan, rungs: tuple[Rung, ...], use: Use) -> dict[str, Conditions]:
    """The present conditions of the tiers, with their weights as the ledger last recorded them."""
    weights = {tier: sha256 for tier, sha256 in use.weights.items() if sha256 is not None}
    now = {}
    for rung in rungs:
        tier = rung.tier.name
        others = {name: sha256 for name, sha256 in weights.items() if name != tier}
        present = replace(conditions(plan, rung), weights=weights.get(tier), others=others)
        if use.conditions.get(tier, present.sha256) != present.sha256 or use.first != rungs[0].tier.name:
            raise ConfigError(
                f"the ledger's latest requests of the task {use.task!r} were made with other tiers, or with other "
                f"settings of tier {tier!r}",
                hint="only requests under the present settings count: make some first",
            )
        now[tier] = present
    return now
