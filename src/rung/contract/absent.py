"""Optional fields written as null. A small model that may leave a field out may make a value up instead. If it has
to write every field, and null for what isn't there, it decides at the value, behind the field's name.

Only the way in which an answer is written changes. The nulls are cut out before it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rung.schemas import followed, rebuilt, walk

_NAME = re.compile(r"[A-Za-z0-9_ .$-]+")
"""Names that JSON writes as they are, so that they can be found in an answer's text."""
_DEPENDING = frozenset(
    {"dependencies", "dependentRequired", "dependentSchemas", "maxProperties", "minProperties", "if", "not"}
)
"""Keywords that ask which fields an object has. With all of them there, they would mean something else."""

_OTHERWISE = frozenset({"enum", "const", "anyOf", "oneOf", "allOf", "if", "not", "$ref"})
"""Keywords beside a type that null would have to pass too."""


def nullable(schema: Mapping[str, Any]) -> frozenset[str]:
    """Names of the optional fields that can be written as null.

    A name counts only if it means the same wherever it stands: if a field of that name is required somewhere, or may be
    null by itself, a null in an answer would have two meanings. So none counts where an object may have names of its
    own choice.

    Args:
        schema: of an answer, with an object at its root.
    """
    optional: set[str] = set()
    other: set[str] = set()
    for _, node in walk(schema):
        if not isinstance(node, dict):
            continue
        if node.get("additionalProperties", False) is not False or "patternProperties" in node or _takes_any_name(node):
            return frozenset()
        fields = node.get("properties")
        needed = node.get("required", ())
        fields = fields if isinstance(fields, dict) else {}
        other.update(name for name in needed if name not in fields)  # as in anyOf: [{required: [a]}, {required: [b]}]
        for name, inner in fields.items():
            free = name not in needed and not _DEPENDING & node.keys() and _NAME.fullmatch(name)
            (other if not free or _may_be_null(inner, schema) else optional).add(name)
    return frozenset(optional - other)


def with_nulls(schema: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """A schema whose objects require the optional fields of these names, and allow null for them."""

    def change(node: dict[str, Any]) -> dict[str, Any]:
        fields = node.get("properties")
        if not isinstance(fields, dict) or not names & fields.keys():
            return node
        every = {name: _or_null(inner) if name in names else inner for name, inner in fields.items()}
        needed = [name for name in fields if name in names or name in node.get("required", ())]
        return {**node, "properties": every, "required": needed}

    return rebuilt(schema, change)


def without_nulls(text: str, names: frozenset[str]) -> str:
    """An answer without its fields of these names that are null. Everything else in it stays as it is.

    No text within the JSON is taken for a field: a quotation mark in a text has a backslash before it.
    """
    field = rf'"(?:{"|".join(map(re.escape, sorted(names)))})"\s*:\s*null\s*'
    text = re.sub(rf"(?<!\\){field},\s*", "", text)
    return re.sub(rf",?\s*(?<!\\){field}(?=\}})", "", text)


def filled(value: Any, schema: Any, names: frozenset[str], root: Mapping[str, Any]) -> Any:
    """A value as it is written with nulls: with every optional field of these names, in the order of the schema.

    Args:
        value: as JSON has it.
        schema: that it fits.
        names: of the fields that are written as null.
        root: the schema that references point into.
    """
    schema = followed(root, schema)
    if not isinstance(schema, dict):
        return value
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [filled(each, schema["items"], names, root) for each in value]
    if not isinstance(value, dict):
        return value
    for several in ("anyOf", "oneOf"):
        for branch in schema.get(several, ()):
            branch = followed(root, branch)
            if isinstance(branch, dict) and value.keys() <= branch.get("properties", {}).keys():
                return filled(value, branch, names, root)
    fields = schema.get("properties", {})
    there = {name: filled(value[name], fields[name], names, root) for name in fields if name in value}
    made = {name: there.get(name) for name in fields if name in there or name in names}
    return {**made, **{name: each for name, each in value.items() if name not in fields}}


def names_null(schema: Any) -> bool:
    """Whether a schema says by itself that null fits it, so that a model that reads it may be told so.

    Args:
        schema: of a field.
    """
    if not isinstance(schema, Mapping):
        return False
    kinds = schema.get("type", ())
    branches = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    return "null" in ([kinds] if isinstance(kinds, str) else kinds) or any(map(names_null, branches))


def _may_be_null(schema: Any, root: Mapping[str, Any]) -> bool:
    """Whether null fits a schema, or may: where that isn't plain from it, it counts as if it did."""
    schema = followed(root, schema)
    if not isinstance(schema, dict):
        return schema is not False
    kinds = schema.get("type")
    if kinds is not None:
        return "null" in ([kinds] if isinstance(kinds, str) else kinds)
    if "enum" in schema or "const" in schema:
        return None in schema.get("enum", [schema.get("const")])
    branches = schema.get("anyOf") or schema.get("oneOf")
    return not branches or any(_may_be_null(branch, root) for branch in branches)


def _takes_any_name(node: Mapping[str, Any]) -> bool:
    """Whether an object of this schema has no fields that are listed."""
    return node.get("type") == "object" and not {"properties", *_OTHERWISE} & node.keys()


def _or_null(schema: Any) -> Any:
    """A schema that also allows null. What describes the field stays in front."""
    if isinstance(schema, dict) and isinstance(schema.get("type"), str) and not _OTHERWISE & schema.keys():
        return {**schema, "type": [schema["type"], "null"]}
    about = {"description": schema["description"]} if isinstance(schema, dict) and "description" in schema else {}
    return {**about, "anyOf": [schema, {"type": "null"}]}
