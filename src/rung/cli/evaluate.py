"""`rung eval`, and `rung eval compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.options import (
    AnswerChoices,
    AnswerRegex,
    AnswerSchema,
    AnswerType,
    Json,
    MaxTokens,
    OnlyTiers,
    Reach,
    Record,
    Replay,
    System,
    TrustedConfig,
)

if TYPE_CHECKING:
    from rung.cli.output import Output
    from rung.limits import Cancel

EXAMPLES = """\b
Examples:
  rung eval reviews.jsonl --choices positive,negative,neutral --record reviews.calls
  rung eval reviews.jsonl --choices positive,negative,neutral --replay reviews.calls --html report.html
  rung eval mails.csv --schema invoice.json --check json --rows 200 --json > before.json
  rung eval invoices.jsonl --task invoice --record invoices.calls
  rung eval compare before.json after.json

\b
DATA is JSON Lines or CSV. A row has a prompt (or messages) and, where the right
answer is known, expected. Without any expected answer each tier is compared
with the next one. See docs/eval.md.

\b
--record keeps what the models answer in a file that you alone can read. Run the
same command again after an interruption: nothing is asked twice.

\b
Exit codes: 0 evaluated, 2 usage, 4 a tier is unavailable, 130 interrupted.
"""

COMPARE_EXAMPLE = """\b
Example:
  rung eval compare before.json after.json

\b
Both are what `rung eval DATA --json` printed, for the same rows.
"""

_Task = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help="Use this task's prompt, contract, check and calibration."),
]
_Check = Annotated[
    str | None,
    typer.Option(
        "--check",
        metavar="NAME",
        help="How an answer is compared with the expected one: exact, number, choice, json, regex, contains, or "
        "MODULE:FUNCTION. By default what suits the kind of answer.",
    ),
]
_Same = Annotated[
    str | None,
    typer.Option("--same", metavar="NAME", help="How two tiers' answers are compared, by the same names."),
]
_Rows = Annotated[
    int | None, typer.Option("--rows", metavar="N", min=1, help="Ask only N of the rows, chosen by hash.")
]
_Together = Annotated[
    int | None, typer.Option("--together", metavar="N", min=1, max=256, help="Calls at once (8 by default).")
]
_Score = Annotated[
    str | None,
    typer.Option("--score", metavar="NAME", help="The feature that answers are ranked by (minimum by default)."),
]
_Texts = Annotated[
    bool, typer.Option("--texts", help="Put answers into --json, and the confident and wrong ones into the report.")
]
_Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one page, figures included.")
]
_Png = Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Write the figures as a picture.")]
_Cost = Annotated[
    str | None, typer.Option("--max-cost", metavar="USD", help="Spend no more than this, all rows and tiers together.")
]


def evaluate(
    context: typer.Context,
    data: Annotated[str, typer.Argument(metavar="DATA", help="A file of rows: .jsonl, .csv or .tsv.")],
    task: _Task = None,
    schema: AnswerSchema = None,
    type_: AnswerType = None,
    choices: AnswerChoices = None,
    regex: AnswerRegex = None,
    check: _Check = None,
    same: _Same = None,
    system: System = None,
    max_tokens: MaxTokens = None,
    tier: OnlyTiers = None,
    rows: _Rows = None,
    together: _Together = None,
    record: Record = None,
    replay: Replay = None,
    score: _Score = None,
    texts: _Texts = False,
    html: _Html = None,
    png: _Png = None,
    reach: Reach = None,
    max_cost: _Cost = None,
    json: Json = False,
    config: TrustedConfig = None,
) -> None:
    """Ask each tier by itself and then the ladder, and say what each is worth on your own data."""
    cancel: Cancel = context.obj.interrupts.cancel()  # first, because what follows takes a while to load
    from rung.cli import evaluation, evaluation_report
    from rung.learn import drawing
    from rung.learn.results import demand_room, write_named
    from rung.learn.summary import summarise

    output: Output = context.obj.output
    wishes = evaluation.Wishes(
        data=data,
        task=task,
        output=(schema, type_, choices, regex),
        check=check,
        same=same,
        system=system,
        max_tokens=max_tokens,
        tiers=tuple(tier or ()),
        rows=rows,
        together=together,
        record=record,
        replay=replay,
        reach=reach,
        max_cost=max_cost,
        config=config,
    )
    # before hours are spent on what couldn't be told
    for path, what in ((html, "the page"), (png, "the picture")):
        if path is not None:
            drawing.demand()
            demand_room(path, what)
    with evaluation.prepared(wishes, output, cancel) as ready:
        results = evaluation.asked(ready, output)
        texts_of = evaluation.texts(ready, results) if texts else {}
    summary = summarise(results, evaluation.feature(results, score, output))
    if output.json:
        found = results.as_json(texts=texts)
        output.object({"status": "ok", "summary": evaluation_report.as_object(summary), "results": found})
    else:
        output.answer(evaluation_report.told(results, summary, texts_of))
    if html is not None:
        write_named(html, evaluation_report.page(results, summary, texts_of).encode(), "the page")
        output.say(f"the report is in {html}")
    if png is not None:
        write_named(png, drawing.picture(summary), "the picture")
        output.say(f"the figures are in {png}")


def comparing() -> typer.Typer:
    """The group whose one command is `compare`. A data file of that name is written `./compare`."""
    group = typer.Typer(rich_markup_mode=None)
    group.callback()(_eval)
    group.command("compare", short_help="Compare two evaluations.", epilog=COMPARE_EXAMPLE)(compare)
    return group


def _eval() -> None:
    """See what each tier is worth on your own data."""


def compare(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="BEFORE", help="What `rung eval --json` printed.")],
    second: Annotated[str, typer.Argument(metavar="AFTER", help="The same for the same rows, at another time.")],
    json: Json = False,
) -> None:
    """Say whether two evaluations of the same rows differ by more than chance."""
    from rung.cli import evaluation_report
    from rung.learn.comparing import compare as compared
    from rung.learn.results import read_results

    output: Output = context.obj.output
    found = compared(read_results(first), read_results(second))
    if output.json:
        output.object({"status": "ok", **evaluation_report.as_object(found)})
    else:
        output.answer(evaluation_report.differences(found))
