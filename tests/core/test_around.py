"""One whole value with something around it is read; a part of a broken one, or one of several, never is."""

from __future__ import annotations

import json
import time
from enum import Enum
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from helpers.each import each
from helpers.thorough import times
from rung import Ladder, Rung
from rung.contract.parsing import Rejected, parse
from rung.testing import ScriptedTier

A = {"type": "object", "properties": {"a": {}}, "required": ["a"]}


class Sure(BaseModel):
    sure: bool


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def run(text, output, **settings):
    return Ladder(Rung(ScriptedTier("small", text), repairs=0)).run("Go on, then.", output, **settings)


@each(
    "text",
    [
        'Here you are: {"a": 1} Hope that helps!',
        '```json {"a": 1}```',
        '```{"a": 1}```',
        'Sure!\n```json\n{"a": 1}\n```\nAnything else?',
        '\ufeff{"a": 1}',
        '\ufeff```json\n{"a": 1}\n```',
        '{"a": 1}</s>',
        '{"a": 1}<|im_end|>\n',
        '{"a": 1}<|eot_id|><|endoftext|>',
        '<s>{"a": 1}',
        '{"a": 1}<｜end▁of▁sentence｜>',
        '{"a": 1}.',
        'json\n{"a": 1}',
        'The answer [1] is {"a": 1} (see {this}).',
        '**Answer:** `{"a": 1}`',
        '{"a": 1}\n\nThat is, {"a": 1}.',
        '```json\n{"a": 1}',
    ],
)
def test_one_object_with_something_around_it_is_read(text):
    outcome = run(text, A)
    assert outcome.value == {"a": 1}
    assert outcome.text == text


def test_a_text_may_hold_raw_line_breaks_and_tabs():
    assert run('{"a": "one\ntwo\tthree"}', A).value == {"a": "one\ntwo\tthree"}
    assert run('{"a": "one\r\ntwo"}', A).value == {"a": "one\r\ntwo"}


@each(
    "text",
    [
        '{"a": 1} or {"a": 2}',
        '```\n{"a": 1}\n```\n```\n{"a": 2}\n```',
        'Here: {"b": {"a": 1}',
        'Here: {"b": [{"a": 1}, ',
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": True}',
        "There is no answer.",
        '[{"a": 1}',
    ],
)
def test_a_part_of_a_broken_value_and_one_of_several_are_not_read(text):
    assert not run(text, A).accepted


def test_validation_decides_as_before():
    assert not run('Here you are: {"b": 1}', A).accepted
    assert not run('Here you are: {"sure": "perhaps"}', Sure).accepted


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e6, 1e6) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
PROSE = st.text(st.characters(codec="utf-8", exclude_characters='[]{}`"\\<|>'), max_size=20)


@settings(max_examples=times(150), derandomize=True, deadline=None, database=None)
@given(value=JSON, before=PROSE, after=PROSE, form=st.sampled_from(["{}", "```json\n{}\n```", "```{}```", "`{}`"]))
def test_whatever_the_prose_the_value_is_the_one_that_was_written(value, before, after, form):
    written = json.dumps({"a": value}, ensure_ascii=False)
    if "```" in written:
        return
    assert parse(before + form.replace("{}", written) + after, objects=True) == {"a": value}


@settings(max_examples=times(150), derandomize=True, deadline=None, database=None)
@given(value=JSON, cut=st.integers(1, 200), before=PROSE)
def test_of_a_value_that_breaks_off_nothing_is_read(value, cut, before):
    written = json.dumps({"a": {"b": value}})
    with pytest.raises(Rejected):
        parse(before + written[: min(cut, len(written) - 1)], objects=True)


@pytest.mark.slow
@each("text", ["{" * 400_000, "[{ " * 200_000, '{"a": ' * 100_000, '{"a": 1} [2] ' * 100_000, "`" * 500_000])
def test_looking_for_a_value_takes_time_that_grows_with_the_text(text):
    began = time.process_time()
    with pytest.raises(Rejected):
        parse("x" + text, objects=False)
    assert time.process_time() - began < 5


# --- scalars ---------------------------------------------------------------------------------------------------------


YES = (
    *("yes", "Yes.", "`yes`", "YES", '"Yes."', "**yes**", "'yes'", "yes!", "- yes", "(yes)", "Yes</s>"),
    *("```\nyes\n```", '{"value": "Yes"}', "“yes”", "\ufeffyes", "ｙｅｓ"),
)


@each("text", YES)
def test_a_choice_is_what_people_would_call_the_same_word(text):
    assert run(text, ["yes", "no"]).value == "yes"
    assert run(text, Literal["yes", "no"]).value == "yes"
    assert run(text, bool).value is True
    assert run(text, {"type": "boolean"}).value is True


@each("text", ["True", "`True`", "true.", "Yes", '{"value": true}', '{"value": "yes"}', "```\ntrue\n```"])
def test_true_is_true_in_any_spelling(text):
    assert run(text, bool).value is True
    assert run(text, {"type": "boolean"}).value is True


def test_an_enum_is_read_like_a_choice():
    assert run("Red.", Colour).value is Colour.RED


@each(
    ("text", "options"),
    [
        ("Yes. Or no.", ["yes", "no"]),
        ("yes no", ["yes", "no"]),
        ("5", ["-5", "+5"]),
        ("-5", ["5", "6"]),
        ("a", ["A.", "A!"]),
        ("c", ["C++", "C#"]),
        ("It is yes", ["yes", "no"]),
    ],
)
def test_a_text_that_may_mean_several_options_or_more_than_one_is_none(text, options):
    assert not run(text, options).accepted


def test_options_that_differ_in_little_are_told_apart():
    for option in ("C", "C++", "C#", "c"):
        assert run(f"`{option}`", ["C", "C++", "C#", "c"]).value == option


@each(("text", "value"), [("**42**", 42), ("`42`", 42), ("42.", 42), ("42</s>", 42), ("```\n42\n```", 42)])
def test_a_number_may_be_decorated(text, value):
    assert run(text, int).value == value
    assert run(text, {"type": "integer"}).value == value
