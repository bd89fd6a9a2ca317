"""Faults in a value that pydantic made of an answer although it accepted the answer."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

_SCALARS = frozenset({"str", "int", "float", "decimal", "date", "datetime", "model", "dataclass", "enum"})
"""Kinds of a core schema whose value is never `None` or a bool. A misused validator leaves one of these behind."""
_INFINITE = re.compile(r"inf|nan|\d[eE]\+?\d{2}|\d{300}", re.IGNORECASE)
"""Parts of a text that pydantic may turn into an infinite number."""


def is_infinite(adapter: TypeAdapter[Any], value: Any, text: str) -> bool:
    """Whether a value holds a number that JSON doesn't have. Pydantic makes one from a text like `Infinity`.

    Args:
        adapter: of the type.
        value: what pydantic made of the answer.
        text: the answer.
    """
    if not _INFINITE.search(text):
        return False
    try:
        waiting = [adapter.dump_python(value, warnings=False)]
    except PydanticSerializationError:
        return False  # `misused` reports this better
    while waiting:
        part = waiting.pop()
        if isinstance(part, float) and not math.isfinite(part):
            return True
        if isinstance(part, dict):
            waiting += [*part, *part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            waiting += part
    return False


def misused(adapter: TypeAdapter[Any], value: Any) -> bool:
    """Whether a validated value isn't of the type after all, because a validator returned something else.

    Serializing notices most cases, but not `True` or `None` in place of a number or a model.

    Args:
        adapter: of the type.
        value: what pydantic made of the answer.
    """
    try:
        adapter.dump_python(value, warnings="error")
    except PydanticSerializationError:
        return True
    schema: Any = adapter.core_schema
    named = {inner["ref"]: inner for inner in schema.get("definitions", ())}
    return any(found is None or isinstance(found, bool) for found in _scalars(schema, value, named))


def _scalars(whole: Any, everything: Any, named: Mapping[str, Any]) -> Iterator[Any]:
    """The values at places that the type gives one of `_SCALARS`. Places that allow several types are skipped."""
    waiting = [(whole, everything)]
    while waiting:
        schema, value = waiting.pop()
        kind = schema["type"]
        if kind == "definition-ref":
            waiting.append((named[schema["schema_ref"]], value))
        elif kind in ("nullable", "default") and value is schema.get("default"):
            continue  # `x: int = None` may be None
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
