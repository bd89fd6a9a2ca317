"""Noticing a pydantic validator that gave back something else than a value, which pydantic then takes for the value.

Serializing notices most of it, but not `True` or `None` where a number or a model stands; those are looked for here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

_SCALARS = frozenset({"str", "int", "float", "decimal", "date", "datetime", "model", "dataclass", "enum"})


def misused(adapter: TypeAdapter[Any], value: Any) -> bool:
    """Whether a validated value isn't of the type after all.

    Args:
        adapter: of the type.
        value: what it made of an answer.
    """
    try:
        adapter.dump_python(value, warnings="error")
    except PydanticSerializationError:
        return True
    schema: Any = adapter.core_schema
    named = {inner["ref"]: inner for inner in schema.get("definitions", ())}
    return any(found is None or isinstance(found, bool) for found in _scalars(schema, value, named))


def _scalars(whole: Any, everything: Any, named: Mapping[str, Any]) -> Iterator[Any]:
    """The values that stand where the type has one of `_SCALARS`. What may be of several types is passed over."""
    waiting = [(whole, everything)]
    while waiting:
        schema, value = waiting.pop()
        kind = schema["type"]
        if kind == "definition-ref":
            waiting.append((named[schema["schema_ref"]], value))
        elif kind in ("nullable", "default") and value is schema.get("default"):
            continue  # `x: int = None` is allowed to be None
        elif kind == "list" and isinstance(value, list):
            inner = schema.get("items_schema", {"type": "any"})
            waiting += [(inner, item) for item in value]
        elif kind == "model-fields" and hasattr(value, "__dict__"):
            fields = schema["fields"].items()
            waiting += [(field["schema"], value.__dict__[name]) for name, field in fields if name in value.__dict__]
        elif kind in _SCALARS and (value is None or isinstance(value, bool)):
            yield value
        elif kind not in ("function-plain", "function-wrap") and "schema" in schema:
            waiting.append((schema["schema"], value))
