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
OnAverage = Annotated[
    bool, typer.Option("--on-average", help="Promise only an average over samples: weaker, and keeps more.")
]
Feature = Annotated[
    str | None, typer.Option("--feature", metavar="NAME", help="The feature that answers are ranked by.")
]
