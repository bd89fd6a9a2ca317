"""Types and schemas as people write them, and what of each llguidance can't hold an answer to.

Each is what `output=` takes, and the keywords that a note has to name; none where all of it is enforced.
"""

from __future__ import annotations

import datetime as dt
import fractions
import ipaddress
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

from pydantic import (
    AwareDatetime,
    Base64Bytes,
    Base64UrlBytes,
    BaseModel,
    Field,
    IPvAnyAddress,
    Json,
    NaiveDatetime,
    SecretBytes,
    SecretStr,
    StringConstraints,
)
from pydantic.types import UUID1, UUID4, UUID5, UUID7
from typing_extensions import TypedDict


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=0, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    name: Annotated[str, Field(max_length=5)]


class Pair(NamedTuple):
    x: int
    y: str


class Address(TypedDict):
    city: str
    zip: NotRequired[Annotated[str, Field(pattern="^[0-9]{5}$")]]


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Tagged(BaseModel):
    tags: set[str]
    place: str


class Everything(BaseModel):
    when: NaiveDatetime
    id: UUID4
    home: Path
    key: SecretStr
    sums: dict[Literal["net", "gross"], int]
    raw: bytes


def v(**schema: Any) -> dict[str, Any]:
    """A schema of an object with the one property `v`."""
    return {"type": "object", "properties": {"v": schema}, "required": ["v"], "additionalProperties": False}


def obj(**schema: Any) -> dict[str, Any]:
    return {"type": "object", **schema}


MONEY = Annotated[Decimal, Field(max_digits=5, decimal_places=2)]
TWO = {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "additionalProperties": False}

KINDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    # collections
    "list[str]": (list[str], ()),
    "set[str]": (set[str], ("uniqueItems",)),
    "frozenset[int]": (frozenset[int], ("uniqueItems",)),
    "a set in a model": (Tagged, ("uniqueItems",)),
    "set of at least two": (Annotated[set[int], Field(min_length=2)], ("uniqueItems",)),
    "tuple[int, str]": (tuple[int, str], ()),
    "tuple[int, ...]": (tuple[int, ...], ()),
    "NamedTuple": (Pair, ()),
    "Sequence[int]": (Sequence[int], ()),
    "Iterable[int]": (Iterable[int], ()),
    "list of one to three": (Annotated[list[int], Field(min_length=1, max_length=3)], ()),
    "dict[str, int]": (dict[str, int], ()),
    "Mapping[str, float]": (Mapping[str, float], ()),
    "dict[Literal, int]": (dict[Literal["a", "b"], int], ()),
    "dict[Enum, int]": (dict[Colour, int], ()),
    "dict[int, str]": (dict[int, str], ()),
    "dict[bool, int]": (dict[bool, int], ()),
    "dict[UUID, int]": (dict[uuid.UUID, int], ()),
    "dict[date, int]": (dict[dt.date, int], ()),
    "dict of short keys": (dict[Annotated[str, Field(min_length=1, max_length=3)], int], ()),
    "dict of keys with a pattern": (dict[Annotated[str, Field(pattern="^[a-c]+$")], int], ()),
    # scalars
    "int": (int, ()),
    "float": (float, ()),
    "bool": (bool, ()),
    "None or int": (int | None, ()),
    "int of 64 bits": (Annotated[int, Field(ge=-(2**63), le=2**63 - 1)], ("m",)),
    "unsigned of 64 bits": (Annotated[int, Field(ge=0, lt=2**64)], ()),
    "float up to 1e308": (Annotated[float, Field(le=1e308)], ("maximum",)),
    "multiple of 5": (Annotated[int, Field(multiple_of=5)], ()),
    "Decimal": (Decimal, ()),
    "Decimal with digits and places": (MONEY, ()),
    "Decimal with digits": (Annotated[Decimal, Field(max_digits=5)], ()),
    "Decimal with places": (Annotated[Decimal, Field(decimal_places=2)], ()),
    "Decimal within bounds": (Annotated[Decimal, Field(ge=0, lt=100, decimal_places=2)], ()),
    "Fraction": (fractions.Fraction, ()),
    "bytes": (bytes, ()),
    "Path": (Path, ()),
    "SecretStr": (SecretStr, ()),
    "SecretBytes": (SecretBytes, ()),
    "Base64Bytes": (Base64Bytes, ()),
    "Base64UrlBytes": (Base64UrlBytes, ()),
    "UUID": (uuid.UUID, ()),
    "UUID1": (UUID1, ()),
    "UUID4": (UUID4, ()),
    "UUID5": (UUID5, ()),
    "UUID7": (UUID7, ()),
    "datetime": (dt.datetime, ()),
    "NaiveDatetime": (NaiveDatetime, ()),
    "AwareDatetime": (AwareDatetime, ()),
    "time": (dt.time, ()),
    "date": (dt.date, ()),
    "timedelta": (dt.timedelta, ()),
    "IPv4Address": (ipaddress.IPv4Address, ()),
    "IPv4Interface": (ipaddress.IPv4Interface, ()),
    "IPv6Address": (ipaddress.IPv6Address, ()),
    "IPv6Network": (ipaddress.IPv6Network, ("format 'ipv6network'",)),
    "IPvAnyAddress": (IPvAnyAddress, ()),
    "Json[int]": (Json[int], ("contentSchema",)),
    "re.Pattern": (re.Pattern, ("format 'regex'",)),
    "Any": (Any, ()),
    # texts
    "short text": (Annotated[str, Field(min_length=1, max_length=3)], ()),
    "text with a pattern": (Annotated[str, StringConstraints(pattern="^[A-Z]{2}[0-9]+$")], ()),
    "password rules": (
        v(type="string", pattern=r"^(?=.*[0-9])(?=.*[a-z])[a-z0-9]{4,8}$"),
        ("look-around in pattern",),
    ),
    "not this word": (v(type="string", pattern="^(?!root$)[a-z]{1,8}$"), ("look-around in pattern",)),
    "a whole word": (v(type="string", pattern=r"^\bfoo\b$"), ("look-around in pattern",)),
    "a back reference": (v(type="string", pattern=r"^(a|b)\1$"), ("pattern",)),
    "a regular expression": (re.compile(r"[A-Z]{2}\d+"), ()),
    "a regular expression with look-ahead": (re.compile(r"(?=.*\d)[a-z\d]{2,4}"), ("look-around in the pattern",)),
    "choices": (["red", "blue"], ()),
    "choices of control characters": (["\x16", "b"], ()),
    "literals with control characters": (v(enum=["\x16", "\x1b[0m", 'a"\\']), ()),
    # unions, enums, nesting
    "Enum": (Colour, ()),
    "IntEnum": (Level, ()),
    "Literal of kinds": (Literal[1, "a", True, None], ()),
    "union": (int | list[str], ()),
    "discriminated union": (Annotated[Cat | Dog, Field(discriminator="kind")], ()),
    "TypedDict": (Address, ()),
    "recursive model": (Node, ()),
    "many at once": (Everything, ()),
    # raw schemas
    "uniqueItems that is false": (v(type="array", items={"type": "integer"}, maxItems=2, uniqueItems=False), ()),
    "contains": (v(type="array", items={"type": "integer"}, maxItems=3, contains={"const": 1}), ("contains",)),
    "a vendor's format": (v(type="string", format="acme-id"), ("format 'acme-id'",)),
    "an idn-email": (v(type="string", format="idn-email"), ("format 'idn-email'",)),
    "a json-pointer": (v(type="string", format="json-pointer"), ()),
    "formats of numbers": (v(type="integer", format="int32"), ()),
    "OpenAPI's extras": (v(type="string", maxLength=3, nullable=True, deprecated=True, example="a"), ()),
    "not": (v(type="string", **{"not": {"const": ""}}), ("not",)),
    "if and then": (
        obj(**TWO, **{"if": {"required": ["a"]}, "then": {"required": ["b"]}}),
        ("if", "then"),
    ),
    "if by itself": (obj(**TWO, **{"if": {"required": ["a"]}}), ()),
    "dependentRequired": (obj(**TWO, dependentRequired={"a": ["b"]}), ("dependentRequired",)),
    "minProperties of a closed object": (obj(**TWO, minProperties=1), ()),
    "minProperties of an open object": (
        obj(properties={"a": {"type": "integer"}}, minProperties=2),
        ("minProperties",),
    ),
    "maxProperties beside required": (obj(**TWO, required=["a"], maxProperties=1), ("maxProperties",)),
    "oneOf of kinds": (v(oneOf=[{"type": "integer"}, {"type": "null"}]), ()),
    "oneOf by a tag": (
        v(
            oneOf=[
                {"type": "object", "properties": {"t": {"const": t}}, "required": ["t"], "additionalProperties": False}
                for t in ("a", "b")
            ]
        ),
        (),
    ),
    "oneOf that overlaps": (
        v(oneOf=[{"type": "integer", "minimum": 0, "maximum": 9}, {"type": "integer", "multipleOf": 2}]),
        ("oneOf",),
    ),
    "unevaluatedProperties": (
        {"type": "object", "properties": {"a": {"type": "integer"}}, "unevaluatedProperties": False},
        (),
    ),
    "unevaluatedProperties beside allOf": (
        obj(allOf=[{"properties": {"a": {"type": "integer"}}}], unevaluatedProperties=False),
        ("unevaluatedProperties",),
    ),
    "propertyNames with a pattern": (
        obj(propertyNames={"pattern": "^[xy]$"}, additionalProperties={"type": "null"}),
        (),
    ),
    "propertyNames beside properties": (
        obj(**{**TWO, "additionalProperties": {"type": "integer"}}, propertyNames={"enum": ["a", "c"]}),
        (),
    ),
    "patternProperties that overlap": (
        obj(patternProperties={"^x": {"type": "integer"}, "y$": {"type": "integer"}}, additionalProperties=False),
        ("patternProperties",),
    ),
    "patternProperties with look-around": (
        obj(patternProperties={"^(?!_)[a-z]$": {"type": "integer"}}, additionalProperties=False),
        ("look-around in patternProperties",),
    ),
    "definitions of draft 7": (
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"n": {"type": "integer", "minimum": 0, "maximum": 99}},
            "type": "object",
            "properties": {"a": {"$ref": "#/definitions/n"}},
            "required": ["a"],
            "additionalProperties": False,
        },
        (),
    ),
    "multipleOf 0.01": (v(type="number", minimum=0, maximum=100, multipleOf=0.01), ()),
}
