"""From what the caller asked for to what decoding can enforce: JSON Schemas with an object at the root."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rung.errors import ContractError
from rung.schemas import property_names, rebuilt, walk
from rung.types import Shape

VALUE = "value"
"""The one key of the object that wraps a scalar or a list for the model."""

_NOISE = frozenset({"title", "default", "examples", "$comment"})


def choice(options: tuple[str, ...]) -> Shape:
    """The shape for one of several strings."""
    return Shape("choice", _object({"type": "string", "enum": list(options)}), choices=options)


def regex(pattern: str) -> Shape:
    """The shape for a string that `pattern` matches from end to end."""
    return Shape("regex", _object({"type": "string", "pattern": f"^(?:{pattern})$"}), pattern=pattern)


def of(schema: Mapping[str, Any]) -> tuple[Shape, bool]:
    """The shape for a JSON Schema, and whether the value is wrapped in an object for the model."""
    root = _inline_root(dict(schema))
    if root.get("type") == "object":
        return Shape("json", _exclusive(root)), False
    return Shape("json", _exclusive(_object(root))), True


def strings(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The strings that a schema allows, if it is only an enumeration of strings; empty otherwise."""
    schema = _inline_root(dict(schema))
    options = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if set(schema) - {"$defs"} - _NOISE - {"enum", "const", "type", "description"} or not all(
        isinstance(o, str) and o.strip() for o in options
    ):
        return ()
    return tuple(options)


def is_plain_string(schema: Mapping[str, Any]) -> bool:
    """Whether a schema asks only for a string, which any text is."""
    return set(schema) - _NOISE - {"description"} == {"type"} and schema["type"] == "string"


def is_text(schema: Mapping[str, Any]) -> bool:
    """Whether a schema's values are strings in Python, too. A date, for one, is a string only in JSON."""
    root = _inline_root(dict(schema))
    return bool(strings(schema)) or (root.get("type") == "string" and "format" not in root)


def is_truth(schema: Mapping[str, Any]) -> bool:
    """Whether a schema asks only for true or false."""
    return set(schema) - _NOISE - {"description"} == {"type"} and schema["type"] == "boolean"


def names_in(schema: Mapping[str, Any]) -> frozenset[str] | None:
    """The names of all properties in a schema, at any depth; `None` if it allows others, too."""
    if schema in ({}, {"title": schema.get("title")}) or any(_is_open(node) for _, node in walk(schema)):
        return None
    return property_names(schema)


def _is_open(node: Any) -> bool:
    """Whether a schema allows properties that it doesn't name."""
    return isinstance(node, Mapping) and (
        node.get("additionalProperties", False) is not False
        or "patternProperties" in node
        or (node.get("type") == "object" and "properties" not in node)
    )


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema whose objects allow only the keys that they name, for types that would ignore any other key."""

    def close(node: dict[str, Any]) -> dict[str, Any]:
        if node.get("type") == "object" and "properties" in node:
            return {"additionalProperties": False, **node}
        return node

    return rebuilt(schema, close)


def compact(schema: Mapping[str, Any]) -> str:
    """A schema as text for a model: without titles, defaults and white space."""
    return json.dumps(rebuilt(schema, _quiet), separators=(",", ":"), ensure_ascii=False)


def undescribable(what: Any, error: Exception) -> ContractError:
    """The `ContractError` for a type that pydantic can't describe."""
    reason = str(error).splitlines()[0].split("For further information")[0].strip(" .")[:200]
    return ContractError(
        f"{str(getattr(what, '__name__', what))[:80]!r} can't be an output: {reason}",
        hint="use a pydantic model, a type that pydantic's TypeAdapter takes, or a JSON Schema",
    )


def _object(inner: dict[str, Any]) -> dict[str, Any]:
    """`inner` as the only property of an object. Its references still point at the same targets."""
    moved = f"#/properties/{VALUE}"

    def repoint(node: dict[str, Any]) -> dict[str, Any]:
        ref = node.get("$ref")
        if isinstance(ref, str) and re.match(r"#(?:/(?!(?:\$defs|definitions)/)|\Z)", ref):
            return {**node, "$ref": moved + ref[1:]}
        return node

    inner = rebuilt(inner, repoint)
    inner.pop("$id", None)  # references must resolve in the wrapping object
    shared: dict[str, Any] = {key: inner.pop(key) for key in ("$schema", "$defs", "definitions") if key in inner}
    return {
        **shared,
        "type": "object",
        "properties": {VALUE: inner},
        "required": [VALUE],
        "additionalProperties": False,
    }


def _inline_root(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its root replaced by the target, if the root is only a reference into `$defs`."""
    match = re.fullmatch(r"#/\$defs/([^/]+)", str(schema.get("$ref", "")))
    if match and match.group(1) in schema.get("$defs", {}):
        return {**schema["$defs"][match.group(1)], "$defs": schema["$defs"]}
    return schema


def _exclusive(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with `anyOf` instead of `oneOf` wherever a discriminator already makes the branches exclusive. Decoders
    know `anyOf`.
    """

    def relax(node: dict[str, Any]) -> dict[str, Any]:
        if "oneOf" in node and "discriminator" in node:
            return {**{k: v for k, v in node.items() if k not in ("oneOf", "discriminator")}, "anyOf": node["oneOf"]}
        return node

    return rebuilt(schema, relax)


def _quiet(node: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in node.items() if k not in _NOISE}
