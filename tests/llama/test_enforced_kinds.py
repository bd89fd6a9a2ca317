"""All of a shape that can be enforced is enforced, and what can't is named; nothing is all or nothing.

No model is needed: llguidance has a tokenizer of single bytes, and noise stands in the place of a model.
"""

from __future__ import annotations

import json
import re
from typing import Annotated

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field

from helpers.each import each
from helpers.thorough import some
from llama.enforced_kinds import KINDS, v
from rung import schemas
from rung.contract import compile_output
from rung.limits import Cancel, Deadline
from rung.tiers.llama.worker.constraint import Constraint, Grammars, Unenforceable
from rung.tiers.llama.worker.enforceable import enforceable, without_look_around
from rung.types import Candidate, CheckContext, Request, Shape, conversation

llguidance = pytest.importorskip("llguidance")

SIZE, END = 262, 261
CLOSING = np.zeros(SIZE)
CLOSING[[ord('"'), ord("]"), ord("}"), END]] = [20, 15, 15, 40]
PLAIN = np.full(SIZE, -6.0)
PLAIN[32:127] = 0
# a number with an exponent is soon larger than any that is read
PLAIN[[ord("E"), ord("e")]] = -20


class Bytes(Grammars):
    """Grammars over a vocabulary of single bytes."""

    class _Vocabulary:
        size = SIZE

    def __init__(self) -> None:
        super().__init__(self._Vocabulary())
        self.__dict__["tokenizer"] = llguidance.LLTokenizer("byte")


GRAMMARS = Bytes()


def sample(constraint: Constraint, random: np.random.Generator, most: int = 400) -> str | None:
    """An answer that the constraint allows, by noise that closes what is open after a while; `None` without an end."""
    written = bytearray()
    matcher = constraint._matcher
    for step in range(most):
        forced = constraint.forced()
        written += bytes(forced)
        if constraint.complete:
            return written.decode()
        bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little", count=SIZE).astype(bool)
        assert allowed.any()
        noise = random.gumbel(size=SIZE) + PLAIN + (CLOSING if step > 12 else 0)
        token = int(np.where(allowed, noise, -np.inf).argmax())
        if token == END:
            return written.decode()
        assert matcher.consume_token(token), matcher.get_error()
        written.append(token)
    return None


def judged(contract, text: str):
    context = CheckContext(Request(conversation("?")), "small", text, deadline=Deadline(), cancel=Cancel())
    return contract.judge(Candidate(text, finish="stop"), context)


@pytest.mark.slow
@each("kind", some(KINDS))
def test_all_that_can_be_enforced_is_and_what_is_not_is_named(kind):
    output, lacking = KINDS[kind]
    contract = compile_output(output)
    constraint = GRAMMARS.constrain(contract.shape)
    told = " ".join(constraint.notes)
    assert bool(told) == bool(lacking), told
    for name in lacking:
        assert name in told
    random = np.random.default_rng(5)
    ended = 0
    for _ in range(8):
        text = sample(GRAMMARS.constrain(contract.shape), random)
        if text is None:
            continue
        ended += 1
        if not lacking:
            assert judged(contract, text).valid, text
        elif contract.shape.kind == "json":
            assert set(json.loads(text)) or contract.shape.schema.get("required", ()) == ()
    assert ended >= 4


