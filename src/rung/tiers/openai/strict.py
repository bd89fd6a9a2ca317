"""Rewriting a schema for the API's strict mode.

Strict mode requires every object to be closed and every property to be required
(https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rung.errors import ContractError
from rung.schemas import HOLDERS, rebuilt, schemas_in

_HELD = frozenset({"$defs", "additionalProperties", "anyOf", "contentSchema", "definitions", "items", "properties"})
_REFUSED = (HOLDERS.keys() - _HELD) | {"dependentRequired", "maxProperties", "minProperties", "uniqueItems"}
"""Keywords that strict mode doesn't support. Of those that hold schemas it supports only `_HELD`."""


def closed(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """A schema for strict mode that accepts only what `schema` accepts; `None` if there is none.

    Objects that say nothing about further properties are closed. Optional properties become required if they may be
    null.
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
    # strict mode has no boolean schemas, except in the one place that must be false
    if not all(isinstance(it, Mapping) for at, it in schemas_in(schema) if at != ("additionalProperties",)):
        raise _NotStrict
    # A default is only a remark in JSON Schema, but strict mode refuses it.
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
