"""`rung task`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.options import Json

if TYPE_CHECKING:
    from rung.cli.output import Output
    from rung.config import Config
    from rung.learn.tasks import TaskFolder

_Name = Annotated[str, typer.Argument(metavar="NAME", help="What the task is called.")]
_Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Use the tasks beside this configuration and no others.")
]


def commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(rich_markup_mode=None, epilog="Example: rung task new invoice --schema invoice.json")
    group.callback()(_task)
    for function, name, says, example in (
        (new, "new", "Make a task.", 'rung task new mood --prompt "Is this friendly? {text}" --choices yes,no'),
        (list_, "list", "List tasks.", "rung task list"),
        (show, "show", "Show everything about a task.", "rung task show invoice --data invoices.jsonl"),
        (forget, "forget", "Take examples or forms out of a task.", "rung task forget invoice --example 3f2a9c01"),
    ):
        command: Callable[..., None] = function
        group.command(name, short_help=says, epilog=f"Example: {example}")(command)
    return group


def _task() -> None:
    """Make tasks and show them: a prompt, what its answers must be, and what was learnt about the tiers."""


def new(
    context: typer.Context,
    name: _Name,
    prompt: Annotated[
        str, typer.Option("--prompt", metavar="TEXT", help="The prompt, with its fields in braces, as in {text}.")
    ] = "{text}",
    system: Annotated[str | None, typer.Option("--system", metavar="TEXT", help="A system turn before it.")] = None,
    schema: Annotated[
        Path | None, typer.Option("--schema", metavar="FILE", help="The JSON Schema of the answer. It is copied.")
    ] = None,
    choices: Annotated[
        str | None, typer.Option("--choices", metavar="A,B,C", help="The only answers, split at commas.")
    ] = None,
    regex: Annotated[str | None, typer.Option("--regex", metavar="REGEX", help="What the answer matches.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", metavar="MODULE:NAME", help="A pydantic model or other type.")
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(
            "--check",
            metavar="NAME",
            help="Whether an answer is right: exact, number, choice, json, regex, contains, or MODULE:FUNCTION.",
        ),
    ] = None,
    json: Json = False,
    config: _Config = None,
) -> None:
    """Make a task's folder beside the configuration in force, to edit further."""
    from rung import guard
    from rung.cli import inputs
    from rung.cli.reading import Patience
    from rung.config import load
    from rung.contract import compile_output
    from rung.learn.making import make_task
    from rung.limits import Cancel
    from rung.types import Zone

    guard.install(Zone.HOST)
    output: Output = context.obj.output
    found = load(config)
    shape = inputs.output(schema, None, choices, regex, Patience(None, output, Cancel()))
    compile_output(shape)
    inputs.one_contract(schema, type_, choices, regex)
    values = {
        "system": system,
        "prompt": prompt,
        "choices": shape if choices is not None else None,
        "regex": regex,
        "type": type_,
        "check": check,
    }
    made = make_task(found.tasks.new(name), values, schema=shape if schema is not None else None)
    if output.json:
        output.object({"status": "ok", "task": _object(made)})
    else:
        output.answer(f"made {made.path}")
        output.say(f"edit {made.path / 'task.toml'} as you like, then: {_usage(made)}")


def list_(context: typer.Context, json: Json = False, config: _Config = None) -> None:
    """List the tasks beside the project's rung.toml and the user's own."""
    from rung.cli.tables import aligned
    from rung.config import load
    from rung.errors import ConfigError

    output: Output = context.obj.output
    found = list(load(config).tasks.every())
    tasks = [task for task in found if not isinstance(task, ConfigError)]
    wrong = [str(error) for error in found if isinstance(error, ConfigError)]
    if output.json:
        output.object({"status": "ok", "tasks": [_object(task) for task in tasks], "wrong": wrong})
        return
    for reason in wrong:
        output.say(f"rung: {reason}")
    if not found:
        output.say("there is no task; `rung task new NAME` makes one")
    if tasks:
        rows = [
            (t.name, t.kind, ", ".join(_fields(t)), ", ".join(t.learned.tiers) or "no", t.table.about) for t in tasks
        ]
        output.answer(aligned(("task", "answer", "fields", "calibrated", "about"), rows, 5))


