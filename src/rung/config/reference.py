"""The reference of `rung.toml`, made from the models that read it. `docs/configuration.md` contains its tables."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rung.config.tables import BudgetTable, FileTable, LedgerTable, ModelsTable, PolicyTable, RungTable, ServeTable
from rung.config.tiers import declared
from rung.settings import SettingsTable

_KINDS = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "string": "text"}
_MARK = re.compile(r"(<!-- keys of (.+?) -->\n).*?(<!-- end of keys -->)", re.DOTALL)

VARIABLES = {
    "RUNG_REACH": "Lowers `reach`: `host`, `lan` or `internet`. It never widens it; `--reach` does.",
    "RUNG_OFFLINE": "`1` keeps everything on this machine, whatever a file or option says. So does `HF_HUB_OFFLINE`.",
    "RUNG_CONFIG": "Names the user's own `rung.toml`, instead of the usual one.",
    "RUNG_LEDGER": "Names the ledger's file, instead of `ledger.path`; `off` records nothing.",
    "RUNG_MODELS_FROM": "Folders and web servers, separated by commas, instead of `models.from`.",
    "RUNG_MODELS_DIR": "Names the folder for model files.",
    "RUNG_WORKER_PYTHON": "Names the interpreter of local models' workers, for an app whose own can't run them.",
    "RUNG_SERVE_TOKEN": "The token that clients of `rung serve` show, in place of a new one for each start.",
    "RUNG_DEBUG": "`1` shows the traceback of an unexpected error.",
}
"""What rung reads from the environment, besides the API keys whose variables a file names."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table.

    Args:
        name: as it is written. A key of an inner table has that table's name and a dot in front.
        kind: type, unit and range, in words.
        default: as it would be written; empty if there is none.
        required: whether it must be given.
        about: what it does.
    """

    name: str
    kind: str
    default: str
    required: bool
    about: str


def keys(model: type[SettingsTable]) -> tuple[Key, ...]:
    """Every key of a table: required ones first, then the others in the order of its fields. The keys of an inner
    table follow the key that contains it.

    Args:
        model: the table. A field's description is its entry under `Args:` in the docstring, or its `description`.
    """
    schema = model.model_json_schema()
    about = {field: said for kind in reversed(model.__mro__) for field, said in _arguments(kind.__doc__ or "").items()}
    about |= {field.alias: about[name] for name, field in model.model_fields.items() if field.alias and name in about}
    return tuple(_keys(schema, about, schema.get("$defs", {}), ""))


def tables() -> dict[str, str]:
    """Every table of the reference in Markdown, under the name of what it describes."""
    models: dict[str, type[SettingsTable] | None] = {
        "rung.toml": FileTable,
        "[budget]": BudgetTable,
        "[ledger]": LedgerTable,
        "[models]": ModelsTable,
        "[serve]": ServeTable,
        "[[tier]]": RungTable,
        "llama": declared("llama"),
        "openai": declared("openai"),
        "policy.toml": PolicyTable,
    }
    apart = tuple(name.strip("[]") for name in models if name.startswith("["))
    found = {}
    for name, model in models.items():
        rows = () if model is None else keys(model)
        found[name] = _table(key for key in rows if model is not FileTable or key.name.partition(".")[0] not in apart)
    lines = [f"| `{name}` | {about} |" for name, about in VARIABLES.items()]
    return {**found, "the environment": "\n".join(["| variable | what it does |", "|---|---|", *lines])}


def filled(page: str) -> str:
    """A page with its tables filled in again. Each is between `<!-- keys of NAME -->` and `<!-- end of keys -->`.

    Args:
        page: in Markdown.
    """
    made = tables()
    return _MARK.sub(lambda match: f"{match[1]}{made[match[2]]}\n{match[3]}", page)


def _table(rows: Iterable[Key]) -> str:
    lines = [
        f"| `{key.name}` | {key.kind} | {'required' if key.required else key.default and f'`{key.default}`'} "
        f"| {key.about} |"
        for key in rows
    ]
    return "\n".join(["| key | type and range | default | what it does |", "|---|---|---|---|", *lines])


def _keys(table: Mapping[str, Any], about: Mapping[str, str], inner: Mapping[str, Any], before: str) -> Iterator[Key]:
    required = table.get("required", ())
    for name, field in sorted(table.get("properties", {}).items(), key=lambda item: item[0] not in required):
        default = field.get("default")
        written = "" if default is None or isinstance(default, dict) else json.dumps(default, ensure_ascii=False)
        said = field.get("description") or about.get(name, "")
        yield Key(f"{before}{name}", _kind(field, inner), written, name in required, said)
        for choice in (field, *field.get("anyOf", ())):
            if within := inner.get(choice.get("$ref", "").rpartition("/")[2]):
                yield from _keys(within, _arguments(within.get("description", "")), inner, f"{before}{name}.")


def _kind(field: Mapping[str, Any], inner: Mapping[str, Any]) -> str:
    """Type, unit and range of a field, in words."""
    if "anyOf" in field:
        return _or([_kind(choice, inner) for choice in field["anyOf"] if choice and choice.get("type") != "null"])
    if "enum" in field or "const" in field:
        return _or([f"`{json.dumps(value)}`" for value in field.get("enum", [field.get("const")])])
    kind = field.get("type")
    if kind == "array":
        items = field.get("items", {})
        return "list" + (f" of {_kind(items, inner).replace('text', 'texts')}" if items else "")
    if kind == "object" or "$ref" in field:
        return "table"
    unit = f" of {field['unit']}" if field.get("unit") else ""
    return f"{_KINDS.get(kind or '', 'any value')}{unit}{_range(field)}"


def _range(field: Mapping[str, Any]) -> str:
    least = field.get("minimum", field.get("minLength"))
    most = field.get("maximum", field.get("maxLength"))
    unit = " characters" if "maxLength" in field or "minLength" in field else ""
    if least is not None and most is not None:
        return f", {_number(least)} to {_number(most)}{unit}"
    bounds = (
        (least, "{} or more"),
        (field.get("exclusiveMinimum"), "above {}"),
        (most, "at most {}"),
        (field.get("exclusiveMaximum"), "below {}"),
    )
    said = [words.format(_number(bound)) for bound, words in bounds if bound is not None]
    return f", {' and '.join(said)}{unit}" if said else ""


def _number(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:g}"


def _or(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def _arguments(docstring: str) -> dict[str, str]:
    """The entries of a docstring's `Args:` section, each as a sentence."""
    _, _, section = inspect.cleandoc(docstring).partition("Args:\n")
    found: dict[str, str] = {}
    for name, said in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section.partition("\n\n")[0], re.MULTILINE):
        words = " ".join(said.split())
        found[name] = words[:1].upper() + words[1:]
    return found