@each(
    ("pattern", "without"),
    [
        (r"^(?=.*\d)(?=.*[a-z]).{8,}$", "^.{8,}$"),
        (r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$", r"^[+-]?0*\d*\.?\d*$"),
        (r"(?<=a)b(?<!c)d", "bd"),
        (r"\bfoo\B", "foo"),
        (r"a(?=(b|[)(])\))c", "ac"),
        (r"(?:a(?!b)){2}", "(?:a){2}"),
        (r"(?!a)?b", "b"),
        (r"[\b(?=a)]", r"[\b(?=a)]"),
        (r"\(?=a", r"\(?=a"),
        (r"[](?=a)]", r"[](?=a)]"),
    ],
)
def test_assertions_are_taken_out_of_a_pattern_and_nothing_else(pattern, without):
    assert without_look_around(pattern) == without


def test_of_a_schema_with_one_thing_that_is_unknown_all_else_is_held():
    """The keys, their order, the kinds of values and the bounds hold, whatever the pattern asks beside them."""
    schema = {
        "type": "object",
        "properties": {
            "code": {"type": "string", "pattern": "^(?!x)[a-c]{2}$"},
            "tags": {"type": "array", "items": {"enum": ["t"]}, "minItems": 1, "maxItems": 2, "uniqueItems": True},
            "n": {"type": "integer", "minimum": -(2**63), "maximum": 9},
        },
        "required": ["code", "tags", "n"],
        "additionalProperties": False,
    }
    for seed in range(6):
        text = sample(GRAMMARS.constrain(Shape("json", schema)), np.random.default_rng(seed))
        answer = json.loads(text)
        assert list(answer) == ["code", "tags", "n"]
        assert len(answer["code"]) == 2
        assert set(answer["code"]) <= set("abc")
        assert set(answer["tags"]) == {"t"}
        assert isinstance(answer["n"], int)
        assert answer["n"] <= 9


def test_what_a_schema_says_of_how_it_is_enforced_is_left_out_and_properties_of_that_name_stay():
    schema = {
        "x-guidance": {"whitespace_flexible": True},
        **v(const="a"),
        "properties": {"x-guidance": {"x-guidance": {"lenient": False}, "const": {"x-guidance": 1}}},
        "required": ["x-guidance"],
    }
    assert sample(GRAMMARS.constrain(Shape("json", schema)), np.random.default_rng(0)) == (
        '{"x-guidance": {"x-guidance": 1}}'
    )


def test_a_schema_that_nothing_fits_is_not_enforced_and_says_so():
    with pytest.raises(Unenforceable, match=r"\w"):
        GRAMMARS.constrain(Shape("regex", {"type": "object"}, pattern="("))


@pytest.mark.slow
def test_what_is_wrong_with_a_large_schema_is_found_in_bounded_time():
    parts = {f"p{i}": {"type": "string", "pattern": f"^(?!{i})a{{1,{i % 7 + 1}}}$"} for i in range(1500)}
    schema = {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}
    constraint = GRAMMARS.constrain(Shape("json", schema))
    assert "look-around in pattern" in constraint.notes[0]
    assert bytes(constraint.forced()).startswith(b'{"p0": "a')


def names_of_names(levels):
    rest: dict = {"type": "string"}
    for _ in range(levels):
        rest = {"propertyNames": {"enum": [f"k{i}" for i in range(100)]}, "additionalProperties": rest}
    return {"type": "object", **rest}


def test_names_of_keys_are_not_written_out_until_a_small_schema_is_a_large_one():
    few, many = (enforceable(names_of_names(levels), lambda schema: "").schema for levels in (2, 6))
    assert list(few["properties"]["k7"]["properties"]) == [f"k{i}" for i in range(100)]
    assert len(json.dumps(many)) < 2_000_000
    assert "propertyNames" in json.dumps(many)


@pytest.mark.slow
def test_branches_are_only_compared_as_long_as_they_are_few():
    def tagged(count):
        kinds = [{"properties": {"k": {"const": n}}, "required": ["k"]} for n in range(count)]
        return enforceable({"type": "object", "oneOf": kinds}, lambda schema: "").left_out

    assert tagged(150) == ()
    assert tagged(10_000) == ("oneOf (held as anyOf)",)


@pytest.mark.slow
@pytest.mark.parametrize("make", [list, tuple])
def test_a_schema_of_more_parts_than_are_looked_at_is_not_enforced_and_says_so(make):
    with pytest.raises(Unenforceable, match="more than"):
        GRAMMARS.constrain(Shape("json", {"type": "object", "anyOf": make([{}] * (schemas.MOST_SCHEMAS + 1))}))


@pytest.mark.slow
@each("pattern", [r"\w+", r"[\w-]+", r"\W", r"[^\W\d]+", r"\s", r"\S+\Z", r"[\[a]+"])
@each("text", ["word", "é", "हिन्दी", "ক", "கி", "_1", "-", "\x1c", "\u00a0", "["])
def test_decoder_and_validator_agree_on_what_a_pattern_means(pattern, text):
    contract = compile_output(re.compile(pattern))
    matcher = GRAMMARS.constrain(contract.shape)._matcher
    written = text.encode()
    held = matcher.try_consume_tokens(list(written)) == len(written) and matcher.is_accepting()
    assert held == (re.fullmatch(pattern, text) is not None)


class Named(BaseModel):
    name: str = Field(pattern=r"^\w+$")
    other: str = Field(default="a", pattern=r"^\W\D$")


class NamedByPython(Named):
    model_config = ConfigDict(regex_engine="python-re")


NAMED = [Named, NamedByPython, dict[Annotated[str, Field(pattern=r"^\w+$")], int]]


def agree(kind, value):
    """Fails where the decoder lets through what the validator refuses, or the other way round."""
    contract = compile_output(kind)
    written = json.dumps(value, ensure_ascii=False)
    matcher = GRAMMARS.constrain(contract.shape)._matcher
    held = matcher.try_consume_tokens(list(written.encode())) == len(written.encode()) and matcher.is_accepting()
    context = CheckContext(Request(conversation("Who?")), "small", written)
    assert held == contract.judge(Candidate(written, finish="stop"), context).valid


@pytest.mark.slow
@each("kind", NAMED, ids=["Rust", "Python", "keys"])
@each("text", ["word", "é", "हिन्दी", "ক", "கி", "_1", "²", "٣", "-", "a\u200db", "\u200d"])
def test_decoder_and_validator_agree_on_what_a_pattern_of_a_type_means(kind, text):
    """Each engine counts other characters among the letters, and a JSON Schema's own are ASCII's."""
    agree(kind, {text: 1} if kind is NAMED[2] else {"name": text})


@each("text", ["é-", "-a", "--", "-٣", "a-"])
@each("kind", NAMED[:2], ids=["Rust", "Python"])
def test_decoder_and_validator_agree_on_what_a_pattern_of_a_type_leaves_out(kind, text):
    agree(kind, {"name": "a", "other": text})
