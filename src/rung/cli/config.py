"""`rung config`."""

from __future__ import annotations

import json as jsons
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.options import Json
from rung.hiding import HIDDEN, hide, hide_all, variable

if TYPE_CHECKING:
    from rung.cli.output import Output
    from rung.config import Config, Origin, Places, TierTable


def commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(rich_markup_mode=None, epilog="Example: rung config show")
    group.callback()(_config)
    group.command(
        "show", short_help="Show values and where they came from.", epilog="Example: rung config show --json"
    )(show)
    group.command("trust", short_help="Trust a project's rung.toml.", epilog="Example: rung config trust ./rung.toml")(
        trust
    )
    return group


def _config() -> None:
    """Show the configuration in force, and trust a project's file."""


def show(
    context: typer.Context,
    json: Json = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Show this configuration and no other.")
    ] = None,
) -> None:
    """Show each value of the configuration and its origin. Keys are never shown."""
    from rung import guard
    from rung.config import load
    from rung.types import Zone

    guard.install(Zone.HOST)
    found = load(config)
    output = context.obj.output
    rows = list(_rows(found))
    if output.json:
        values = {key: {"value": value, "from": str(origin)} for key, value, origin in rows}
        files = [{"path": str(f.path), "layer": f.origin.source, "trusted": f.trusted} for f in found.files]
        output.object({"status": "ok", "values": values, "files": files, "notes": list(found.notes)})
        return
    width = max(len(f"{key} = {_written(value)}") for key, value, _ in rows)
    output.answer("\n".join(f"{f'{key} = {_written(value)}':{width}}  # {origin}" for key, value, origin in rows))
    for note in found.notes:
        output.say(f"note: {note}")
    if found.project is not None and not found.project.trusted:
        asks = "; ".join(found.asks())
        output.say(
            f"{found.project.path} is not trusted"
            + (f" and asks to {asks}: look at it, then run `rung config trust {found.project.path}`" if asks else "")
        )


