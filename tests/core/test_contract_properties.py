"""Laws of the contract, over generated values, schemas and tokens."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from itertools import pairwise

import jsonschema
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from helpers.thorough import times
from rung import CheckContext, Request, Token
from rung.contract import compile_output, reader_of
from rung.contract.parsing import Rejected
from rung.contract.spans import scores, show, values
from rung.errors import ContractError
from rung.types import conversation

CONTEXT = CheckContext(Request(conversation("?")), "small", "")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from leaves(inner, (*path, i))
    else:
        yield show(path), value


@pytest.mark.slow
@settings(max_examples=times(150))
@given(JSON, st.sampled_from([None, 1]), st.booleans())
def test_spans_are_the_leaves_in_order_and_each_spans_text_is_its_leafs_json(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = list(values(text))
    assert [path for path, _, _ in found] == [path for path, _ in leaves(value)]
    for (_, begin, end), (_, leaf) in zip(found, leaves(value), strict=True):
        written = f'"{text[begin:end]}"' if isinstance(leaf, str) else text[begin:end]
        assert json.loads(written) == leaf


@pytest.mark.slow
@settings(max_examples=times(100))
@given(JSON, st.randoms(use_true_random=False))
def test_however_a_text_is_cut_into_tokens_only_value_tokens_count(value, dice):
    text = json.dumps(value)
    cuts = sorted({0, len(text), *(dice.randrange(len(text) + 1) for _ in range(6))})
    tokens = [Token(text[a:b], -dice.random()) for a, b in pairwise(cuts)]
    score, fields = scores(text, tokens, structured=True)
    assert set(fields) <= {path for path, _ in leaves(value)}
    counted = 0 if score is None else score.tokens
    assert counted == sum(f.tokens for f in fields.values()) <= len(tokens)
    if score is not None:
        assert score.minimum <= score.mean <= 0
        assert math.isclose(score.sum, sum(f.sum for f in fields.values()))


@settings(max_examples=times(100))
@given(st.text())
def test_spans_of_a_text_that_is_no_json_are_inside_it(text):
    for _, begin, end in values(text):
        assert 0 <= begin <= end <= len(text)


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "integer"},
            {"type": "string", "maxLength": 3},
            {"type": ["null", "boolean"]},
            {"enum": [1, "a", None, []]},
            {"const": {"value": 1}},
            {"$ref": "#"},
            {"$ref": "#/$defs/digit"},
            {"minimum": 3},
            {},
        ]
    ),
    lambda inner: st.one_of(
        inner.map(lambda s: {"type": "array", "items": s}),
        st.lists(inner, min_size=1, max_size=3).map(lambda s: {"anyOf": s}),
        st.dictionaries(st.sampled_from(["a", "b", "value", "$ref"]), inner, max_size=3).map(
            lambda s: {"type": "object", "properties": s, "required": sorted(s)[:1]}
        ),
        st.dictionaries(st.sampled_from(["a", "value"]), inner, max_size=2).map(lambda s: {"properties": s}),
    ),
    max_leaves=6,
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "a", "abcd"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "value", "$ref"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def fits(schema, value):
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def is_circular(schema):
    """Whether a schema of `SCHEMAS` applies itself to the same value, which no validator can end."""
    inner = [schema]
    for node in inner:
        inner += [branch for branch in node.get("anyOf", ()) if branch not in inner]
    return any(node.get("$ref") == "#" for node in inner)


@pytest.mark.slow
@settings(max_examples=times(250))
@given(SCHEMAS, PLAIN, st.booleans())
@example({"type": "array", "items": {"$ref": "#/$defs/digit"}}, [1], True)
@example({"type": "array", "items": {"$ref": "#"}}, [[]], True)
def test_wrapping_a_schema_keeps_what_validates(schema, value, named):
    schema = {**schema, "$defs": {"digit": {"type": "integer", "maximum": 9}}}
    if named:
        schema["$id"] = "https://example.org/schema"
    if is_circular(schema):
        with pytest.raises(ContractError, match="refers to itself"):
            compile_output(schema)
        return
    shape = compile_output(schema).shape
    wrapped = value if schema.get("type") == "object" else {"value": value}
    assert fits(shape.schema, wrapped) == fits(schema, value)


@settings(max_examples=times(150))
@given(SCHEMAS, PLAIN)
def test_what_decoding_may_give_under_a_schema_is_read_back_as_the_value(schema, value):
    schema = {**schema, "$defs": {"digit": {"type": "integer", "maximum": 9}}}
    assume(not is_circular(schema))
    reader = reader_of(schema)
    text = json.dumps(value if schema.get("type") == "object" else {"value": value})
    if fits(schema, value):
        assert reader.read(text, CONTEXT) == value
    else:
        with pytest.raises(Rejected):
            reader.read(text, CONTEXT)


@settings(max_examples=times(100))
@given(st.text(max_size=40) | JSON.map(json.dumps))
def test_no_text_makes_a_reader_raise_anything_but_rejected(text):
    for output in ({"type": "object"}, list[int], ["a", "b"], int, None, dict[str, int]):
        with suppress(Rejected):
            reader_of(output).read(text, CONTEXT)
