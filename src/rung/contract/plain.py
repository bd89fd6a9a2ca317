"""A schema as plain JSON of bounded size, so that later code may walk it and write it down without limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rung.contract.parsing import cut
from rung.errors import ContractError

DEEPEST_SCHEMA = 100
"""Levels of lists and objects in a schema. People write up to forty. Each level is one recursion here and in whatever
reads the schema later, and decoders fail at little more."""
MOST_VALUES = 150_000
"""Values in a schema, including those of its enumerations. An object that stands in two places counts twice. The
largest schemas in use have some ten thousand values. Copying this many takes a second."""
MOST_CHARACTERS = 4_000_000
"""Characters of all texts and names in a schema."""

_LARGEST = 10**4300
_LONGEST_PLACE = 400
"""Characters of a place in a schema beyond which it isn't extended: some ten names, more than a message shows."""


def plain(schema: Any) -> Any:
    """Copy a schema as a tree of JSON, within the bounds of this module.

    Raises:
        ContractError: it isn't JSON, or exceeds a bound.
    """
    return _Copy().of(schema, 0, "")


class _Copy:
    def __init__(self) -> None:
        self._values = self._characters = 0

    def of(self, value: Any, depth: int, at: str) -> Any:
        self._values += 1
        if depth > DEEPEST_SCHEMA:
            raise ContractError(
                f"the schema is nested more than {DEEPEST_SCHEMA} levels deep", hint="move parts of it into $defs"
            )
        if self._values > MOST_VALUES:
            raise ContractError(f"the schema holds more than {MOST_VALUES:,} values")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, at)
        if isinstance(value, int):
            return self._int(int(value), at)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise ContractError(f"this is not a JSON Schema: {shown_place(at)} is a number that JSON doesn't have")
            return float(value)
        if isinstance(value, Mapping):
            copy = {}
            for key, inner in value.items():
                if not isinstance(key, str):
                    raise ContractError(
                        f"this is not a JSON Schema: a key at {shown_place(at)} is a {type(key).__name__}"
                    )
                copy[self._text(key, at)] = self.of(inner, depth + 1, f"{at}/{cut(key, 60)}" if depth < 10 else at)
            return copy
        if isinstance(value, list | tuple):
            return [self.of(inner, depth + 1, at) for inner in value]
        raise ContractError(
            f"this is not a JSON Schema: {shown_place(at)} is a {type(value).__name__}, which JSON doesn't have"
        )

    def _text(self, value: str, at: str) -> str:
        self._characters += len(value)
        if self._characters > MOST_CHARACTERS:
            raise ContractError(f"the schema has more than {MOST_CHARACTERS:,} characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ContractError(
                f"this is not a JSON Schema: {shown_place(at)} holds half of a surrogate pair"
            ) from None
        return str.__str__(value)

    def _int(self, value: int, at: str) -> int:
        if abs(value) >= _LARGEST:
            raise ContractError(f"this is not a JSON Schema: {shown_place(at)} is a number of too many digits")
        return value


def below(place: str, *steps: object) -> str:
    """The place of a part of a schema, for messages. Long names and long places are cut. Everything below a name has
    that name in its place, so a name of a million letters would be stored once for each schema below it.
    """
    if len(place) > _LONGEST_PLACE:
        return place
    return "/".join((place, *(cut(str(step), 60) for step in steps)))


def shown_place(place: str) -> str:
    """A place in a schema, as messages show it."""
    return place.strip("/") or "its root"
