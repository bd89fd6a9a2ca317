"""`rung tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.options import Json, OnlyTiers, TrustedConfig

if TYPE_CHECKING:
    from rung.cli.output import Output
    from rung.limits import Cancel

EXAMPLES = """\b
Examples:
  rung tune mails.csv --task intent
  rung tune mails.csv --task intent --minutes 5 --tier small
  rung tune mails.csv --task intent --replay intent.calls

\b
DATA is JSON Lines or CSV: prompts, or the fields of the task's template. Where
every row has an expected answer, forms are compared by that; otherwise by how
often a tier answers as the next one does. Only a third of the rows is asked; the
others stay fresh for `rung calibrate`.

\b
Answers are kept beside the task, or in --record FILE. Run the same command again
after an interruption: nothing is asked twice. docs/tune.md says the rest.

\b
Exit codes: 0 tuned, whether or not something better was found; 2 usage or too
few rows; 4 a tier is unavailable; 130 interrupted.
"""


def tune(
    context: typer.Context,
    data: Annotated[str, typer.Argument(metavar="DATA", help="A file of rows: .jsonl, .csv or .tsv.")],
    task: Annotated[str, typer.Option("--task", metavar="NAME", help="The task whose tiers are tuned.")],
    minutes: Annotated[
        float, typer.Option("--minutes", metavar="N", min=0.01, max=10_000, help="How long it may take, in all.")
    ] = 20.0,
    tier: OnlyTiers = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Keep the answers in FILE, and go on from what is there."),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="FILE", help="Take the answers from FILE and ask no model.")
    ] = None,
    json: Json = False,
    config: TrustedConfig = None,
) -> int:
    """Find the form of the prompt in which each local tier of a task does best, and keep it."""
    cancel: Cancel = context.obj.interrupts.cancel()  # first, because what follows takes a while to load
    from rung.cli import tuning
    from rung.cli.codes import Exit

    output: Output = context.obj.output
    report = tuning.tuned(
        tuning.TuneWishes(data, task, minutes, tuple(tier or ()), record, replay, config), output, cancel
    )
    if output.json:
        output.object({"status": "ok", **report.as_object()})
    else:
        output.answer(report.text)
    for note in report.notes:
        output.say(f"note: {note}")
    return Exit.OK
