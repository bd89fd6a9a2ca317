"""A value that is wrong in itself is refused where it is made, in a sentence that never repeats a prompt."""

from __future__ import annotations

import enum
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pytest

from helpers.each import each
from helpers.ids import shown
from rung.errors import ConfigError, ContractError
from rung.limits import Cancel, Deadline
from rung.testing import ScriptedTier
from rung.tier import Rung
from rung.types import Call, Image, Message, Request, Sampling, Shape, Text, ToolCall, conversation

CANARY = "CANARY-7f3a"
HUGE = 2**70
ENDLESS = 10**5000
"""Python refuses to write so many digits."""

SCHEMA = {"type": "object"}


def refused(make, *args, kind=ConfigError, **values) -> str:
    with pytest.raises(kind) as caught:
        make(*args, **values)
    said = str(caught.value)
    assert said
    assert CANARY not in said
    assert len(said) < 300
    return said


@each("role", ["", "User", "function", CANARY * 99, None, 1, b"user", ["user"]])
def test_a_role_that_there_is_not_is_refused(role):
    with pytest.raises(ConfigError):
        Message(role, "x")


def test_the_newer_name_of_the_system_role_is_told_the_one_that_goes_everywhere():
    assert "say system" in refused(Message, "developer", CANARY)


class Name(enum.StrEnum):
    USER = "user"


def test_what_is_only_spelt_otherwise_is_taken():
    assert Message(Name.USER, "x").role == "user"
    assert Message("user", [Text("a"), Text("b")]).content == (Text("a"), Text("b"))
    assert Sampling(stop=["a", "b"]).stop == ("a", "b")
    assert hash(Sampling(stop=["a"])) == hash(Sampling(stop=("a",)))
    sampling = Sampling(np.float32(0.5), top_p=Fraction(1, 2), seed=np.int64(3))
    assert (sampling.temperature, sampling.top_p, sampling.seed) == (0.5, 0.5, 3)
    assert {type(sampling.temperature), type(sampling.top_p), type(sampling.seed)} == {float, int}
    assert Call([Message("user", "x")]).messages == (Message("user", "x"),)
    assert Shape("json", MappingProxyType({"a": 1})).schema == {"a": 1}


@each(
    "content",
    [None, 5, 1.5, CANARY.encode(), {"text": CANARY}, {CANARY}, [CANARY], [Text("a"), CANARY], [None], iter("ab")],
    ids=lambda c: type(c).__name__,
)
def test_content_is_text_or_parts(content):
    refused(Message, "user", content)


@each(
    "values",
    [
        {"tool_calls": ({"id": "1"},)},
        {"tool_calls": "call"},
        {"tool_calls": ToolCall("1", "f", "{}")},
        {"tool_calls": None},
        {"tool_call_id": 1},
        {"tool_call_id": b"1"},
        {"reusable": 1},
        {"reusable": "yes"},
    ],
    ids=str,
)
def test_the_rest_of_a_message_is_of_its_kind(values):
    refused(Message, "assistant", "x", **values)


@pytest.mark.parametrize("values", [(1, "f", "{}"), ("1", None, "{}"), ("1", "f", {"a": CANARY}), ("1", "f", None)])
def test_a_tool_call_holds_texts(values):
    refused(ToolCall, *values)


@pytest.mark.parametrize(
    "make", [lambda: Text(5), lambda: Text(None), lambda: Image("x", "image/png"), lambda: Image(b"", 1)]
)
def test_parts_hold_what_they_are_for(make):
    refused(make)


@each("name", ["temperature", "top_p", "min_p"])
@each(
    "value",
    [float("nan"), float("inf"), float("-inf"), -0.1, 11, HUGE, -HUGE, ENDLESS, True, "0.5", CANARY, [0.5], 1j],
    ids=lambda v: f"{type(v).__name__} {str(v)[:6]}" if v is not ENDLESS else "endless",
)
def test_sampling_numbers_are_numbers_in_their_range(name, value):
    assert name in refused(Sampling, **{name: value})


@each("values", [{"top_p": 0}, {"top_p": 1.01}, {"min_p": 1}, {"temperature": None}, {"temperature": 10.1}])
def test_the_edges_of_ranges_are_those_that_are_documented(values):
    refused(Sampling, **values)
    Sampling(temperature=10, top_p=1, min_p=0)
    Sampling(temperature=0, top_p=1e-9, min_p=0.999)


@each(
    "seed", ["x", "1", 1.0, True, HUGE, -HUGE, ENDLESS, float("nan"), [1], np.bool_(True)], ids=lambda s: str(type(s))
)
def test_a_seed_is_a_whole_number_that_formats_can_carry(seed):
    assert "seed" in refused(Sampling, seed=seed)


@pytest.mark.parametrize("seed", [0, -1, -(2**63), 2**64 - 1])
def test_a_seed_may_be_negative_and_use_all_its_bits(seed):
    assert Sampling(seed=seed).seed == seed


@each("stop", ["abc", "", None, 5, b"abc", {"a"}, (CANARY, 1), (None,), ("a", b"b"), iter("ab")], ids=shown)
def test_stop_strings_are_a_tuple_of_texts_and_one_text_is_not_taken_for_its_characters(stop):
    assert "stop" in refused(Sampling, stop=stop)


def test_an_empty_stop_string_is_refused():
    assert "empty" in refused(Sampling, stop=("a", ""))