def trust(
    context: typer.Context,
    path: Annotated[
        Path | None,
        typer.Argument(help="The rung.toml or task.toml; by default the nearest rung.toml.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Trust a project's rung.toml, or a task.toml beside it, with its present content. It may then do what only you can
    allow. A trusted task.toml may run the modules that it names, even after they change.
    """
    from rung import guard
    from rung.config import Places, load
    from rung.config import trust as record
    from rung.errors import ConfigError
    from rung.learn.tasks import FILE as TASK
    from rung.types import Zone

    guard.install(Zone.HOST)
    places = Places.standard()
    output: Output = context.obj.output
    if path is not None and path.name == TASK:
        _trust_task(path, places, output)
        return
    found = load(project=path, places=places)
    document = found.project
    if document is None:
        raise ConfigError("there is no rung.toml in this folder or above it", hint="name the file")
    asks = found.asks()
    record(document, places)
    if output.json:
        output.object({"status": "ok", "path": str(document.path), "sha256": document.sha256, "grants": list(asks)})
        return
    output.answer(f"trusted {document.path} (sha256 {document.sha256[:12]}…), until it changes")
    for ask in asks:
        output.say(f"  it may now {ask}")


def _trust_task(path: Path, places: Places, output: Output) -> None:
    from rung.config import trust_file
    from rung.files import full
    from rung.learn.tasks import open_task

    path = full(path, "the task").absolute()
    task = open_task(path.parent, trusted=False)
    trust_file(path, task.sha256, places)
    if output.json:
        grants = [f"run {reference}" for reference in task.references]
        output.object({"status": "ok", "path": str(path), "sha256": task.sha256, "grants": grants})
        return
    output.answer(f"trusted {path} (sha256 {task.sha256[:12]}…), until it changes")
    for reference in task.references:
        output.say(f"  it may now run {reference}")


def _rows(config: Config) -> list[tuple[str, Any, Origin]]:
    """Key, value and origin of every setting, with all API keys hidden, whatever their name."""
    tiers = [
        (f"tier.{hide(table.rung.name)}.{hide(key)}", value, config.tiers.origin)
        for table in config.tiers.value or config.default_tiers()
        for key, value in _keys(table).items()
    ]
    return [*_hidden(_settings(config)), *tiers, *_hidden(_held(config))]


def _hidden(rows: list[tuple[str, Any, Origin]]) -> list[tuple[str, Any, Origin]]:
    return [(name, hide_all(value, name.rpartition(".")[2]), origin) for name, value, origin in rows]


def _settings(config: Config) -> list[tuple[str, Any, Origin]]:
    """The settings of the files, the environment and the options, apart from the tiers."""
    rows: list[tuple[str, Any, Origin]] = [
        ("reach", str(config.reach.value), config.reach.origin),
        ("paid_after", config.paid_after.value, config.paid_after.origin),
        ("redact", config.redact.value, config.redact.origin),
        ("unload_after", config.unload_after.value, config.unload_after.origin),
        ("linger", config.linger.value, config.linger.origin),
        ("drafts", config.drafts.value, config.drafts.origin),
    ]
    for key, setting in (("seconds", config.seconds), ("tokens", config.tokens), ("money", config.money)):
        value = setting.value
        rows.append(
            (f"budget.{key}", value if value is None or isinstance(value, int) else float(value), setting.origin)
        )
    for name in ("money_per_day", "money_per_month"):
        setting = getattr(config.ledger, name)
        rows.append((f"budget.{name}", None if setting.value is None else float(setting.value), setting.origin))
    for name in ("record", "content", "retention_days", "path"):
        setting = getattr(config.ledger, name)
        value = setting.value
        rows.append((f"ledger.{name}", str(value) if name == "path" else value, setting.origin))
    rows.append(("shadow.share", config.shadow.value, config.shadow.origin))
    rows.append(("shadow.busy", config.shadow_busy.value, config.shadow_busy.origin))
    rows.append(("models.from", list(config.models_from.value), config.models_from.origin))
    rows.append(("models.packages", config.packages.value, config.packages.origin))
    served = config.serve.table.model_dump(mode="json")
    rows += [(f"serve.{key}", served[key], origin) for key, origin in config.serve.origins.items()]
    return rows


def _held(config: Config) -> list[tuple[str, Any, Origin]]:
    """The settings of the system's policy, where the models are stored, and where the user's own entries are read."""
    from rung.config import Origin
    from rung.store import user_store
    from rung.store.entries import own_catalogue

    rows: list[tuple[str, Any, Origin]] = []
    origin = Origin("policy", str(config.policy_file))
    for key in ("hosts", "kinds", "models"):
        allowed = getattr(config.policy, key)
        if allowed is not None:
            rows.append((f"policy.{key}", sorted(allowed), origin))
    chosen = os.environ.get("RUNG_MODELS_DIR")
    rows.append(
        ("models", str(user_store().root), Origin("environment", "RUNG_MODELS_DIR") if chosen else Origin("default"))
    )
    rows.append(("models.catalogue", str(own_catalogue()), Origin("default")))
    return rows


def _keys(table: TierTable) -> dict[str, Any]:
    """The keys of a tier's table, without its secrets."""
    ours = table.rung.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"name"})
    said = {"kind": table.rung.kind, **ours, **table.settings}
    return {key: _named(value) or hide_all(_json(value), key) for key, value in said.items()}


def _json(value: Any) -> Any:
    """A TOML value as a JSON value. Dates, times, infinities and NaN, which JSON lacks, become text."""
    if isinstance(value, Mapping):
        return {str(key): _json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    is_one = value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_one else str(value)


def _named(value: Any) -> str | None:
    """The variable that a setting is read from, and whether it is set; `None` for any other value."""
    if not isinstance(value, Mapping) or set(value) != {"env"}:
        return None
    name = variable(value["env"])
    return f"{name}, which is not the name of a variable" if name == HIDDEN else f"${name} ({_state(name)})"


def _state(name: str) -> str:
    return "set" if os.environ.get(name) else "not set"


def _written(value: Any) -> str:
    return "none" if value is None else jsons.dumps(value, ensure_ascii=False)