def show(
    context: typer.Context,
    name: _Name,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="Read this data with the task, and show what is wrong with it."),
    ] = None,
    examples: Annotated[
        bool, typer.Option("--examples", help="Show the examples that its tiers are shown, whole, and where from.")
    ] = False,
    json: Json = False,
    config: _Config = None,
) -> None:
    """Show what a task asks, what was learnt about its tiers, and on what evidence."""
    from rung import guard
    from rung.cli import learnt_forms
    from rung.config import load
    from rung.learn.survey import survey
    from rung.types import Zone

    guard.install(Zone.HOST)
    output: Output = context.obj.output
    found = load(config)
    task = found.tasks.demand(name)
    seen = None if data is None else survey(data, task.template)
    setups = _setups(found) if task.learned.tiers else {}
    asks = {tier: learnt.evidence.notes(setups.get(tier, {})) for tier, learnt in task.learned.tiers.items()}
    if output.json:
        notes = {tier: list(said) for tier, said in asks.items()}
        shown = learnt_forms.as_object(task, whole=examples)
        values = {"status": "ok", "task": {**_object(task), "notes": notes, **shown}}
        output.object(values if seen is None else {**values, "data": seen.as_object()})
        return
    values = {key: value for key, value in _object(task).items() if key not in ("learned", "void")}
    lines = [f"{key}: {_said(value)}" for key, value in values.items() if value not in (None, "", [], {})]
    for tier, learnt in task.learned.tiers.items():
        evidence = learnt.evidence
        lines.append(f"tier {tier}: calibrated {evidence.date} on {evidence.rows:,} rows, rung {evidence.rung}")
        if learnt.says:
            lines.append(f"  {learnt.says}")
        if void := task.void().get(tier):
            lines.append(f"  void: {' and '.join(void)} changed since")
        for check in evidence.checked:
            setup = ", ".join(f"{key} = {value}" for key, value in check.setup.items())
            lines.append(f"  checked {check.date} on {check.rows:,} fresh rows with {setup}")
        lines += [f"  {note}" for note in asks[tier]]
    lines += learnt_forms.said(task, whole=examples)
    output.answer("\n".join(lines))
    for sentence in () if seen is None else seen.sentences():
        output.say(sentence)


def forget(
    context: typer.Context,
    name: _Name,
    example: Annotated[
        list[str] | None,
        typer.Option(
            "--example", metavar="ID", help="An example, as `rung task show --examples` names it. Repeatable."
        ),
    ] = None,
    from_ledger: Annotated[
        bool, typer.Option("--from-ledger", help="Every example that comes from the ledger.")
    ] = False,
    tier: Annotated[
        str | None, typer.Option("--form", metavar="TIER", help="The form of this tier, and all of its examples.")
    ] = None,
    json: Json = False,
    config: _Config = None,
) -> None:
    """Take examples or a tier's form out of a task. What was calibrated with them is void then."""
    from rung.cli import learnt_forms
    from rung.config import load

    output: Output = context.obj.output
    task = load(config).tasks.demand(name)
    gone = learnt_forms.forget(task, tuple(example or ()), ledger=from_ledger, tier=tier)
    if output.json:
        output.object({"status": "ok", "forgotten": list(gone)})
    else:
        output.answer("\n".join(gone))


def _setups(config: Config) -> dict[str, Mapping[str, str]]:
    """The present setup of each tier, by name; empty if the tiers can't even be made. Loads no model."""
    from rung.errors import RungError

    try:
        with config.ladder() as ladder:
            return {rung.tier.name: rung.describes.setup for rung in ladder.rungs if rung.describes is not None}
    except RungError:
        return {}


def _object(task: TaskFolder) -> dict[str, Any]:
    """Everything about a task, for `--json`."""
    table = task.table
    return {
        "name": task.name,
        "path": str(task.path),
        "trusted": task.trusted,
        "about": table.about,
        "answer": task.kind,
        "fields": list(_fields(task)),
        "check": table.check,
        "same": table.same,
        "max_tokens": table.max_tokens,
        "on_void": table.on_void,
        "runs": list(task.references),
        "prompt_sha256": task.template.sha256 if task.template else None,
        "learned": task.learned.model_dump(mode="json")["tiers"],
        "void": {tier: list(what) for tier, what in task.void().items()},
    }


def _fields(task: TaskFolder) -> tuple[str, ...]:
    return task.template.fields if task.template else ()


def _said(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return ", ".join(f"{key} = {inner}" for key, inner in value.items()) if isinstance(value, dict) else str(value)


def _usage(task: TaskFolder) -> str:
    """A command that uses the task."""
    given = "".join(f" --field {name}=…" for name in _fields(task)[:-1])
    return f"rung ask --task {task.name}{given} --file FILE"
