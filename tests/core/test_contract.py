"""What an answer must be: every kind of output, how it is asked for, how it is read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field, field_validator
from typing_extensions import TypedDict

from helpers.each import each
from helpers.ids import shown
from rung import Ladder, Rung
from rung.checks import that
from rung.contract import compile_output
from rung.errors import ContractError
from rung.testing import ScriptedTier


class Item(BaseModel):
    name: str
    price: float


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Node(BaseModel):
    value: int
    children: list[Node] = []


@dataclass
class Point:
    x: int
    y: int


class Address(TypedDict):
    city: str


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


def is_upper(text: str) -> bool:
    return text.isupper()


def upper(text: str) -> str:
    if not text.isupper():
        raise ValueError("must be in capitals")
    return text


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
NO_TITLE = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
LISTS = {"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}}
TREE = {"type": "array", "items": {"$ref": "#"}}


def run(text, output, **settings):
    return Ladder(Rung(ScriptedTier("small", text), repairs=0)).run("Go on, then.", output, **settings)


@each(
    ("output", "text", "value"),
    [
        (Item, '{"name": "tea", "price": 2}', Item(name="tea", price=2.0)),
        (Point, '{"x": 1, "y": 2}', Point(1, 2)),
        (Address, '{"city": "Oslo"}', {"city": "Oslo"}),
        (Node, '{"value": 1, "children": [{"value": 2}]}', Node(value=1, children=[Node(value=2)])),
        (Annotated[str, AfterValidator(upper)], "  FRANK HERBERT\n", "FRANK HERBERT"),
        (Annotated[str, Field(max_length=3)], '{"value": "abc"}', "abc"),
        (list[Item], '{"value": [{"name": "tea", "price": 2}]}', [Item(name="tea", price=2.0)]),
        (list[Item], '[{"name": "tea", "price": 2}]', [Item(name="tea", price=2.0)]),
        (dict[str, int], '{"value": 3}', {"value": 3}),
        (tuple[int, str], '{"value": [1, "a"]}', (1, "a")),
        (Literal["yes", "no"], '"yes"', "yes"),
        (Literal["", "yes"], '{"value": ""}', ""),
        (Literal[1, 2], '{"value": 2}', 2),
        (Colour, "red", Colour.RED),
        (Colour, '{"value": "blue"}', Colour.BLUE),
        (Level, '{"value": 2}', Level.HIGH),
        (int, '{"value": 42}', 42),
        (int, "42", 42),
        (bool, '{"value": false}', False),
        (int | None, '{"value": null}', None),
        (date, '{"value": "2024-03-05"}', date(2024, 3, 5)),
        (Decimal, '{"value": "1.10"}', Decimal("1.10")),
        (int | str, '{"value": "a"}', "a"),
        (Cat | Dog, '{"value": {"kind": "dog", "name": "Rex"}}', Dog(kind="dog", name="Rex")),
        (Pet, '{"value": {"kind": "cat", "lives": 9}}', Cat(kind="cat", lives=9)),
        (NO_TITLE, '{"a": 1}', {"a": 1}),
        (LISTS, '{"value": [1, 2]}', [1, 2]),
        (LISTS, "[1, 2]", [1, 2]),
        (TREE, '{"value": [[], [[]]]}', [[], [[]]]),
        ({"type": "integer"}, '{"value": 7}', 7),
        ({"enum": [1, "a", None]}, '{"value": null}', None),
        ({}, '{"value": [1]}', [1]),
        (re.compile(r"[A-Z]{2}\d+"), " AB12 ", "AB12"),
        (re.compile(r"[A-Z]{2}\d+"), '{"value": "AB12"}', "AB12"),
        (["red", "blue"], "red\n", "red"),
        ({"red", "blue"}, '"blue"', "blue"),
        (None, " Paris. ", "Paris."),
        (str, " Paris. ", "Paris."),
    ],
    ids=shown,
)
def test_each_kind_of_output_is_read_as_a_value(output, text, value):
    outcome = run(text, output)
    assert outcome.unwrap() == value
    assert type(outcome.value) is type(value)
    assert outcome.text == text


@each(
    ("output", "text", "path"),
    [
        (Item, '{"name": "tea"}', "price"),
        (Node, '{"value": 1, "children": [{"value": "x"}]}', "children[0].value"),
        (list[Item], '{"value": [{"name": "tea", "price": "dear"}]}', "[0].price"),
        (Literal["yes", "no"], "maybe", ""),
        (Colour, "green", ""),
        (int, '{"value": "many"}', ""),
        (NO_TITLE, '{"a": "b"}', "a"),
        (TREE, '{"value": [[], [1]]}', "[1][0]"),
        (re.compile("[A-Z]+"), "abc", ""),
        (["red", "blue"], "green", ""),
        (Item, "certainly!", ""),
        (Item, '{"name": "tea", "price": NaN}', ""),
        (Item, "[" * 100_000, ""),
        (TREE, "[" * 600 + "]" * 600, ""),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_does_not_fit_is_rejected_with_the_field(output, text, path):
    outcome = run(text, output)
    assert not outcome.accepted
    issues = outcome.attempts[0].issues
    assert [i.path for i in issues] == [path]
    assert {i.code for i in issues} == {"schema"}


def test_every_fault_of_an_answer_is_told_not_only_the_first():
    assert len(run('{"price": "dear"}', Item).attempts[0].issues) == 2


@pytest.mark.parametrize(
    "fenced",
    ['```json\n{"a": 1}\n```', '```\n{"a": 1}\n```', '\n```JSON\n{"a":\n 1}\n```\n', '```json\n{"a": 1}```'],
)
def test_json_in_one_code_fence_is_read(fenced):
    assert run(fenced, NO_TITLE).value == {"a": 1}


@each("output", [int, list[Item], Literal["a"], Pet, LISTS, TREE, re.compile("a"), ["a"], Item])
def test_what_decoding_enforces_always_has_an_object_at_its_root(output):
    shape = compile_output(output).shape
    assert shape.schema["type"] == "object"
    assert json.loads(json.dumps(shape.schema)) == shape.schema


def test_plain_text_and_validated_text_leave_decoding_free_and_need_no_instructions():
    for output in (None, str, Annotated[str, AfterValidator(upper)]):
        tier = ScriptedTier("small", "PARIS")
        Ladder(tier).run("Capital of France?", output)
        assert tier.calls[0].shape is None
        assert [m.role for m in tier.calls[0].messages] == ["user"]


def test_the_kinds_that_decoders_know_keep_their_kind():
    assert compile_output(["a", "b"]).shape.choices == ("a", "b")
    assert compile_output(Literal["a", "b"]).shape.kind == "choice"
    assert compile_output(Colour).shape.choices == ("red", "blue")
    assert compile_output(re.compile("a+")).shape.pattern == "a+"
    assert compile_output(Item).shape.kind == "json"


def test_a_types_objects_are_closed_and_a_raw_schema_stays_as_it_was_written():
    assert compile_output(Item).shape.schema["additionalProperties"] is False
    assert compile_output(NO_TITLE).shape.schema == NO_TITLE


def test_a_discriminated_union_becomes_anyof_which_decoders_know():
    assert "oneOf" not in json.dumps(compile_output(Pet).shape.schema)


def test_the_model_is_told_what_to_answer_in_the_system_turn():
    tier = ScriptedTier("small", '{"name": "tea", "price": 2}')
    Ladder(tier).run("What is it?", Item, system="You sell drinks.")
    system, user = tier.calls[0].messages
    assert system.role == "system"
    assert system.text.startswith("You sell drinks.")
    assert '"price":{"type":"number"}' in system.text
    assert user.text == "What is it?"


def test_what_vouches_for_an_answer_is_said():
    assert run("hello", None).checked_by == ()
    assert run("1", int).checked_by == ("schema",)
    assert run("HELLO", Annotated[str, AfterValidator(upper)]).checked_by == ("type",)
    assert run("1", int, validators=[that(lambda v: v > 0)]).checked_by == ("schema", "check:<lambda>")


# --- misuse ----------------------------------------------------------------------------------------------------------


class Priced(BaseModel):
    total: int

    @field_validator("total")
    @classmethod
    def positive(cls, total: int) -> bool:
        return total > 0


class Basket(BaseModel):
    lines: list[Priced]


class Forgetful(BaseModel):
    total: int

    @field_validator("total")
    @classmethod
    def look(cls, total: int) -> None:
        assert total


@each(
    ("output", "text", "name"),
    [
        (Annotated[str, AfterValidator(is_upper)], "FRANK", "is_upper"),
        (Annotated[int, AfterValidator(lambda v: v > 0)], "3", "<lambda>"),
        (list[Annotated[float, AfterValidator(lambda v: v > 0)]], "[3]", "<lambda>"),
        (Annotated[Item, AfterValidator(lambda item: item.price > 0)], '{"name": "a", "price": 1}', "<lambda>"),
        (Annotated[Item, AfterValidator(lambda item: None)], '{"name": "a", "price": 1}', "<lambda>"),
        (Priced, '{"total": 3}', "positive"),
        (Basket, '{"lines": [{"total": 3}]}', "positive"),
        (Forgetful, '{"total": 3}', "look"),
    ],
    ids=shown,
)
def test_a_pydantic_validator_that_returns_no_value_is_named_with_the_mend(output, text, name):
    with pytest.raises(ContractError) as raised:
        run(text, output)
    assert f"the validator {name} returned something" in str(raised.value)
    assert f"rung.checks.that({name})" in str(raised.value)


def test_a_bool_or_none_that_the_type_allows_is_no_misuse():
    class Switch(BaseModel):
        on: bool
        since: int = None  # pydantic lets a default be anything
        until: int | None = 5

        @field_validator("on", "until")
        @classmethod
        def same(cls, value):
            return value

    assert run('{"on": true, "until": null}', Switch).value.until is None
    assert run("3", Annotated[bool, AfterValidator(bool)]).value is None


@each(
    ("output", "says"),
    [
        (object(), "can't be an output"),
        (print, "can't be an output"),
        (type("Plain", (), {}), "can't be an output"),
        (3, "can't be an output"),
        ([], "choices must be different strings"),
        (["a", "a"], "choices must be different strings"),
        (["a", ""], "choices must be different strings"),
        ({1, "a"}, "choices must be different strings"),
        (re.compile("a", re.IGNORECASE), "flags"),
        (re.compile(b"a"), "bytes"),
    ],
    ids=shown,
)
def test_what_cannot_be_an_output_is_a_contract_error(output, says):
    with pytest.raises(ContractError, match=says):
        run("a", output)


@each(
    ("schema", "says"),
    [
        ({"name": "string"}, "none of its keys is a keyword"),
        ({"type": "objct"}, "at type"),
        ({"type": "object", "required": "a"}, "at required"),
        ({"properties": {"a": {"pattern": "["}}}, "at properties/a/pattern"),
        ({"$schema": 5, "type": "object"}, r"\$schema"),
        ({"$ref": "https://example.org/schema"}, "outside itself"),
        ({"type": "array", "items": {"$ref": "other.json#/a"}}, "outside itself"),
        ({"$ref": "#/$defs/missing"}, "isn't in it"),
    ],
    ids=shown,
)
def test_a_schema_that_is_none_or_refers_outside_is_a_contract_error(schema, says):
    with pytest.raises(ContractError, match=says):
        run("{}", schema)


def test_a_contract_can_be_compiled_once_and_used_again():
    ladder = Ladder(ScriptedTier("small", '{"a": 1}', '{"a": 2}'))
    contract = ladder.contract(NO_TITLE)
    assert [ladder.run("?", contract).value["a"] for _ in range(2)] == [1, 2]
    assert ladder.contract(list[Item]) is ladder.contract(list[Item])


@each("text", ['{"a": 1}', '{"value": [1]}', "[1]", '{"value": {"a": 1}}', "17", "null"])
def test_json_that_isnt_the_wrapped_text_is_held_against_a_pattern_as_it_stands(text):
    assert run(text, re.compile(".*")).value == text
    assert not run(text, re.compile("x+")).accepted


@each(
    "output",
    [
        ["\ud800", "a"],
        re.compile("\ud800"),
        {"enum": ["\udfff"]},
        {"type": "object", "title": "\ud800"},
        {"\ud800": 1, "type": "object"},
        {"type": "object", "properties": {"\ud800": {}}},
        Annotated[str, Field(pattern="\ud800")],
        Annotated[str, Field(min_length=3, description="\ud800")],
        Literal["\ud800"],
    ],
)
def test_an_output_that_no_model_can_be_told_is_a_contract_error(output):
    with pytest.raises(ContractError):
        compile_output(output)


class Measured(BaseModel):
    value: float


class Named(BaseModel):
    value: str
    name: str


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"value": {"value": 2.5}}', Measured(value=2.5)),
        ('{"value": 2.5}', Measured(value=2.5)),
        ('{"value": {"value": "a", "name": "b"}}', Named(value="a", name="b")),
        ('{"value": "a", "name": "b"}', Named(value="a", name="b")),
    ],
)
def test_a_union_may_have_a_field_called_like_the_wrapping(text, value):
    assert run(text, Measured | Named).value == value


def test_so_may_a_raw_schema():
    schema = {"anyOf": [{"type": "object", "properties": {"value": {"type": "number"}}, "required": ["value"]}]}
    assert run('{"value": 2.5}', schema).value == {"value": 2.5}
    assert run('{"value": {"value": 2.5}}', schema).value == {"value": 2.5}


@pytest.mark.parametrize("output", [dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}])
def test_a_name_without_end_in_an_answer_is_not_told_whole(output):
    outcome = run(json.dumps({"x" * 50_000: {"y" * 50_000: "z" * 50_000}}), output)
    issues = [issue for attempt in outcome.attempts for issue in attempt.issues]
    assert issues
    assert all(len(str(issue)) < 1000 for issue in issues)
    assert all(issue.path.startswith("xxx") for issue in issues)
