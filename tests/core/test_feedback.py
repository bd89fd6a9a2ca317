"""What the next model is told of a rejected answer, and above all what it isn't: a small model copies what it sees."""

from __future__ import annotations

import json

import pytest

from helpers.each import each
from rung import Issue, Ladder, Message, Request, Rung
from rung.checks import quoted
from rung.contract import compile_output
from rung.testing import ScriptedTier
from rung.types import Candidate, CheckContext, PromptForm

SOURCE = "Sent by Lena Weiss on 30th of May."


def told(output, rejected, *validators, answer):
    """What a second tier is asked behind a rejected answer, and the issues as a person sees them."""
    second = ScriptedTier("second", answer)
    ladder = Ladder(Rung(ScriptedTier("first", rejected), repairs=0), second)
    outcome = ladder.run(SOURCE, output, validators=validators)
    assert outcome.accepted
    return second.calls[0].messages[-1].text, [str(issue) for issue in outcome.attempts[0].issues]


def field(**of):
    return {"type": "object", "properties": {"field": of}, "required": ["field"]}


@each(
    ("schema", "wrong", "quoted_as", "right", "says"),
    [
        (field(type="integer", maximum=12), 77, "77", 12, "field: it is greater than the maximum of 12"),
        (field(enum=["red", "blue"]), "mauve", '"mauve"', "red", 'field: it is not one of "red" or "blue"'),
        (field(type="string", pattern="^[A-Z]+$"), "mauve", '"mauve"', "RED", "field: it does not match"),
        (field(type="string", maxLength=3), "mauve", '"mauve"', "red", "field: it is longer than 3"),
        (field(type="array", items={"type": "integer"}), ["mauve"], '"mauve"', [1], "field[0]: it is not of type"),
        (field(type="array", maxItems=1), ["mauve", "pink"], '["mauve"', [1], "field: it has more than 1 item"),
        (
            field(anyOf=[{"type": "integer"}, {"type": "null"}]),
            "mauve",
            '"mauve"',
            1,
            "field: it is not valid under any",
        ),
    ],
)
def test_what_breaks_a_schema_is_told_without_the_value(schema, wrong, quoted_as, right, says):
    prompt, shown = told(schema, json.dumps({"field": wrong}), answer=json.dumps({"field": right}))
    assert says in prompt
    assert "mauve" not in prompt
    assert "77" not in prompt
    # a person is told it, in the place of "it"
    assert shown[0].startswith(f"{says.partition(': it')[0]}: {quoted_as}")


def test_what_does_not_occur_in_the_source_is_told_without_itself():
    prompt, shown = told(field(type="string"), '{"field": "May 30"}', quoted(), answer='{"field": "30th of May"}')
    assert "field: it does not occur in the source; copy it from there" in prompt
    assert "May 30" not in prompt
    assert shown == ["field: 'May 30' does not occur in the source; copy it from there"]


@pytest.mark.parametrize(
    ("kind", "required", "said"),
    [
        ("string", ["field"], "copy it from there"),
        ("string", [], "copy it from there, or write null if it isn't there"),
        (["string", "null"], ["field"], "copy it from there, or write null if it isn't there"),
        (["string", "null"], [], "copy it from there, or leave the field out if it isn't there"),
    ],
)
def test_what_else_a_field_may_be_is_told_with_what_does_not_occur_in_the_source(kind, required, said):
    schema = {**field(type=kind), "required": required}
    prompt, _ = told(schema, '{"field": "May 30"}', quoted(), answer='{"field": "30th of May"}')
    assert f"- field: it does not occur in the source; {said}\n" in prompt


@pytest.mark.parametrize(
    "required", [{"allOf": [{"type": "string"}]}, {"pattern": "."}, {"enum": ["Friday"]}], ids=["allOf", "bare", "enum"]
)
def test_null_is_advised_only_where_the_schema_says_so_itself(required):
    schema = {**field(**required), "required": ["field"]}
    contract = compile_output(schema, [quoted()])
    said = '{"field": "Friday"}'
    context = CheckContext(Request((Message("user", "Hi"),)), "small", said, shape=contract.shape)
    (issue,) = contract.judge(Candidate(said), context).issues
    assert issue.message.endswith("copy it from there")


@pytest.mark.parametrize(
    "optional",
    [{"type": "string"}, {"enum": ["Monday", "Friday"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}],
    ids=["text", "enum", "union"],
)
def test_in_a_form_with_nulls_a_made_up_value_is_told_to_be_one(optional):
    schema = {**field(**optional), "required": []}
    contract = compile_output(schema, [quoted()]).under(PromptForm(absent="null"))
    said = '{"field": "Friday"}'
    context = CheckContext(Request((Message("user", "Hi"),)), "small", said, shape=contract.shape)
    (issue,) = contract.judge(Candidate(said), context).issues
    assert issue.message.endswith("or write null if it isn't there")


def test_a_validator_says_what_it_quotes():
    def lower(value):
        return [Issue("", f"{value} is not in lower case", "", quotes=value)] if value != value.lower() else None

    prompt, shown = told(None, "MAUVE", lower, answer="mauve")
    assert "it is not in lower case" in prompt
    assert "MAUVE" not in prompt
    assert shown == ["MAUVE is not in lower case"]


@pytest.mark.parametrize("quotes", ["", "other", "case"])
def test_a_sentence_that_does_not_begin_with_the_value_is_told_as_it_is(quotes):
    prompt, _ = told(None, "X", lambda v: [Issue("", "wrong case", "", quotes)] if v == "X" else None, answer="x")
    assert "- wrong case\n" in prompt