WRONG_COUNTS = [0, -1, 1.5, 1.0, "5", True, HUGE, ENDLESS, float("nan"), [5]]


@each("count", WRONG_COUNTS, ids=lambda c: f"{type(c).__name__} {str(c)[:4]}" if c is not ENDLESS else "endless")
def test_a_cap_on_the_answer_is_a_whole_number_of_at_least_one(count):
    turns = (Message("user", "x"),)
    for make in (lambda: Request(turns, max_tokens=count), lambda: Call(turns, max_tokens=count)):
        assert "max_tokens" in refused(make)
    assert "max_tokens" in refused(Rung, ScriptedTier("a", "x"), max_tokens=count)


@each("count", [*WRONG_COUNTS, None, 129, 1000], ids=lambda c: f"{type(c).__name__}")
def test_candidates_are_one_to_128(count):
    assert "candidates" in refused(Call, (Message("user", "x"),), candidates=count)
    assert Call((Message("user", "x"),), candidates=128).candidates == 128


@each(
    "values",
    [
        {"messages": None},
        {"messages": "x"},
        {"messages": (CANARY,)},
        {"messages": ({"role": "user", "content": CANARY},)},
        {"shape": SCHEMA},
        {"sampling": None},
        {"sampling": {"temperature": 0}},
        {"deadline": 5},
        {"deadline": None},
        {"cancel": True},
        {"rejected": 5},
    ],
    ids=lambda v: f"{next(iter(v))} {type(next(iter(v.values()))).__name__}",
)
def test_a_call_holds_what_it_says(values):
    refused(Call, **{"messages": (Message("user", "x"),), **values})
    Call((Message("user", "x"),), deadline=Deadline.after(1), cancel=Cancel())


@each(
    "values",
    [{"messages": None}, {"messages": (CANARY,)}, {"task": 5}, {"sampling": 1}, {"reach": "host"}, {"reach": 1}],
    ids=str,
)
def test_a_request_holds_what_it_says(values):
    refused(Request, **{"messages": (Message("user", "x"),), **values})


@each("prompt", [None, 5, 1.5, b"bytes", {"role": "user"}, [CANARY], [None], object()], ids=lambda p: type(p).__name__)
def test_a_prompt_is_text_or_messages(prompt):
    assert "prompt" in refused(conversation, prompt)


@each("system", [5, 0, False, b"x", [CANARY]], ids=str)
def test_a_system_turn_is_text(system):
    assert "system" in refused(conversation, "x", system)
    assert conversation("x", "") == conversation("x") == conversation(iter([Message("user", "x")]))


def deep(levels: int) -> dict:
    schema: dict = {"type": "string"}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


def circular() -> dict:
    schema: dict = {"type": "object"}
    schema["properties"] = {"a": schema}
    return schema


def doubled(times: int) -> dict:
    schema: dict = {"type": "string"}
    for _ in range(times):
        schema = {"anyOf": [schema, schema]}
    return schema


@each(
    "schema",
    [
        {"enum": {1, 2}},
        {"enum": [b"x"]},
        {"const": object()},
        {"default": 1j},
        {1: "x"},
        {None: "x"},
        {"properties": {("a", "b"): {}}},
        deep(200),
        deep(100_000),
        circular(),
        doubled(40),
    ],
    ids=[
        "set",
        "bytes",
        "object",
        "complex",
        "int key",
        "None key",
        "tuple key",
        "deep",
        "deeper",
        "circular",
        "doubled",
    ],
)
def test_a_schema_that_can_not_be_written_as_json_is_refused(schema):
    refused(Shape, "json", schema, kind=ContractError)


def test_a_schema_of_any_size_that_is_in_use_is_taken():
    Shape("json", deep(100))
    Shape("json", {"properties": {f"p{n}": {"type": "string"} for n in range(20_000)}})


@each(
    ("kind", "schema", "more"),
    [
        ("yaml", SCHEMA, {}),
        (None, SCHEMA, {}),
        ("json", None, {}),
        ("json", "{}", {}),
        ("json", [("type", "object")], {}),
        ("regex", SCHEMA, {}),
        ("regex", SCHEMA, {"pattern": 5}),
        ("choice", SCHEMA, {}),
        ("choice", SCHEMA, {"choices": "ab"}),
        ("choice", SCHEMA, {"choices": (1, 2)}),
    ],
)
def test_a_shape_holds_what_its_kind_needs(kind, schema, more):
    refused(Shape, kind, schema, **more)


@each(
    "values",
    [
        {"repairs": -1},
        {"repairs": 1.5},
        {"repairs": "1"},
        {"repairs": True},
        {"max_seconds": 0},
        {"max_seconds": float("nan")},
        {"max_seconds": "5"},
        {"min_confidence": 1.1},
        {"min_confidence": float("nan")},
        {"min_confidence": "high"},
        {"feedback": "all"},
        {"feedback": None},
        {"feedback": ["none"]},
        {"max_cost": -1},
        {"redactor": "keys"},
    ],
    ids=str,
)
def test_a_rung_is_told_by_the_name_of_its_tier(values):
    assert "tier 'a'" in refused(Rung, ScriptedTier("a", "x"), **values)


@each("tier", [None, "smollm2-135m", 5, object(), ScriptedTier])
def test_what_is_not_a_tier_is_not_taken_for_one(tier):
    assert "is not a tier" in refused(Rung, tier)
