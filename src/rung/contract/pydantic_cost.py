"""Bounds on pydantic's work on an answer, because it can't be interrupted and blocks the interpreter."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, get_args

from pydantic import TypeAdapter
from pydantic_core import PydanticCustomError, SchemaValidator

from rung.contract.bounds import Watch, unrolled
from rung.contract.patterns import Beginning
from rung.contract.pydantic_parts import FIELDS, parts
from rung.errors import ContractError

MOST_STEPS = 200_000
"""Values that pydantic may look at for one answer, beyond one for each value in it. A union without a discriminator
tries all its members at each level, so a recursive one multiplies the work with each level. A failed try takes some
microseconds."""

_MOST_PARTS = 20_000
"""Parts of a type. A part that is named twice counts twice, because pydantic makes a validator for each."""

WATCH: ContextVar[Watch] = ContextVar("WATCH")
"""The watch that ends the patterns of the validation in progress."""

_INNER = ("schema", "lax_schema", "strict_schema", "json_schema", "python_schema")
_LISTS = frozenset({"list", "set", "frozenset", "generator"})


class Costly(Exception):
    """Validating would take more than `MOST_STEPS`."""


def refuse_unfolding(output: Any) -> None:
    """Refuse a type with too many parts, written out, for pydantic to make a validator of.

    Raises:
        ContractError: it has more than 20,000.
    """
    waiting, count = [output], 0
    while waiting:
        part = waiting.pop()
        count += 1
        if count > _MOST_PARTS:
            raise ContractError(
                "the type has too many parts", hint="give the parts that it repeats a model of their own"
            )
        waiting += get_args(part)


def refuse_costly(core_schema: Any, value: Any, values: int) -> None:
    """Count what pydantic would look at, without the looking: each part of the type meets each value once here.

    Args:
        core_schema: of the type.
        value: parsed JSON.
        values: roughly how many values it has.

    Raises:
        Costly: the count is above the bound.
    """
    _Count(core_schema, MOST_STEPS + values).of(value)


class _Count:
    def __init__(self, core_schema: Any, limit: int) -> None:
        self._named = {node["ref"]: node for node in parts(core_schema) if isinstance(node.get("ref"), str)}
        self._root, self._limit = core_schema, limit
        self._known: dict[tuple[int, int], int] = {}

    def of(self, value: Any) -> int:
        return unrolled(self._cost(self._root, value))

    def _cost(self, schema: Any, value: Any) -> Generator[Any, Any, int]:
        key = id(schema), id(value)
        cost = self._known.get(key)
        if cost is None:
            cost = 1
            self._known[key] = self._limit  # in case the type contains itself for the same value
            several: list[int] = []
            for inner, part in self._steps(schema, value):
                one: int = yield self._cost(inner, part)
                several.append(one)
                cost += one
                if cost > self._limit and schema["type"] not in ("tagged-union", "lax-or-strict", "json-or-python"):
                    raise Costly
            if several and schema["type"] in ("tagged-union", "lax-or-strict", "json-or-python"):
                cost = 1 + max(several)
            self._known[key] = cost
        return cost

    def _steps(self, schema: Any, value: Any) -> Iterator[tuple[Any, Any]]:
        """Pairs of a part of the type and the part of the value that it validates."""
        kind = schema["type"]
        if kind == "definition-ref":
            named = self._named.get(schema["schema_ref"])
            if named is not None:
                yield named, value
        elif kind == "union":
            yield from ((choice[0] if isinstance(choice, tuple) else choice, value) for choice in schema["choices"])
        elif kind == "tagged-union":
            yield from ((choice, value) for choice in schema["choices"].values() if isinstance(choice, dict))
        elif kind == "chain":
            yield from ((step, value) for step in schema["steps"])
        elif kind in _LISTS or kind == "tuple":
            items = schema.get("items_schema")
            if isinstance(value, list) and items is not None:
                some = items if isinstance(items, list) else [items]
                yield from ((inner, item) for item in value for inner in some)
        elif kind == "dict":
            if isinstance(value, dict) and "values_schema" in schema:
                yield from ((schema["values_schema"], inner) for inner in value.values())
        elif kind in FIELDS:
            yield from _of_fields(schema, value)
        else:
            yield from ((schema[key], value) for key in _INNER if isinstance(schema.get(key), dict))


def _of_fields(schema: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    if not isinstance(value, dict):
        return
    fields = schema["fields"]
    named = fields.items() if isinstance(fields, dict) else ((field["name"], field) for field in fields)
    for name, field in named:
        alias = field.get("validation_alias", name)
        if isinstance(alias, str):
            yield from ((field["schema"], value[key]) for key in {name, alias} if key in value)
        else:
            yield from ((field["schema"], inner) for inner in value.values())
    if isinstance(schema.get("extras_schema"), dict):
        yield from ((schema["extras_schema"], inner) for inner in value.values())


def stoppable(adapter: TypeAdapter[Any]) -> Callable[..., Any]:
    """A JSON validation whose patterns can be stopped, including those that pydantic runs on Python's `re`.

    Args:
        adapter: of the type.

    Raises:
        ContractError: a pattern can't be checked in bounded time.
    """
    core: Any = adapter.core_schema
    engines = [
        node for node in parts(core) if node.get("type") == "str" and isinstance(node.get("pattern"), str | re.Pattern)
    ]
    configs = [node["config"] for node in parts(core) if isinstance(node.get("config"), dict)]
    by_default = any(config.get("regex_engine") == "python-re" for config in configs)
    if not any(_is_python(node, by_default=by_default) for node in engines):
        return adapter.validator.validate_json
    changed = _without_re(core, by_default, {})
    try:
        # without it, pydantic reuses the prebuilt validators of the models inside
        return SchemaValidator(changed, _use_prebuilt=False).validate_json
    except TypeError:  # pydantic before it had `_use_prebuilt`
        return SchemaValidator(changed).validate_json


def _is_python(node: Mapping[str, Any], *, by_default: bool) -> bool:
    engine = node.get("regex_engine", "python-re" if by_default else "rust-regex")
    return isinstance(node["pattern"], re.Pattern) or engine == "python-re"


def _without_re(node: Any, by_default: bool, made: dict[int, Any]) -> Any:
    """A core schema with each pattern of `re` replaced by a function of rung's."""
    if id(node) in made:
        return made[id(node)]
    if isinstance(node, dict):
        copy: dict[str, Any] = {}
        made[id(node)] = copy
        for key, inner in node.items():
            copy[key] = (
                inner if key in ("metadata", "serialization", "config") else _without_re(inner, by_default, made)
            )
        if node.get("type") == "str" and "pattern" in node and _is_python(node, by_default=by_default):
            pattern = copy.pop("pattern")
            inner_copy = dict(copy)
            inner_copy.pop("ref", None)
            copy.clear()
            copy.update({"type": "function-after", "schema": inner_copy, "function": _matching(pattern)})
            if "ref" in node:
                copy["ref"] = node["ref"]
        return copy
    if isinstance(node, list):
        return [_without_re(inner, by_default, made) for inner in node]
    if isinstance(node, tuple):
        return tuple(_without_re(inner, by_default, made) for inner in node)
    return node


def _matching(pattern: str | re.Pattern[str]) -> dict[str, Any]:
    compiled = pattern if isinstance(pattern, re.Pattern) else re.compile(pattern)
    begins = Beginning(compiled)

    def match(text: str) -> str:
        if not begins(text, WATCH.get()):
            raise PydanticCustomError(
                "string_pattern_mismatch", "String should match pattern '{pattern}'", {"pattern": compiled.pattern}
            )
        return text

    return {"type": "no-info", "function": match}
