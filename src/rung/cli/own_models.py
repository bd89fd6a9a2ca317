"""`rung models find`, `import` and `remove`: models that weren't pulled, and models that are no longer wanted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.options import Json
from rung.sizes import readable

if TYPE_CHECKING:
    from rung.store import ModelFile


def find(
    context: typer.Context,
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER", help="Where to look; by default in the caches of other programs."),
    ] = None,
    json: Json = False,
) -> None:
    """Look for GGUF files that are already on this machine, and use them where they are.

    Without a folder it searches the caches of the Hugging Face hub, Ollama, LM Studio and llama.cpp. Each file that is
    new or was written to is hashed. Nothing is copied and no file is changed.
    """
    from rung import guard
    from rung.cli.pulling import Pulling
    from rung.store import Passed
    from rung.store import find as search
    from rung.types import Zone

    output = context.obj.output
    guard.install(Zone.HOST)
    found, passed = [], []
    with Pulling(output) as pulling:
        for it in search(folders or (), progress=pulling.show, cancel=context.obj.interrupts.cancel()):
            if isinstance(it, Passed):
                passed.append(it)
            else:
                found.append(it)
    for it in passed:
        output.say(f"passed over {it.path}: {it.reason}")
    if output.json:
        rows = [{**described(it.file), "origin": it.origin, "new": it.fresh} for it in found]
        left = [{"path": str(it.path), "reason": it.reason} for it in passed]
        output.object({"status": "ok", "models": rows, "passed_over": left})
        return
    if not found:
        output.say("no model was found; name a folder, or run `rung init`, which names suitable models")
        return
    lines = [f"{it.file.name}  {readable(it.file.size)}  {it.file.path}  ({it.origin})" for it in found]
    output.answer("\n".join(lines))


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A GGUF file.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call it; by default after the file.")
    ] = None,
    json: Json = False,
) -> None:
    """Copy a GGUF file into the store, and print its name there.

    Its header is read and checked first. A malformed file, or a model that doesn't answer prompts, never reaches the
    runtime.
    """
    from rung import guard
    from rung.cli.pulling import Pulling
    from rung.store import import_file
    from rung.types import Zone

    output = context.obj.output
    guard.install(Zone.HOST)
    with Pulling(output) as pulling:
        model = import_file(file, name=name, progress=pulling.show, cancel=context.obj.interrupts.cancel())
    if output.json:
        output.object({"status": "ok", "model": described(model)})
    else:
        output.answer(model.name)


def remove(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="A model that `rung models list` shows as here.")],
    json: Json = False,
) -> None:
    """Take models out of the store. A file of another program is forgotten and stays where it is."""
    from rung import guard
    from rung.store import remove as take
    from rung.types import Zone

    output = context.obj.output
    guard.install(Zone.HOST)
    removed = [take(name, cancel=context.obj.interrupts.cancel()) for name in names]
    if output.json:
        rows = [
            {
                "name": it.name,
                "freed": it.freed,
                "shared_with": list(it.shared),
                "left": None if it.left is None else str(it.left),
            }
            for it in removed
        ]
        output.object({"status": "ok", "models": rows})
        return
    for it in removed:
        what = f"{readable(it.freed)} freed" if it.freed else "nothing was in the store"
        if it.shared:
            what += f"; the weights stay for {', '.join(it.shared)}"
        if it.left is not None:
            what += f"; {it.left} stays where it is"
        output.answer(f"{it.name}: {what}")


def described(model: ModelFile) -> dict[str, Any]:
    """The object of `--json` for a model file."""
    return {"name": model.name, "path": str(model.path), "size": model.size, "sha256": model.sha256}
