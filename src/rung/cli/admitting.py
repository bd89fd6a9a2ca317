"""Examples that wait for a calibration. It asks the tiers with them, on rows that aren't among them."""

from __future__ import annotations

from dataclasses import replace

from rung import __version__
from rung.cli.evaluation import PreparedEvaluation
from rung.learn.escalations import Admission, admission
from rung.learn.forms import TaskForms
from rung.learn.splits import split
from rung.learn.tasks import TaskFolder


def with_waiting(
    ready: PreparedEvaluation, task: TaskFolder, date: str
) -> tuple[PreparedEvaluation, Admission, tuple[str, ...]]:
    """The evaluation with the waiting examples, without the certify rows that are examples themselves.

    Args:
        ready: the data, the ladder and its recorders.
        task: with its examples.
        date: today, as in 2026-11-26.

    Returns:
        What to ask, what to write after a calibration like that, and notes.

    Raises:
        ConfigError: the examples can't be read.
    """
    contract = ready.work.ladder.contract(ready.work.output, ready.work.validators).sha256
    prompt = task.template.sha256 if task.template else ""
    admitted = admission(
        dict(task.learned.forms), task.examples(), prompt=prompt, contract=contract, date=date, rung=__version__
    )
    notes = [
        f"{count:,} {'example' if count == 1 else 'examples'} from escalations that waited for this calibration "
        f"{'is' if count == 1 else 'are'} shown to tier {tier!r} now"
        for tier, count in admitted.admitted.items()
    ]
    work = ready.work
    if admitted.admitted:
        work = replace(work, form=TaskForms(admitted.forms, admitted.examples))
    if admitted.examples.tiers:
        rows = list(work.rows())
        fits = {row.number for row in split(rows).fit}
        kept = [row for row in rows if row.number in fits or not admitted.examples.asks(row.messages)]
        if len(kept) < len(rows):
            notes.append(f"{len(rows) - len(kept):,} rows that would certify are examples, so they are left out")
            work = replace(work, rows=lambda: kept)
    return replace(ready, work=work), admitted, tuple(notes)
