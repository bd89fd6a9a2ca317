"""`rung doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rung.cli.checkup import Fitting

EXAMPLE = "Example: rung doctor --json"
_UNEXPECTED, _UNAVAILABLE = 1, 4
_SIGNS = {"ok": " ", "note": "!", "problem": "x"}


def doctor(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Read this configuration and no other.")
    ] = None,
) -> int:
    """See what this machine can run locally, and what is in the way. Loads no model and opens no connection.

    Exit code 0 where a local tier can run, 4 where none can, 1 where one can but something is wrong.
    """
    from rung import guard
    from rung.cli.checkup import check
    from rung.types import Zone

    guard.install(Zone.HOST)
    found = check(config)
    output = context.obj.output
    if output.json:
        output.object(
            {
                "status": "ok" if found.well else "problem",
                "findings": [asdict(finding) for finding in found.findings],
                "models": [asdict(model) for model in found.models],
            }
        )
    else:
        width = max(len(f.topic) for f in found.findings)
        rows = [(f"{_SIGNS[f.level]} {f.topic:{width}}  {f.text}", f.mend) for f in found.findings]
        rows += [(f"{' ' if m.context else 'x'} {'model':{width}}  {_told(m)}", m.mend) for m in found.models]
        lines = [row for row, mend in rows for row in (row, f"  {'':{width}}  -> {mend}" if mend else "") if row]
        output.answer("\n".join(lines))
    if found.well:
        return 0
    return _UNEXPECTED if found.runs else _UNAVAILABLE


def _told(model: Fitting) -> str:
    from rung.store import readable

    what = f"tier {model.name}" if model.tier else model.name
    if model.context is None or model.bytes is None:
        return f"{what}: {model.reason}"
    return f"{what}: {readable(model.bytes)}, context up to {model.context:,} tokens, {model.slots} calls together"
