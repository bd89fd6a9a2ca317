"""`rung calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.options import Json

if TYPE_CHECKING:
    from rung.cli.calibration import CalibrationReport
    from rung.cli.calibration_from_use import UseReport
    from rung.cli.output import Output
    from rung.limits import Cancel

EXAMPLES = """\b
Examples:
  rung calibrate mails.csv --task intent --record intent.calls
  rung calibrate mails.csv --task intent --within 0.05 --replay intent.calls
  rung calibrate labelled.jsonl --task intent --risk 0.05
  rung calibrate --task intent --from-ledger

\b
DATA is JSON Lines or CSV: prompts, or the fields of the task's template. No row
needs an expected answer: then the small tiers are held against the last local
one. Rows that were looked at before give an estimate and not a certificate.
docs/know.md says the rest.

\b
--from-ledger takes the requests in use whose answers were compared ([shadow] in
rung.toml), and asks no model: docs/use.md.

\b
Exit codes: 0 calibrated, 2 usage or too few rows, 4 a tier is unavailable,
130 interrupted.
"""


def calibrate(
    context: typer.Context,
    task: Annotated[str, typer.Option("--task", metavar="NAME", help="The task whose tiers get thresholds.")],
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="A file of rows: .jsonl, .csv or .tsv.", show_default=False)
    ] = None,
    from_ledger: Annotated[
        bool,
        typer.Option("--from-ledger", help="Take the requests of the ledger whose coin fell, and no file ([shadow])."),
    ] = False,
    within: Annotated[
        float | None,
        typer.Option("--within", metavar="SHARE", help="Most answers that may differ from the last tier's (0.03)."),
    ] = None,
    delta: Annotated[
        float, typer.Option("--delta", metavar="SHARE", help="Share of samples in which the promise may fail.")
    ] = 0.1,
    risk: Annotated[
        float | None,
        typer.Option("--risk", metavar="SHARE", help="Promise instead: so many accepted answers are wrong at most."),
    ] = None,
    on_average: Annotated[
        bool, typer.Option("--on-average", help="Promise it on average over samples: weaker, and keeps more.")
    ] = False,
    feature: Annotated[
        str | None, typer.Option("--feature", metavar="NAME", help="The feature that answers are put in order by.")
    ] = None,
    tier: Annotated[
        list[str] | None, typer.Option("--tier", metavar="NAME", help="Use only this tier. Repeatable.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Keep the answers in FILE, and go on from what is there."),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="FILE", help="Take the answers from FILE and ask no model.")
    ] = None,
    json: Json = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Use this configuration and no other. Naming it trusts it."),
    ] = None,
) -> None:
    """Find out when to believe the small tiers of a task, and say what can be promised of the whole ladder."""
    cancel: Cancel = context.obj.interrupts.cancel()  # first, because what follows takes a while to load
    from rung.cli import calibration, evaluation
    from rung.errors import ConfigError

    output: Output = context.obj.output
    if risk is not None and within is not None:
        raise ConfigError("--risk and --within can't go together", hint="give one of them")
    limit = 0.03 if within is None else within
    if from_ledger:
        from rung.cli.calibration_from_use import calibrated_from_use
        from rung.learn.questions import Question

        others = {
            "DATA": data is not None,
            "--risk": risk is not None,
            "--on-average": on_average,
            "--feature": feature is not None,
            "--tier": bool(tier),
            "--record": record is not None,
            "--replay": replay is not None,
        }
        if given := [option for option, is_given in others.items() if is_given]:
            raise ConfigError(f"--from-ledger and {given[0]} can't go together", hint="give one of them")
        _tell(calibrated_from_use(task, Question(limit, delta), config), output)
        return
    if data is None:
        raise ConfigError("there is no data to calibrate by", hint="name a file, or give --from-ledger")
    wishes = evaluation.Wishes(
        data=data, task=task, tiers=tuple(tier or ()), record=record, replay=replay, config=config
    )
    with evaluation.prepared(wishes, output, cancel) as ready:
        asked = calibration.question(
            ready, limit=limit if risk is None else risk, delta=delta, risk=risk is not None, average=on_average
        )
        told = calibration.calibrated(ready, task, calibration.with_feature(asked, feature), config, output)
    _tell(told, output)


def _tell(told: CalibrationReport | UseReport, output: Output) -> None:
    if output.json:
        output.object({"status": "ok", **told.as_object()})
    else:
        output.answer("\n".join(told.sentences))
    for note in told.notes:
        output.say(f"note: {note}")
