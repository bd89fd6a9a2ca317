"""A schema in the form that the API's strict mode takes.

Strict mode asks that every object is closed and every property required
(https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rung.errors import ContractError
from rung.schemas import HOLDERS, rebuilt, schemas_in

_HELD = frozenset({"$defs", "additionalProperties", "anyOf", "contentSchema", "definitions", "items", "properties"})
_REFUSED = (HOLDERS.keys() - _HELD) | {"dependentRequired", "maxProperties", "minProperties", "uniqueItems"}
"""Keywords that strict mode doesn't know: of those that hold schemas all but the few that it does."""


def closed(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """A schema for strict mode whose every answer fits `schema` too; `None` where there is none.

    Objects that say nothing about further properties are closed, and an optional property that may be null is required.

    Args:
        schema: a JSON Schema with an object at its root.
    """
    if "anyOf" in schema:
        return None
    try:
        return rebuilt(schema, _close)
    except (_NotStrict, ContractError):
        return None


class _NotStrict(Exception):
    pass


def _close(schema: dict[str, Any]) -> dict[str, Any]:
    if _REFUSED & schema.keys() or ("$ref" in schema and len(schema) > 1):
        raise _NotStrict
    # true and false are no schemas for strict mode, but for the one place that has to be false
    if not all(isinstance(it, Mapping) for at, it in schemas_in(schema) if at != ("additionalProperties",)):
        raise _NotStrict
    # A default is a remark in JSON Schema, and strict mode refuses it.
    schema.pop("default", None)
    if schema.get("type") == "object" or "properties" in schema:
        _close_object(schema)
    return schema


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
