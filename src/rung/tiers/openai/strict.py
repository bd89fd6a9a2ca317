"""A schema in the form that the API's strict mode takes.

Strict mode asks that every object is closed and every property required
(https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_REFUSED = frozenset(
    {
        "allOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "dependentSchemas",
        "patternProperties",
        "propertyNames",
        "contains",
        "unevaluatedProperties",
        "unevaluatedItems",
        "minProperties",
        "maxProperties",
        "uniqueItems",
        "prefixItems",
    }
)
_TABLES = ("properties", "$defs", "definitions")


def closed(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """A schema for strict mode whose every answer fits `schema` too; `None` where there is none.

    Objects that say nothing about further properties are closed, and an optional property that may be null is required.

    Args:
        schema: a JSON Schema with an object at its root.
    """
    if "anyOf" in schema:
        return None
    try:
        result: dict[str, Any] = _close(schema)
    except _NotStrict:
        return None
    return result


class _NotStrict(Exception):
    pass


def _close(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        raise _NotStrict
    if _REFUSED & schema.keys() or ("$ref" in schema and len(schema) > 1):
        raise _NotStrict
    # A default is a remark in JSON Schema, and strict mode refuses it.
    result = {key: value for key, value in schema.items() if key != "default"}
    for key in _TABLES:
        if key in result:
            result[key] = {name: _close(value) for name, value in result[key].items()}
    if "items" in result:
        result["items"] = _close(result["items"])
    if "anyOf" in result:
        result["anyOf"] = [_close(option) for option in result["anyOf"]]
    if result.get("type") == "object" or "properties" in result:
        _close_object(result)
    return result


def _close_object(schema: dict[str, Any]) -> None:
    properties = schema.setdefault("properties", {})
    if schema.setdefault("additionalProperties", False) is not False:
        raise _NotStrict
    required = set(schema.get("required", ()))
    if any(name not in required and not _nullable(value) for name, value in properties.items()):
        raise _NotStrict
    if required - properties.keys():
        raise _NotStrict
    schema["required"] = list(properties)


def _nullable(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return (
        kind == "null"
        or (isinstance(kind, list) and "null" in kind)
        or any(isinstance(option, Mapping) and _nullable(option) for option in schema.get("anyOf", ()))
    )
