"""`rung linger`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from rung.cli.options import Json
from rung.visible import line

if TYPE_CHECKING:
    from rung.tiers.llama.visits import Lingering


def commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(rich_markup_mode=None, epilog="Example: rung linger stop")
    group.callback()(_linger)
    group.command("list", short_help="List the models that stay in memory.", epilog="Example: rung linger list --json")(
        listed
    )
    group.command("stop", short_help="End them.", epilog="Example: rung linger stop")(stop)
    return group


def _linger() -> None:
    """See and end models that stay in memory behind a command: with `linger = "10m"` in rung.toml."""


def listed(context: typer.Context, json: Json = False) -> None:
    """List the models that stay in memory behind a command of yours, and for how long."""
    from rung import guard
    from rung.machine.lingering import told
    from rung.tiers.llama.visits import lingering
    from rung.types import Zone

    guard.install(Zone.HOST)
    workers = lingering()
    output = context.obj.output
    if output.json:
        output.object({"status": "ok", "workers": [_record(worker) for worker in workers]})
    elif workers:
        output.answer("\n".join(line(told(worker)) for worker in workers))
    else:
        output.say("no model stays in memory behind a command")


def stop(context: typer.Context, json: Json = False) -> None:
    """End the workers of models that stay in memory. One that a command has ends together with that command."""
    from rung import guard
    from rung.tiers.llama.visits import dismiss
    from rung.types import Zone

    guard.install(Zone.HOST)
    workers = dismiss()
    output = context.obj.output
    if output.json:
        output.object({"status": "ok", "workers": [_record(worker) for worker in workers]})
        return
    for worker in workers:
        behind = "" if worker.left is not None else " as soon as its command is done"
        output.answer(line(f"process {worker.pid} ends{behind}: {worker.model}"))
    if not workers:
        output.say("no model stays in memory behind a command")


def _record(worker: Lingering) -> dict[str, Any]:
    from rung.machine.lingering import memory_of

    return {**asdict(worker), "bytes": memory_of(worker.pid)}
