"""Optional fields are written as null and cut out again, and nothing else of an answer changes."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from helpers.each import each
from helpers.thorough import times
from rung.checks import command, quoted
from rung.contract import compile_output
from rung.contract.absent import filled, nullable, with_nulls, without_nulls
from rung.contract.bounds import Watch
from rung.contract.compiled import compiled
from rung.contract.evaluation import issues
from rung.limits import Cancel, Deadline
from rung.types import Candidate, CheckContext, Message, PromptForm, Request

NAMES = ("a", "b c", "d")


def an_object(required=(), **fields):
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


TEXT, NUMBER = {"type": "string"}, {"type": "number"}
INNER = an_object(["n"], n=NUMBER, why=TEXT)
NESTED = {**an_object(a=TEXT, parts={"type": "array", "items": {"$ref": "#/$defs/part"}}), "$defs": {"part": INNER}}


@each(
    ("schema", "names"),
    [
        (an_object(["a"], a=TEXT, b=NUMBER), {"b"}),
        (an_object(a={"type": ["string", "null"]}, b={"anyOf": [TEXT, {"type": "null"}]}), set()),
        (an_object(a={}, b=True, c={"enum": ["x", None]}, d={"const": None}), set()),
        (an_object(a={"enum": ["x"]}, b={"$ref": "#/$defs/x"}) | {"$defs": {"x": TEXT}}, {"a", "b"}),
        (NESTED, {"a", "parts", "why"}),
        # one name that is optional here and required there would have two meanings
        (an_object(["n"], n=an_object(x=TEXT), x=TEXT, y=an_object(["x"], x=TEXT)), {"y"}),
        (an_object(a=TEXT, b=TEXT) | {"minProperties": 1}, set()),
        (an_object(**{'say "a"': TEXT, "é": TEXT}), set()),
        ({"type": "object"}, set()),
    ],
)
def test_a_field_can_be_written_as_null_if_null_then_means_one_thing(schema, names):
    assert nullable(schema) == names


@each(
    ("written", "read"),
    [
        ('{"a": null, "d": 1}', '{"d": 1}'),
        ('{"d": 1, "a": null}', '{"d": 1}'),
        ('{"d": 1, "a": null, "b c": null}', '{"d": 1}'),
        ('{"a":null,"b c":null}', "{}"),
        ('{ "a" : null }', "{}"),
        ('{"e": [{"a": null}, {"a": "x"}]}', '{"e": [{}, {"a": "x"}]}'),
        ('{"e": null}', '{"e": null}'),
        ('{"d": "\\"a\\": null, \\"b c\\": null"}', '{"d": "\\"a\\": null, \\"b c\\": null"}'),
        ("null", "null"),
        ('```json\n{"a": null, "d": 1}\n```', '```json\n{"d": 1}\n```'),
        ('{"a": nul', '{"a": nul'),
    ],
)
def test_nulls_are_cut_out_of_an_answer_and_nothing_else(written, read):
    assert without_nulls(written, frozenset(NAMES)) == read


@each(
    "field",
    [
        TEXT,
        {"enum": ["x"]},
        {"const": 1},
        {"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]},
        {"type": "string", "not": {"const": "a"}},
        {"$ref": "#/$defs/x"},
        INNER,
    ],
)
def test_null_fits_every_field_that_is_written_as_null(field):
    schema = an_object(it=field) | {"$defs": {"x": TEXT}}
    names = nullable(schema)
    assert "it" in names
    assert not issues(compiled(with_nulls(schema, names)), {"it": None}, Watch(Deadline(), Cancel()))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=4),
    max_leaves=12,
)


def dropped(value):
    """The value without the fields that are null, told apart by Python's own reader of JSON."""
    if isinstance(value, list):
        return [dropped(each) for each in value]
    if isinstance(value, dict):
        return {name: dropped(each) for name, each in value.items() if not (each is None and name in NAMES)}
    return value


@given(json_values, st.booleans())
@settings(max_examples=times(200))
def test_cutting_nulls_out_of_the_text_is_leaving_them_out_of_the_value(value, spaced):
    text = json.dumps(value, indent=1 if spaced else None, ensure_ascii=spaced)
    assert json.loads(without_nulls(text, frozenset(NAMES))) == dropped(value)


@given(st.lists(st.fixed_dictionaries({"n": st.integers()}, optional={"why": st.text()}), max_size=3), st.booleans())
@settings(max_examples=times(50))
def test_a_value_filled_with_nulls_fits_the_schema_with_nulls_and_is_itself_again_without(parts, some):
    value = {"a": "x", "parts": parts} if some else {"parts": parts}
    names = nullable(NESTED)
    written = filled(value, NESTED, names, NESTED)
    assert list(written) == ["a", "parts"]
    assert not issues(compiled(with_nulls(NESTED, names)), written, Watch(Deadline(), Cancel()))
    assert json.loads(without_nulls(json.dumps(written), names)) == value


OPEN = {"type": "object", "additionalProperties": {"type": ["string", "null"]}}


