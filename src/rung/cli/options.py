"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
TrustedConfig = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Use this configuration and no other. Naming it trusts it."),
]
OnlyTiers = Annotated[list[str] | None, typer.Option("--tier", metavar="NAME", help="Use only this tier. Repeatable.")]
Data = Annotated[
    str | None, typer.Argument(metavar="DATA", help="A file of rows: .jsonl, .csv or .tsv.", show_default=False)
]
Record = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE", help="Keep the answers in FILE, and continue from what is there."),
]
Replay = Annotated[
    Path | None, typer.Option("--replay", metavar="FILE", help="Take the answers from FILE and ask no model.")
]
System = Annotated[str | None, typer.Option("--system", metavar="TEXT", help="Instructions put before each prompt.")]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", metavar="TOKENS", help="First cap on the length of an answer.")
]
Reach = Annotated[
    str | None, typer.Option("--reach", metavar="ZONE", help="How far prompts may travel: host, lan or internet.")
]
OnAverage = Annotated[
    bool, typer.Option("--on-average", help="Promise only an average over samples: weaker, and keeps more.")
]
Feature = Annotated[
    str | None, typer.Option("--feature", metavar="NAME", help="The feature that answers are ranked by.")
]
AnswerSchema = Annotated[
    Path | None, typer.Option("--schema", metavar="FILE", help="The answer is JSON that fits the JSON Schema in FILE.")
]
AnswerType = Annotated[
    str | None,
    typer.Option("--type", metavar="MODULE:NAME", help="The answer is of this pydantic model or other type."),
]
AnswerChoices = Annotated[
    str | None, typer.Option("--choices", metavar="A,B,C", help="The answer is one of these, split at commas.")
]
AnswerRegex = Annotated[
    str | None, typer.Option("--regex", metavar="REGEX", help="The answer matches this from end to end.")
]
AnswerChecks = Annotated[
    list[str] | None,
    typer.Option(
        "--check",
        metavar="CMD",
        help="A command that gets the answer on its stdin, or its code where it has one fenced block: exit 0 accepts, "
        "otherwise what it says is what is wrong. {file.py} in it is a file of that. Or MODULE:FUNCTION. Repeatable.",
    ),
]
QuotedFields = Annotated[
    list[str] | None,
    typer.Option("--quoted", metavar="FIELD", help="This field's value must occur in the prompt. Repeatable."),
]
TextChecks = Annotated[
    bool,
    typer.Option(
        "--text-checks/--no-text-checks",
        help="Whether plain text that repeats itself without end, is the prompt again, or holds control tokens is "
        "refused.",
    ),
]
