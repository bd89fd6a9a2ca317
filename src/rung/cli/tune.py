"""`rung tune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.options import Data, Json, OnlyTiers, Record, Replay, TrustedConfig

if TYPE_CHECKING:
    from rung.cli.output import Output
    from rung.limits import Cancel

EXAMPLES = """\b
Examples:
  rung tune mails.csv --task intent
  rung tune mails.csv --task intent --minutes 5 --tier small
  rung tune mails.csv --task intent --replay intent.calls
  rung tune --task intent --from-ledger

\b
DATA is JSON Lines or CSV: prompts, or the fields of the task's template. Where
every row has an expected answer, forms are compared by that; otherwise by how
often a tier answers as the next one does. Only a third of the rows is asked; the
others stay fresh for `rung calibrate`.

\b
Answers are kept beside the task, or in --record FILE. Run the same command again
after an interruption: nothing is asked twice. docs/tune.md says the rest.

\b
--from-ledger makes examples for small tiers of what higher tiers answered, where
the ledger keeps texts. They are shown from the next `rung calibrate` on.

\b
Exit codes: 0 tuned, whether or not something better was found; 2 usage or too
few rows; 4 a tier is unavailable; 130 interrupted.
"""


def tune(
    context: typer.Context,
    task: Annotated[str, typer.Option("--task", metavar="NAME", help="The task whose tiers are tuned.")],
    data: Data = None,
    from_ledger: Annotated[
        bool,
        typer.Option("--from-ledger", help="Take examples from what higher tiers answered in use, and ask no model."),
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", metavar="N", min=0.01, max=10_000, help="How long it may take, in all (20)."),
    ] = None,
    tier: OnlyTiers = None,
    record: Record = None,
    replay: Replay = None,
    json: Json = False,
    config: TrustedConfig = None,
) -> int:
    """Find the form of the prompt in which each local tier of a task does best, and keep it."""
    cancel: Cancel = context.obj.interrupts.cancel()  # first, because the other imports take a while
    from rung.cli import tuning
    from rung.cli.codes import Exit
    from rung.cli.inputs import refuse_beside
    from rung.errors import ConfigError

    output: Output = context.obj.output
    if from_ledger:
        from rung.cli.escalated import escalated

        others = {
            "DATA": data is not None,
            "--minutes": minutes is not None,
            "--record": record is not None,
            "--replay": replay is not None,
        }
        refuse_beside("--from-ledger", others)
        found = escalated(task, tuple(tier or ()), config)
        if output.json:
            output.object({"status": "ok", **found.as_object()})
        else:
            output.answer("\n".join(found.sentences))
        return Exit.OK
    if data is None:
        raise ConfigError("there is no data to tune by", hint="name a file, or give --from-ledger")
    report = tuning.tuned(
        tuning.TuneWishes(data, task, 20.0 if minutes is None else minutes, tuple(tier or ()), record, replay, config),
        output,
        cancel,
    )
    if output.json:
        output.object({"status": "ok", **report.as_object()})
    else:
        output.answer(report.text)
    for note in report.notes:
        output.say(f"note: {note}")
    return Exit.OK