@pytest.mark.parametrize(
    "schema",
    [
        {**an_object(a=TEXT, b=TEXT), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {**an_object(a=TEXT, b=TEXT), "allOf": [{"required": ["a", "b"]}]},
        an_object(a=TEXT, meta=OPEN),
        an_object(["meta"], a=TEXT, meta={"type": "object"}),
        an_object(a=TEXT, meta={"type": "object", "patternProperties": {"^x": TEXT}}),
        {**an_object(a=TEXT), "additionalProperties": True},
    ],
)
def test_no_null_is_written_where_it_could_mean_something_else(schema):
    assert "a" not in nullable(schema)


class Meeting(BaseModel):
    at: datetime
    cost: Decimal
    room: str = ""


@pytest.mark.parametrize("form", [PromptForm(absent="null"), PromptForm(reason=True)], ids=["null", "reason"])
def test_a_type_is_told_in_the_words_for_a_model_and_not_in_those_for_decoding(form):
    own = compile_output(Meeting)
    formed = own.under(form)
    assert '"format":"date-time"' in own.told
    assert '"format":"date-time"' in formed.told
    assert len(formed.told) < len(own.told) + 120
    assert "pattern" in json.dumps(formed.shape.schema)


class Booking(BaseModel):
    people: int
    name: str = "nobody"
    note: str | None = None


@pytest.mark.parametrize("text", ['{"people": 2, "name": null, "note": null}', '{"people": 2}'])
def test_a_type_keeps_its_defaults_for_what_is_null(text):
    contract = compile_output(Booking).under(PromptForm(absent="null"))
    request = Request((Message("user", "For two."),))
    assert contract.shape.schema["required"] == ["people", "name"]
    assert contract.judge(Candidate(text), CheckContext(request, "small", text)).value == Booking(people=2)


GUEST = an_object(["people"], people=TEXT, date=TEXT, name=TEXT)
ASKED = "A table for two on Friday, please."


def judged(contract, text):
    context = CheckContext(Request((Message("user", ASKED),)), "small", text, shape=contract.shape)
    return contract.judge(Candidate(text), context)


@pytest.mark.parametrize(
    ("fields", "null"), [(("date",), ["date"]), (("people", "name"), ["name"]), ((), ["date", "name"])]
)
def test_an_optional_field_that_is_looked_up_is_written_as_null_where_it_is_absent(fields, null):
    contract = compile_output(GUEST, [quoted(*fields)])
    assert contract.shape.schema["required"] == ["people", *null]
    written = json.loads(contract.written({"people": "two"}))
    assert written == {"people": "two", **dict.fromkeys(null)}
    assert f'"{null[0]}":{{"type":["string","null"]}}' in contract.told
    assert judged(contract, json.dumps(written)).value == {"people": "two"}
    assert judged(contract, '{"people": "two"}').value == {"people": "two"}, "which no decoder allows, but a server may"


def test_a_field_within_a_field_counts_too():
    schema = an_object(guest=an_object(["name"], name=TEXT, street=TEXT))
    shape = compile_output(schema, [quoted("guest.street")]).shape
    assert shape.schema["required"] == ["guest"]
    assert json.dumps(shape.schema).count('"null"') == 2


@pytest.mark.parametrize(
    "validators", [[], [quoted("people")], [len], [quoted("date"), command("true")]],
    ids=["no check", "of a required field", "another check", "another check beside it"],
)  # fmt: skip
def test_other_contracts_leave_optional_fields_out(validators):
    contract = compile_output(GUEST, validators)
    assert contract.shape.schema == GUEST
    assert contract.told == compile_output(GUEST).told


def test_a_check_that_is_added_later_counts_too():
    looked_up = compile_output(GUEST).checked([quoted("date")])
    assert looked_up.shape.schema["required"] == ["people", "date"]
    assert looked_up.checked([len]).shape.schema == GUEST


@pytest.mark.parametrize(
    "form",
    [
        PromptForm(reason=True),
        PromptForm(absent="null"),
        PromptForm(wording="Like this: {fields}"),
        PromptForm(place="after"),
        PromptForm(reason=True, place="nowhere"),
    ],
)
def test_a_contract_with_nulls_of_its_own_is_the_same_in_every_form(form):
    contract = compile_output(GUEST, [quoted()]).under(form)
    value = {"people": "two", "date": "Friday"}
    written = json.loads(contract.written(value))
    assert written == {**value, "name": None}
    fields = contract.shape.schema["properties"]
    assert fields["name"]["type"] == ["string", "null"]
    said = {"reason": "it says so", **written} if "reason" in fields else written
    assert judged(contract, json.dumps(said)).value == value


def test_a_value_that_is_made_up_is_told_to_be_null():
    (issue,) = judged(compile_output(GUEST, [quoted("name")]), '{"people": "two", "name": "John Doe"}').issues
    assert issue.message.endswith("or write null if it isn't there")


def test_a_type_keeps_its_default_where_the_prompt_has_no_value():
    contract = compile_output(Booking, [quoted("name")])
    assert contract.shape.schema["required"] == ["people", "name"]
    assert judged(contract, '{"people": 2, "name": null}').value == Booking(people=2)
