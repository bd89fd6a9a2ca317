"""`rung label`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.options import Feature, Json, OnAverage, OnlyTiers, TrustedConfig

if TYPE_CHECKING:
    from rung.cli.output import Output
    from rung.limits import Cancel

EXAMPLES = """\b
Examples:
  rung calibrate mails.csv --task intent --record intent.calls
  rung label mails.csv --task intent --replay intent.calls
  rung calibrate mails.csv --task intent --replay intent.calls

\b
It shows answers of the ladder that differ from the last tier's, the surest
first, but not which tier gave which. Press one key each; in a pipe write one
letter a line:
  a, b  only this one is right     t  the two of them     n  neither
  c     can't tell                 u  undo                q  stop

\b
It ends by itself when enough is known, and continues where it stopped. Give it
the --within, --delta, --on-average and --feature of `rung calibrate`.

\b
Exit codes: 0 done or stopped, 2 usage or too few rows, 130 interrupted.
"""


def label(
    context: typer.Context,
    data: Annotated[str, typer.Argument(metavar="DATA", help="The file of rows that was calibrated.")],
    task: Annotated[str, typer.Option("--task", metavar="NAME", help="The task that was calibrated.")],
    replay: Annotated[
        Path, typer.Option("--replay", metavar="FILE", help="The answers, as `rung calibrate --record FILE` kept them.")
    ],
    within: Annotated[
        float, typer.Option("--within", metavar="SHARE", help="Most answers that may be worse than the last tier's.")
    ] = 0.03,
    delta: Annotated[
        float, typer.Option("--delta", metavar="SHARE", help="Share of samples in which the promise may fail.")
    ] = 0.1,
    on_average: OnAverage = False,
    feature: Feature = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="Keep the judgements in FILE, not in the task's folder."),
    ] = None,
    tier: OnlyTiers = None,
    json: Json = False,
    config: TrustedConfig = None,
) -> None:
    """Judge the answers of a calibration that differ, so that the small tiers may answer more often."""
    cancel: Cancel = context.obj.interrupts.cancel()  # first, because the other imports take a while
    from rung.cli import calibration, evaluation, judging
    from rung.learn.questions import Question

    output: Output = context.obj.output
    asked = Question(within, delta, "differs", on_average, feature)
    wishes = evaluation.Wishes(
        data=data, task=task, tiers=tuple(tier or ()), replay=replay, config=config, recorder=calibration.RECORDER
    )
    with evaluation.prepared(wishes, output, cancel) as ready:
        told = judging.labelled(ready, task, asked, labels, config, output, cancel)
    if output.json:
        output.object({"status": "ok", **told.as_object()})
    else:
        output.answer(told.sentence)
