"""The work of `rung tune`: ask the tiers in several forms, and write the best one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rung import __version__
from rung.cli import evaluation
from rung.cli.evaluation import PreparedEvaluation
from rung.cli.output import Output
from rung.cli.progress import ClimbProgress
from rung.cli.tables import aligned
from rung.config import load
from rung.errors import ConfigError
from rung.learn import tuning_report as words
from rung.learn.axes import DEFAULT
from rung.learn.forms import FormTable, LearnedForm
from rung.learn.tasks import TaskFolder, open_task
from rung.learn.tuned import Bought, TunedTier, TuneProgress
from rung.learn.tuning_tiers import FormQuestion, TierForm, tune
from rung.limits import Cancel

CALLS = "tuning.calls"
"""The recording beside the task, if the user names none."""


@dataclass(frozen=True, slots=True)
class TuneWishes:
    """What the user asked for; see the options of `rung tune`.

    Args:
        data: the file of rows.
        task: the task whose tiers are tuned.
        minutes: time budget in total.
        tiers: names of the tiers to tune; empty tunes all of them.
        record: the file to record into; by default one beside the task.
        replay: the file to replay.
        config: the only configuration to read.
    """

    data: str
    task: str
    minutes: float
    tiers: tuple[str, ...] = ()
    record: Path | None = None
    replay: Path | None = None
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class TuneReport:
    """The report of a tuning.

    Args:
        tiers: the result for each tier.
        notes: sentences for stderr.
    """

    tiers: tuple[TunedTier, ...]
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """The sentences for stdout."""
        lines: list[str] = []
        for found in self.tiers:
            lines += ["", *words.sentences(found), "", aligned(words.HEAD, words.table(found), 5)]
            if brought := words.contrasts(found):
                lines += ["", f"What each choice brought {found.tier}:", *(f"  {line}" for line in brought)]
        return "\n".join(lines).strip("\n")

    def as_object(self) -> dict[str, Any]:
        """The object of `--json`."""
        return {"tiers": [words.as_object(found) for found in self.tiers], "notes": list(self.notes)}


def tuned(wishes: TuneWishes, output: Output, cancel: Cancel) -> TuneReport:
    """Ask the tiers, and write the best form of each as soon as it is known.

    Raises:
        ConfigError: an option, the data or the task can't be used, or there are too few rows.
        RungError: whatever asking the tiers raises.
    """
    task = load(wishes.config).tasks.demand(wishes.task)
    record = wishes.record or (None if wishes.replay else task.path / CALLS)
    prepared = evaluation.Wishes(
        data=wishes.data,
        task=wishes.task,
        record=record,
        replay=wishes.replay,
        config=wishes.config,
        recorder="rung tune DATA --task NAME --record FILE",
    )
    with evaluation.prepared(prepared, output, cancel) as ready:
        known = [rung.tier.name for rung in ready.work.ladder.rungs]
        for name in wishes.tiers:
            if name not in known:
                raise ConfigError(f"there is no tier {name!r}", hint=f"known: {', '.join(known)}")
        return _tuned(wishes, task, ready, output)


def _tuned(wishes: TuneWishes, task: TaskFolder, ready: PreparedEvaluation, output: Output) -> TuneReport:
    today = datetime.now(UTC).date().isoformat()
    table = task.examples()
    asked = FormQuestion(
        ready.work,
        task.table.wordings,
        60 * wishes.minutes,
        {tier: table.of(tier) for tier in table.tiers},
        today,
        wishes.tiers,
    )
    last: dict[str, TierForm] = {}
    with ClimbProgress(output.talks) as line:
        for event in tune(asked):
            if isinstance(event, TuneProgress):
                rounds = f"round {event.round} of {event.rounds}, " if event.round else ""
                line.draw(f"{event.tier}: {rounds}{event.what}, {event.done:,} of {event.rows:,} rows")
            elif isinstance(event, Bought):
                line.draw("")
                output.say(words.bought(event))
            else:
                last[event.tuned.tier] = event
                keep(task.path, event, ready, today)
    notes = [note for form in last.values() for note in form.notes]
    changed = [form.tuned.tier for form in last.values() if form.tuned.chosen != DEFAULT]
    if changed:
        notes.append(f"the form is in {task.path / 'learned.json'}")
    if changed and task.learned.tiers:
        notes.append("what was calibrated for this task is void with another form: run `rung calibrate` anew")
    return TuneReport(tuple(form.tuned for form in last.values()), tuple(dict.fromkeys(notes)))


def keep(folder: Path, found: TierForm, ready: PreparedEvaluation, date: str) -> None:
    """Write the best form of a tier so far beside the task. If rung's default form is best, remove the tier's entry.

    Args:
        folder: of the task.
        found: the result for the tier.
        ready: the data and the tiers.
        date: today.

    Raises:
        ConfigError: a file can't be written.
    """
    task, tuned_ = open_task(folder, trusted=True), found.tuned
    if tuned_.chosen == DEFAULT:
        if tuned_.finished and tuned_.tier in task.learned.forms:
            forms = {tier: form for tier, form in task.learned.forms.items() if tier != tuned_.tier}
            task.learned.model_copy(update={"forms": forms}).write(folder)
        return
    own = [e for e in task.examples().of(tuned_.tier).entries if e.source == "ledger"]
    entries = {entry.id: entry for entry in (*found.entries, *own)}
    task.examples().having(tuned_.tier, entries.values()).write(folder)
    best = tuned_.best
    against = "expected answers" if tuned_.by_labels else f"what {tuned_.against} says"
    says = [] if best is None else [words.gained(tuned_, best, against)]
    says += [] if tuned_.fresh is None else [words.on_fresh_rows(tuned_.fresh)]
    learned = LearnedForm(
        form=FormTable.of(tuned_.chosen),
        prompt=task.template.sha256 if task.template else "",
        contract=ready.work.ladder.contract(ready.work.output, ready.work.validators).sha256,
        weights=ready.identities[tuned_.tier].weights,
        data=ready.rows.sha256,
        rows=tuned_.rows,
        date=date,
        rung=__version__,
        says=" ".join(says),
        finished=tuned_.finished,
    )
    forms = {**task.learned.forms, tuned_.tier: learned}
    task.learned.model_copy(update={"forms": forms}).write(folder)
