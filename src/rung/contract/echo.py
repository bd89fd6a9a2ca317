"""Answers that repeat the schema instead of filling it in, and what a schema leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rung.contract.bounds import Watch
from rung.contract.spans import show
from rung.schemas import followed

_DEEPEST = 30
"""Levels of an answer that are searched for the schema: more than people write."""
_MOST_NAMED = 5

_Path = tuple[str | int, ...]


def echoes(schema: Mapping[str, Any], value: Any, watch: Watch) -> Iterator[tuple[str, str]]:
    """Find where an answer has a part of the schema instead of values: the path, and what is wrong there.

    A place counts only if the schema doesn't ask for it: a key `properties` that the schema doesn't name, whose value
    has names that the schema does name.

    Args:
        schema: with an object at its root.
        value: the answer, as JSON.
        watch: ends the work.
    """
    # its own walk, because it goes over the values, each with the one schema that names it, and not over the schemas
    waiting: list[tuple[Any, Any, _Path]] = [(schema, value, ())]
    while waiting:
        watch.step()
        node, part, path = waiting.pop()
        node = followed(schema, node)
        if not isinstance(node, Mapping) or len(path) > _DEEPEST:
            continue
        if isinstance(part, list):
            items = node.get("items")
            waiting += [(items, item, (*path, number)) for number, item in enumerate(part)]
            continue
        known = node.get("properties")
        if not isinstance(known, Mapping) or not isinstance(part, Mapping):
            continue
        given = part.get("properties")
        if "properties" not in known and isinstance(given, Mapping) and known.keys() & given.keys():
            names = ", ".join(list(known)[:_MOST_NAMED])
            yield show(path), f"this repeats the schema; give the values themselves, as an object with the keys {names}"
        else:
            smaller, larger = (known, part) if len(known) <= len(part) else (part, known)
            waiting += [(known[name], part[name], (*path, name)) for name in smaller if name in larger]


def left_open(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """What a user's schema leaves open but could easily say, as sentences for the trace.

    Args:
        schema: with an object at its root.
    """
    notes = []
    known = schema.get("properties")
    if isinstance(known, Mapping) and known and not schema.get("required"):
        notes.append("the schema requires none of its properties, so an empty object fits it: see its `required`")
    unbounded = (
        [name for name, inner in (known or {}).items() if _is_unbounded(inner)] if isinstance(known, Mapping) else []
    )
    if unbounded:
        names = ", ".join(unbounded[:_MOST_NAMED]) + (", …" if len(unbounded) > _MOST_NAMED else "")
        notes.append(f"the schema sets no bounds for {names}: `minimum` and `maximum` would expose a wrong number")
    return tuple(notes)


def _is_unbounded(schema: Any) -> bool:
    if not isinstance(schema, Mapping) or schema.get("type") not in ("number", "integer"):
        return False
    return not {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "const"} & schema.keys()
