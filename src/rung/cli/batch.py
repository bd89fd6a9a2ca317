"""`rung batch`, and `rung batch merge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.options import (
    AnswerChecks,
    AnswerChoices,
    AnswerRegex,
    AnswerSchema,
    AnswerType,
    Json,
    MaxTokens,
    OnlyTiers,
    QuotedFields,
    Reach,
    System,
    TextChecks,
    TrustedConfig,
)

if TYPE_CHECKING:
    from rung.cli.interrupt import Interrupts
    from rung.cli.output import Output

EXAMPLES = """\b
Examples:
  rung batch mails.csv --out answers.csv --prompt body --choices spam,ham
  rung batch docs/ --out answers.jsonl --schema invoice.json --quoted total \\
    --template "Extract the invoice. {{ text }}"
  rung batch requests.jsonl --out answers.jsonl --task invoice --estimate 50
  rung batch rows.parquet --out answers.parquet --task intent --max-cost 5 --reach internet
  rung batch rows.jsonl --out part3.jsonl --task intent --shard 3/8
  rung batch merge answers.jsonl part1.jsonl part2.jsonl part3.jsonl

\b
IN is JSON Lines (rows, or OpenAI's batch form), CSV, Parquet or a folder of
texts. Everything is kept in OUT.job beside the output: after a kill, a full disk
or Ctrl-C the same command goes on from there, and asks nothing twice. Ctrl-C
finishes what is under way; a second one stops at once. docs/batch.md has the
rest.

\b
Exit codes: 0 every row has an accepted answer, 2 usage, 3 some rows have none
(see the file of rejects), 4 a tier is unavailable, 130 interrupted.
"""

MERGE_EXAMPLE = """\b
Example:
  rung batch merge answers.jsonl part1.jsonl part2.jsonl part3.jsonl

\b
The parts are what --out named in the shards of one job, with their .job files.
"""

_Out = Annotated[
    Path, typer.Option("--out", metavar="OUT", help="The answers: .jsonl, .csv, .tsv or .parquet.", show_default=False)
]
_Rejects = Annotated[
    Path | None,
    typer.Option(
        "--rejects",
        metavar="FILE",
        help="Rows without an accepted answer, and rows that can't be used, with the reasons. OUT.rejects.jsonl by "
        "default.",
    ),
]
_Attempts = Annotated[bool, typer.Option("--attempts", help="Write every attempt of a row, too.")]


def batch(
    context: typer.Context,
    data: Annotated[str, typer.Argument(metavar="IN", help="The rows: a file, or a folder of texts.")],
    out: _Out,
    rejects: _Rejects = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="COLUMN", help="The column that holds the prompt.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", metavar="TEXT", help="The prompt, with columns in it: {{ column }}. Jinja."),
    ] = None,
    template_file: Annotated[
        Path | None, typer.Option("--template-file", metavar="FILE", help="The same, read from a file.")
    ] = None,
    id_: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="COLUMN", help="The column of ids; custom_id or id by default, else made of the content."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="NAME", help="Use this task's prompt, contract and calibration."),
    ] = None,
    schema: AnswerSchema = None,
    type_: AnswerType = None,
    choices: AnswerChoices = None,
    regex: AnswerRegex = None,
    check: AnswerChecks = None,
    quoted: QuotedFields = None,
    text_checks: TextChecks = True,
    system: System = None,
    max_tokens: MaxTokens = None,
    tier: OnlyTiers = None,
    reach: Reach = None,
    max_cost: Annotated[
        str | None,
        typer.Option(
            "--max-cost", metavar="USD", help="Spend no more than this on the whole job, however often it is started."
        ),
    ] = None,
    order: Annotated[
        str,
        typer.Option(
            "--order",
            metavar="HOW",
            help="tiers: all rows on one tier before the next is loaded. stream: each row climbs by itself. measured: "
            "try both on some rows of a long job, and take the faster.",
        ),
    ] = "measured",
    together: Annotated[
        int | None, typer.Option("--together", metavar="N", min=1, max=1024, help="Rows at once (8 by default).")
    ] = None,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry/--no-retry", help="Whether rejected rows are tried again. No tier is asked again what it answered."
        ),
    ] = True,
    attempts: _Attempts = False,
    estimate: Annotated[
        int | None,
        typer.Option(
            "--estimate",
            metavar="N",
            min=1,
            help="Ask N rows first, and say how long the rest will take and what it will cost. Then ask whether to go "
            "on.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Go on after --estimate without asking.")] = False,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample", metavar="N", min=1, help="Write N accepted answers as a page where a person marks them."
        ),
    ] = None,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="K/N", help="Take only this share of the rows: 3/8.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="CLUSTER",
            help="Ask local models in Ray's actors: ray on this machine, ray://HOST:PORT in a cluster.",
        ),
    ] = None,
    actors: Annotated[
        int | None,
        typer.Option("--actors", metavar="N", min=1, max=4096, help="Actors for each tier (one for each machine)."),
    ] = None,
    json: Json = False,
    config: TrustedConfig = None,
) -> int:
    """Answer every row of a file on the smallest tier that can, and continue after a kill."""
    interrupts: Interrupts = context.obj.interrupts
    cancel = interrupts.cancel()  # first, because the other imports take a while
    from rung.cli import batching

    wishes = batching.BatchWishes(
        data=data,
        out=out,
        rejects=rejects,
        prompt=prompt,
        template=template,
        template_file=template_file,
        id=id_,
        task=task,
        output=(schema, type_, choices, regex),
        checks=tuple(check or ()),
        quoted=tuple(quoted or ()),
        text_checks=text_checks,
        system=system,
        max_tokens=max_tokens,
        tiers=tuple(tier or ()),
        reach=reach,
        max_cost=max_cost,
        order=order,
        together=together,
        retry=retry,
        attempts=attempts,
        estimate=estimate,
        yes=yes,
        sample=sample,
        shard=shard,
        on=on,
        actors=actors,
        config=config,
    )
    return batching.run(wishes, context.obj.output, interrupts, cancel)


def merging() -> typer.Typer:
    """The group whose only command is `merge`. An input with that name has to be written `./merge`."""
    group = typer.Typer(rich_markup_mode=None)
    group.callback()(_batch)
    group.command("merge", short_help="Join the shards of a job.", epilog=MERGE_EXAMPLE)(merge)
    return group


def _batch() -> None:
    """Answer every row of a file on the smallest tier that can."""


def merge(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The answers of all shards.")],
    shards: Annotated[list[Path], typer.Argument(metavar="SHARD", help="What --out named in each shard.")],
    rejects: _Rejects = None,
    attempts: _Attempts = False,
    json: Json = False,
) -> int:
    """Join the outputs of a job's shards, and their manifests."""
    from rung.batch.merging import merged
    from rung.cli import batch_report, batching

    output: Output = context.obj.output
    out, rejects = batching.places(out, rejects)
    with merged(out, shards) as manifest:
        batching.write(manifest, out, rejects, attempts=attempts)
        return batch_report.tell(manifest, out, rejects, output, pages=())
