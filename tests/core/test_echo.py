"""A schema given back, with or without values in it, is no answer; what a schema leaves open is said."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from helpers.each import each
from rung import Ladder, Rung
from rung.testing import ScriptedTier

NAME = {"type": "object", "properties": {"name": {"type": "string"}}}
ROOMS = {"type": "object", "properties": {"rooms": {"type": "array", "items": NAME}, "home": {"$ref": "#/$defs/home"}}}
ROOMS["$defs"] = {"home": {"type": "object", "properties": {"city": {}}}}


class Person(BaseModel):
    name: str | None = None


class Table(BaseModel):
    properties: dict[str, str] = {}


def run(text, output):
    return Ladder(Rung(ScriptedTier("small", text), repairs=0)).run("Who is it?", output)


@each(
    "text",
    [
        '{"type": "object", "properties": {"name": "Ann"}}',
        '{"properties": {"name": "Ann"}}',
        '{"type": "object", "properties": {"name": {"type": "string"}}}',
        '{"type": "object", "properties": {"name": {"type": "string", "value": "Ann"}}, "required": ["name"]}',
    ],
)
@each("output", [NAME, Person], ids=["schema", "type"])
def test_a_schema_with_values_in_it_is_an_issue_that_says_what_to_give(text, output):
    outcome = run(text, output)
    assert not outcome.accepted
    assert "the keys name" in outcome.attempts[0].issues[0].message


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"rooms": [{"name": "a"}, {"type": "object", "properties": {"name": "b"}}]}', "rooms[1]"),
        ('{"home": {"properties": {"city": "Bonn"}}}', "home"),
    ],
)
def test_it_is_found_wherever_it_stands(text, path):
    assert [issue.path for issue in run(text, ROOMS).attempts[0].issues] == [path]


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ('{"name": "Ann", "type": "object"}', NAME),
        ('{"name": "Ann", "properties": {"colour": "red"}}', NAME),
        ('{"properties": {"name": "x"}}', Table),
        ('{"properties": {"properties": "x"}}', Table),
    ],
)
def test_other_keys_are_the_schemas_business(text, output):
    assert run(text, output).accepted


def test_what_a_raw_schema_leaves_open_is_noted_and_what_it_says_is_not():
    schema = {"type": "object", "properties": {"n": {"type": "number"}, "m": {"type": "integer", "minimum": 0}}}
    notes = run('{"n": 1}', schema).attempts[0].notes
    assert any("requires none" in note for note in notes)
    assert any("no bounds for n:" in note for note in notes)
    said = {"type": "object", "properties": {"m": {"type": "integer", "minimum": 0}}, "required": ["m"]}
    assert run('{"m": 1}', said).attempts[0].notes == ()
    assert run('{"name": "Ann"}', Person).attempts[0].notes == ()
