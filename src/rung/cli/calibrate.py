"""`rung calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.options import Data, Feature, Json, OnAverage, OnlyTiers, Record, Replay, TrustedConfig

if TYPE_CHECKING:
    from rung.cli.output import Output
    from rung.limits import Cancel

EXAMPLES = """\b
Examples:
  rung calibrate mails.csv --task intent --record intent.calls
  rung calibrate mails.csv --task intent --within 0.05 --replay intent.calls
  rung calibrate labelled.jsonl --task intent --risk 0.05
  rung calibrate fresh.csv --task intent --check
  rung calibrate --task intent --from-ledger

\b
DATA is JSON Lines or CSV: prompts, or the fields of the task's template. No row
needs an expected answer: the small tiers are then compared with the last local
one. Rows that were used before give an estimate instead of a certificate.
Judgements of `rung label` count once there are enough. See docs/know.md.

\b
--from-ledger uses the recorded requests whose answers were compared ([shadow]
in rung.toml), and asks no model. See docs/use.md.

\b
Exit codes: 0 calibrated, or not contradicted by --check; 1 contradicted by it;
2 usage or too few rows; 4 a tier is unavailable; 130 interrupted.
"""


def calibrate(
    context: typer.Context,
    task: Annotated[str, typer.Option("--task", metavar="NAME", help="The task whose tiers get thresholds.")],
    data: Data = None,
    from_ledger: Annotated[
        bool,
        typer.Option("--from-ledger", help="Use the requests of the ledger that were drawn for a shadow, not a file."),
    ] = False,
    within: Annotated[
        float | None,
        typer.Option("--within", metavar="SHARE", help="Most answers that may differ from the last tier's (0.03)."),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option("--delta", metavar="SHARE", help="Share of samples in which the promise may fail (0.1)."),
    ] = None,
    risk: Annotated[
        float | None,
        typer.Option("--risk", metavar="SHARE", help="Promise instead: at most this share of accepted answers wrong."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Check the certificate on fresh rows; exit 1 if they contradict it."),
    ] = False,
    on_average: OnAverage = False,
    feature: Feature = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="FILE", help="What `rung label --labels FILE` kept; by default the task's own."
        ),
    ] = None,
    tier: OnlyTiers = None,
    record: Record = None,
    replay: Replay = None,
    json: Json = False,
    config: TrustedConfig = None,
) -> int:
    """Find out when to trust the small tiers of a task, and say what can be promised of the whole ladder."""
    cancel: Cancel = context.obj.interrupts.cancel()  # first, because the other imports take a while
    from rung.cli import calibration, evaluation, recheck
    from rung.cli.codes import Exit
    from rung.cli.inputs import refuse_beside
    from rung.errors import ConfigError

    output: Output = context.obj.output
    if risk is not None and within is not None:
        raise ConfigError("--risk and --within can't go together", hint="give one of them")
    limit = 0.03 if within is None else within
    failing = 0.1 if delta is None else delta
    if from_ledger:
        from rung.cli.calibration_from_use import calibrated_from_use
        from rung.learn.questions import Question

        others = {
            "DATA": data is not None,
            "--check": check,
            "--labels": labels is not None,
            "--risk": risk is not None,
            "--on-average": on_average,
            "--feature": feature is not None,
            "--tier": bool(tier),
            "--record": record is not None,
            "--replay": replay is not None,
        }
        refuse_beside("--from-ledger", others)
        used = calibrated_from_use(task, Question(limit, failing), config)
        _tell(used.as_object(), used.sentences, used.notes, output)
        return Exit.OK
    if data is None:
        raise ConfigError("there is no data to calibrate by", hint="name a file, or give --from-ledger")
    wishes = evaluation.Wishes(
        data=data,
        task=task,
        tiers=tuple(tier or ()),
        record=record,
        replay=replay,
        config=config,
        # a calibration would use up rows that a check needs fresh
        recorder=recheck.RECORDER if check else calibration.RECORDER,
    )
    if check:
        if on_average or any(given is not None for given in (within, delta, risk, feature)):
            raise ConfigError(
                "--check takes the promise as it is", hint="leave out --within, --delta, --risk and the like"
            )
        with evaluation.prepared(wishes, output, cancel) as ready:
            checked = recheck.rechecked(ready, task, labels, config, output)
        _tell(checked.as_object(), (checked.sentence,), checked.notes, output)
        return Exit.UNEXPECTED if checked.found.verdict == "contradicted" else Exit.OK
    with evaluation.prepared(wishes, output, cancel) as ready:
        asked = calibration.question(
            ready,
            limit=limit if risk is None else risk,
            delta=failing,
            risk=risk is not None,
            average=on_average,
            feature=feature,
        )
        told = calibration.calibrated(ready, task, asked, labels, config, output)
    _tell(told.as_object(), told.sentences, told.notes, output)
    return Exit.OK


def _tell(found: dict[str, Any], sentences: tuple[str, ...], notes: tuple[str, ...], output: Output) -> None:
    if output.json:
        output.object({"status": "ok", **found})
    else:
        output.answer("\n".join(sentences))
    for note in notes:
        output.say(f"note: {note}")
