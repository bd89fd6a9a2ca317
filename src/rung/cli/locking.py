"""`rung models lock`, and `rung models verify --locked`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rung.cli.options import Json

EXAMPLE = "Example: rung models lock"


def lock(
    context: typer.Context,
    json: Json = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Lock this configuration and no other.")
    ] = None,
) -> None:
    """Write rung.lock beside the rung.toml in force: the exact file of each local tier.

    `rung models verify --locked` compares with it, and `rung bundle create` packs exactly these files.
    """
    from rung import guard
    from rung.config import load
    from rung.config.lock import lock as locked
    from rung.config.lock import lock_path
    from rung.errors import ConfigError
    from rung.types import Zone
    from rung.writing import write_whole

    guard.install(Zone.HOST)
    found = load(config)
    path = lock_path(found)
    made = locked(found, cancel=context.obj.interrupts.cancel())
    try:
        write_whole(path, made.text().encode(), private=False)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {(error.strerror or str(error)).lower()}") from None
    if context.obj.output.json:
        tiers = [tier.model_dump() for tier in made.tier]
        context.obj.output.object({"status": "ok", "path": str(path), "tiers": tiers})
    else:
        context.obj.output.answer(str(path))


def compare(context: typer.Context, config: Path | None) -> int:
    """Compare the files of the local tiers with rung.lock. Exit code 1 if something differs."""
    from rung.config import load
    from rung.config.lock import differences, lock_path, read_lock

    found = load(config)
    path = lock_path(found)
    differ = differences(read_lock(path), found, cancel=context.obj.interrupts.cancel())
    output = context.obj.output
    if output.json:
        output.object({"status": "differs" if differ else "ok", "lock": str(path), "differences": differ})
    else:
        output.answer(f"{path}: {'differs' if differ else 'ok'}")
    for text in differ:
        output.say(f"rung: {text}")
    return int(bool(differ))
