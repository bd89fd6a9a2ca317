"""The parts of a pydantic core schema: the one walk over them, and questions about all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rung.contract.validators import name_of

FIELDS = frozenset({"model-fields", "typed-dict", "dataclass-args"})
"""Kinds of parts that have fields."""
_SAID = frozenset({"metadata", "serialization", "config"})
"""Keys of a core schema that hold no parts to validate with."""


def parts(core_schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of a core schema, in order. A part that occurs in several places comes once."""
    met: set[int] = set()
    waiting = [core_schema]
    while waiting:
        node = waiting.pop()
        if id(node) in met or not isinstance(node, dict | list | tuple):
            continue
        met.add(id(node))
        if isinstance(node, dict):
            yield node
            waiting += [node[key] for key in reversed(node) if key not in _SAID]
        else:
            waiting += reversed(node)


def has_kind(core_schema: Any, kind: str) -> bool:
    """Whether a type has a part of this kind of core schema. A `union`, for one, tries its members in turn."""
    return any(node.get("type") == kind for node in parts(core_schema))


def field_names(core_schema: Any) -> frozenset[str]:
    """The names of all fields of a type, as in Python."""
    names: set[str] = set()
    for node in parts(core_schema):
        if node.get("type") in FIELDS:
            fields = node["fields"]
            names.update(fields if isinstance(fields, dict) else (field["name"] for field in fields))
    return frozenset(names)


def validators_in(core_schema: Any) -> tuple[str, ...]:
    """The names of the functions that a core schema calls. They check more than its JSON Schema says."""
    found: dict[str, None] = {}
    for node in parts(core_schema):
        if str(node.get("type", "")).startswith("function-"):
            function: Any = (node.get("function") or {}).get("function")
            # pydantic's own helpers (for Path, Fraction, ...) check what the JSON Schema already says
            if not str(getattr(function, "__module__", "")).startswith("pydantic"):
                found[name_of(function)] = None
    return tuple(found)
