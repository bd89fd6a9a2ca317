"""`rung tiers`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.options import Json

if TYPE_CHECKING:
    from rung.cli.output import Output

EXAMPLES = """\b
Examples:
  rung tiers
  rung tiers openai
  rung tiers --json
"""


def tiers(
    context: typer.Context,
    kind: Annotated[
        str | None, typer.Argument(help="List the keys of this kind. Imports its package.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """List the installed kinds of tiers, and the package of each; or the keys of one kind.

    A kind is the value of `kind = "..."` in a [[tier]]. The list imports none of them.
    """
    from rung import guard
    from rung.cli.tables import UNKNOWN, aligned
    from rung.config.tiers import kinds
    from rung.types import Zone

    guard.install(Zone.HOST)
    if kind is not None:
        _keys(kind, context.obj.output)
        return
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


def _keys(kind: str, output: Output) -> None:
    from dataclasses import asdict

    from rung.config.reference import keys
    from rung.config.tiers import declared
    from rung.hiding import hide

    model = declared(kind)
    found = () if model is None else keys(model)
    if output.json:
        output.object({"kind": kind, "declared": model is not None, "keys": [asdict(key) for key in found]})
        return
    if model is None:
        output.say(f"the kind {hide(kind)!r} declares no settings: see its package's documentation")
    blocks = []
    for key in found:
        default = "; required" if key.required else f"; default {key.default}" if key.default else ""
        about = textwrap.fill(key.about, 100, initial_indent="    ", subsequent_indent="    ")
        blocks.append(f"{key.name}: {key.kind.replace('`', '')}{default}\n{about}".rstrip())
    if blocks:
        output.answer("\n".join(blocks))
