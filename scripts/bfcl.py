"""The function-calling set: its rows as prompts and JSON Schemas, and its way of grading."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TYPES = {"dict": "object", "float": "number", "tuple": "array"}
_SYSTEM = "Call the function {name}: {description} Give its arguments for the user's request."


@dataclass(frozen=True)
class Row:
    """One request: what is asked, the schema of the arguments, and the accepted values of each argument."""

    id: str
    prompt: str
    system: str
    schema: dict[str, Any]
    accepted: dict[str, list[Any]]


def folder() -> Path:
    """Where the data sets lie: `RUNG_DATA_DIR`, or a folder beside the project."""
    return Path(os.environ.get("RUNG_DATA_DIR") or Path(__file__).resolve().parents[2] / "shared" / "data")


def rows(count: int) -> list[Row]:
    """The first `count` rows.

    Raises:
        FileNotFoundError: the data set is not there; `RUNG_DATA_DIR` says where it is.
    """
    questions = (folder() / "bfcl" / "BFCL_v4_simple_python.jsonl").read_text(encoding="utf-8").splitlines()
    answers = (folder() / "bfcl" / "possible_answer_simple_python.jsonl").read_text(encoding="utf-8").splitlines()
    found = []
    for question, answer in zip(questions[:count], answers[:count], strict=True):
        asked, truth = json.loads(question), json.loads(answer)
        function = asked["function"][0]
        found.append(
            Row(
                id=asked["id"],
                prompt=asked["question"][0][0]["content"],
                system=_SYSTEM.format(name=function["name"], description=function["description"]),
                schema=_schema(function["parameters"]),
                accepted=truth["ground_truth"][0][function["name"]],
            )
        )
    return found


def right(row: Row, value: dict[str, Any]) -> bool:
    """Whether the arguments are among the accepted ones, compared as the set's own checker does."""
    if set(value) - set(row.accepted):
        return False
    return all(
        _accepted(value[name], allowed) if name in value else "" in allowed for name, allowed in row.accepted.items()
    )


def _accepted(value: Any, allowed: list[Any]) -> bool:
    return any(_same(value, option) for option in allowed)


def _same(value: Any, option: Any) -> bool:
    if isinstance(value, bool) or isinstance(option, bool):
        return value is option
    if isinstance(value, int | float) and isinstance(option, int | float):
        return float(value) == float(option)
    if isinstance(value, str) and isinstance(option, str):
        return plain(value) == plain(option)
    if isinstance(value, list) and isinstance(option, list):
        return len(value) == len(option) and all(map(_same, value, option))
    if isinstance(value, dict) and isinstance(option, dict):
        known = all(name in option for name in value)
        return known and all(
            _accepted(value[name], allowed) if name in value else "" in allowed for name, allowed in option.items()
        )
    return False


def plain(text: str) -> str:
    """A text as the set compares it: without case, and without most punctuation."""
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')


def _schema(node: Any) -> Any:
    """A parameter table as JSON Schema, its objects closed."""
    if isinstance(node, list):
        return [_schema(n) for n in node]
    if not isinstance(node, dict):
        return node
    schema = {k: v for k, v in node.items() if k not in ("optional", "format", "default")}
    kind = schema.get("type")
    if kind == "any":
        del schema["type"]
    elif isinstance(kind, str):
        schema["type"] = _TYPES.get(kind, kind)
    if isinstance(schema.get("properties"), dict):
        schema["properties"] = {name: _schema(inner) for name, inner in schema["properties"].items()}
        schema["additionalProperties"] = False
    if "items" in schema:
        schema["items"] = _schema(schema["items"])
    return schema
