"""`rung tiers`."""

from __future__ import annotations

import typer

from rung.cli.options import Json

EXAMPLES = """\b
Examples:
  rung tiers
  rung tiers --json
"""


def tiers(context: typer.Context, json: Json = False) -> None:
    """List the kinds of tiers that are installed, and the package that each comes from.

    A kind is what stands in `kind = "..."` of a [[tier]]. Loads none of them.
    """
    from rung import guard
    from rung.cli.tables import UNKNOWN, aligned
    from rung.config.tiers import kinds
    from rung.types import Zone

    guard.install(Zone.HOST)
    found = [
        {
            "kind": name,
            "package": entry.dist.name if entry.dist is not None else None,
            "version": entry.dist.version if entry.dist is not None else None,
            "loads": entry.value,
        }
        for name, entry in sorted(kinds().items())
    ]
    if context.obj.output.json:
        context.obj.output.object({"kinds": found})
    else:
        rows = [[value or UNKNOWN for value in it.values()] for it in found]
        context.obj.output.answer(aligned(("kind", "package", "version", "loads"), rows, 4))
