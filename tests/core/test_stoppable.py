"""Nothing that can't be stopped runs on an answer or a schema.

| kind | tests |
|---|---|
| 20: an answer too long to be read | `test_an_answer_...`, `test_a_stream_...` |
| 20: fences, quotes, other texts that took more than linear time | `test_a_hostile_answer_is_over_in_time` |
| 20: exact and linear keywords | `test_multiples_are_exact`, `test_a_hostile_schema_is_over_in_time` |
| 20: patterns | `test_a_pattern_...`, `test_a_pydantic_pattern_...`, `test_what_regex_finds_is_what_re_finds` |
| 20: references that double, nested branches, recursion | `test_a_hostile_schema_...`, `test_a_tree_...` |
| 20: pydantic | `test_a_union_...`, `test_a_type_that_unfolds_...`, `test_very_many_errors_...` |
| 20: no deadline | `test_without_a_deadline_a_check_ends_by_itself` |
| 20: checks | `test_quoted_...` |
| 20: the verdict stays right | `test_the_verdict_is_that_of_two_other_validators` |
| 31: `$dynamicRef`, `$ref` below `$id`, nesting, what isn't JSON | `test_a_schema_that_cannot_be_checked_...` |
| 31: no foreign exception, no network | `test_any_json_as_a_schema_...`, `test_a_reference_is_never_fetched` |
"""

from __future__ import annotations

import json
import random
import re
import resource
import socket
import time
from contextlib import contextmanager
from functools import partial
from typing import Literal

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from helpers.each import each
from helpers.ids import shown
from helpers.thorough import some, times
from rung.checks import quoted
from rung.contract import LONGEST_ANSWER, bounds, compile_output, compiled
from rung.contract.patterns import Whole
from rung.contract.text import Tail
from rung.errors import Cancelled, ContractError
from rung.limits import Cancel, Deadline
from rung.types import Candidate, CheckContext, Request, Token, conversation

SOON = 0.1
"""Seconds until the deadline of what never ends by itself."""
LATE = 15
"""Seconds on the clock within which that deadline must be over. Without it each of these takes minutes or for ever. On
an idle machine they are over within a second; a busy one may take ten times as long."""


@contextmanager
def in_time():
    began = time.monotonic()
    yield
    assert time.monotonic() - began < LATE


def judge(output, text, *, seconds=SOON, validators=(), cancel=None, prompt="?"):
    contract = compile_output(output, validators)
    context = CheckContext(
        Request(conversation(prompt)), "small", text, deadline=Deadline.after(seconds), cancel=cancel or Cancel()
    )
    return contract.judge(Candidate(text), context)


def over_in_time(output, text, **settings):
    """The judgement, after the time that it took was held against `LATE`."""
    with in_time():
        return judge(output, text, **settings)


def doubling(times, keyword):
    """A schema in which each of many definitions refers to the one before twice."""
    named = {"d0": {"type": "integer"}}
    for number in range(times):
        ref = {"$ref": f"#/$defs/d{number}"}
        one = {"if": ref, "then": ref, "else": ref} if keyword == "if" else {keyword: [ref, ref]}
        named[f"d{number + 1}"] = {"not": {"not": one}} if keyword == "anyOf" else one
    return {"$defs": named, "$ref": f"#/$defs/d{times}"}


def nested(times, keyword):
    schema = {"type": "integer"}
    for _ in range(times):
        schema = {keyword: {"a": schema} if keyword == "properties" else [schema] if keyword == "anyOf" else schema}
    return schema


# --- answers ---------------------------------------------------------------------------------------------------------


@each("output", [None, {"type": "object"}, int, ["a", "b"], re.compile("a+")], ids=shown)
def test_an_answer_beyond_the_cap_is_refused_unread(output):
    validation = over_in_time(output, "[" * (LONGEST_ANSWER + 1))
    assert [issue.code for issue in validation.issues] == ["too_long"]
    assert "4,000,000" in str(validation.issues[0])


def test_an_answer_of_too_many_values_is_refused_before_it_is_parsed():
    assert [i.code for i in over_in_time({}, "[" + "[]," * 600_000 + "[]]").issues] == ["too_long"]


def test_a_stream_is_cut_short_where_its_answer_is_longer_than_is_read():
    progress = compile_output({"type": "object"}).progress()
    dice = random.Random(1)
    pieces = [dice.randbytes(50_000).hex() for _ in range(60)]
    taken = next(number for number, piece in enumerate(pieces, 1) if progress.add(piece))
    assert taken * 100_000 == LONGEST_ANSWER + 100_000


@pytest.mark.parametrize(
    ("output", "begins", "piece", "over"),
    [
        (None, "", "and so on ", True),
        ({"type": "object"}, '{"a": "', "and so on ", True),
        ({"type": "object"}, '{"a": [', "0, 1, ", False),
        ({"type": "object"}, '{"a": "x", "b": ', '"no", "c": ', False),
    ],
)
def test_a_stream_is_cut_short_where_its_end_goes_round_in_circles(output, begins, piece, over):
    progress = compile_output(output).progress()
    progress.add(begins)
    assert any(progress.add(piece) for _ in range(1000)) is over


@pytest.mark.slow
@each(
    "text",
    some(
        [
            "```json" + "\n" * 25_000,
            "```json" + "\r\n" * 25_000,
            "```" + "\t \n" * 25_000 + "```",
            "```json\n" * 25_000,
            "``` " * 25_000,
            '"' + '\\"' * 200_000,
            '"' * 200_001,
            "[" * 400_000,
            '{"a":' * 100_000,
            "\\" * 200_000,
            "1" * 200_000,
            "0." + "1" * 200_000,
            "1e" + "9" * 200_000,
            " " * 200_000 + "x",
            "<|a|>" * 40_000,
            "</s> " * 40_000,
        ]
    ),
    ids=lambda text: text[:8] + "…",
)
@each("output", [{"type": "object"}, list[int], ["a", "b"], None], ids=["schema", "type", "choice", "text"])
def test_a_hostile_answer_is_over_in_time(output, text):
    assert output is None or not over_in_time(output, text).valid
    tokens = [Token(text[at : at + 5000], -0.1) for at in range(0, len(text), 5000)]
    with in_time():
        compile_output(output).score(text, tokens)


@each(
    ("text", "says"),
    [
        ("1e999", "too large"),
        ("-1e400", "too large"),
        (str(7**3000)[:2500] * 2, "5,000 digits"),
        ("NaN", "not a JSON value"),
        ('"\\ud800"', "surrogate"),
        ('["\\udc00x"]', "surrogate"),
        ('["\udc00x"]', "surrogate"),
        ("[" * 201 + "]" * 201, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
    ],
    ids=lambda text: text[:12],
)
@each("output", [{"type": ["number", "string", "array"]}, float | str | list], ids=["schema", "type"])
def test_what_json_cannot_say_is_rejected_with_a_sentence(output, text, says):
    assert says in str(judge(output, text).issues[0])


@settings(max_examples=times(200), derandomize=True)
@given(st.text(alphabet='"\\a1 ,[{:\n', max_size=14), st.lists(st.integers(1, 5), min_size=14, max_size=14))
def test_the_end_of_an_answer_is_the_same_in_whatever_pieces_it_comes(text, sizes):
    whole, pieces = Tail(structured=True), Tail(structured=True)
    whole.add(text)
    at = 0
    for size in sizes:
        pieces.add(text[at : at + size])
        at += size
    assert pieces.text == whole.text


# --- schemas ---------------------------------------------------------------------------------------------------------


def test_multiples_are_exact():
    contract = compile_output({"type": "array", "items": {"multipleOf": 0.01}})
    text = json.dumps([cents / 100 for cents in range(1, 10_001)])
    context = CheckContext(Request(conversation("?")), "small", text)
    assert contract.judge(Candidate(text), context).valid
    assert not judge({"type": "number", "multipleOf": 0.01}, "19.995").valid


def hostile_references(times, keyword):
    return doubling(times, keyword), '"x"'


TIMES = [(keyword, times) for keyword in ("anyOf", "allOf", "oneOf", "if") for times in (24, 240)]
HOSTILE = {
    **{f"{keyword} {times}": partial(hostile_references, times, keyword) for keyword, times in TIMES},
    "unique": lambda: ({"type": "array", "uniqueItems": True}, json.dumps([*range(200_000), 7])),
    "unique objects": lambda: ({"uniqueItems": True}, json.dumps([{"a": n} for n in range(50_000)] + [{"a": 3}])),
    "enum": lambda: ({"enum": [{"n": n} for n in range(20_000)]}, '{"n": -1}'),
    "enum items": lambda: ({"items": {"enum": [{"n": n} for n in range(2000)]}}, json.dumps([{"n": -1}] * 2000)),
    "patterns": lambda: (
        {"patternProperties": {f"^x{n}y+$": {"type": "integer"} for n in range(300)}, "additionalProperties": False},
        json.dumps({f"z{n}": 1 for n in range(20_000)}),
    ),
    "contains": lambda: (
        {"$ref": "#/$defs/x", "$defs": {"x": {"contains": {"contains": {"const": 1}}}}},
        json.dumps([[0]] * 50_000),
    ),
    "unevaluated": lambda: (
        {"allOf": [{"allOf": [{"properties": {f"k{n}": True}}]} for n in range(300)], "unevaluatedProperties": False},
        json.dumps({f"k{n}": 1 for n in range(301)}),
    ),
    "linear pattern": lambda: ({"pattern": "^(a+)+$"}, json.dumps("a" * 300_000 + "b")),
    "large pattern": lambda: ({"pattern": "[01]*1[01]{1000}[a-c]"}, json.dumps("01" * 100_000)),
    "look-ahead": lambda: ({"pattern": "^(?!x)(a|aa)+$"}, json.dumps("a" * 200 + "b")),
    "look-behind": lambda: ({"pattern": "(?<=a+)b"}, json.dumps("a" * 1_000_000)),
    "negated": lambda: ({"not": {"pattern": "^(?!x)(a|aa)+$"}}, json.dumps("a" * 200 + "b")),
    "many slow texts": lambda: ({"items": {"pattern": "^(?!x)(a|aa)+$"}}, json.dumps(["a" * 100 + "b"] * 1000)),
}


@pytest.mark.slow
@each("name", some(HOSTILE))
def test_a_hostile_schema_is_over_in_time(name):
    schema, text = HOSTILE[name]()
    contract = compile_output(schema)
    with in_time():
        validation = contract.judge(
            Candidate(text), CheckContext(Request(conversation("?")), "small", text, deadline=Deadline.after(SOON))
        )
    assert not validation.valid


@pytest.mark.slow
@pytest.mark.parametrize("keyword", ["anyOf", "allOf", "if"])
def test_references_that_double_accept_what_fits(keyword):
    assert judge(doubling(240, keyword), "7", seconds=10).value == 7


def test_a_tree_of_many_kinds_nested_deeply_is_checked_whole():
    kinds = [
        {
            "type": "object",
            "properties": {"left": {"$ref": "#/$defs/e"}, "right": {"$ref": "#/$defs/e"}, "kind": {"const": f"k{n}"}},
            "required": ["kind"],
            "additionalProperties": False,
        }
        for n in range(10)
    ]
    schema = {"$ref": "#/$defs/e", "$defs": {"e": {"anyOf": kinds}}}
    tree: dict = {"kind": "k9"}
    for _ in range(60):
        tree = {"left": tree, "right": {"kind": "k8"}, "kind": "k9"}
    assert judge(schema, json.dumps(tree), seconds=20).valid
    tree["left"]["right"]["colour"] = 1
    assert [str(i) for i in judge(schema, json.dumps(tree), seconds=20).issues] == [
        "left.right: additional properties are not allowed: 'colour'"
    ]


@each(
    ("schema", "text", "issue"),
    [
        (
            {"properties": {"a": {"items": {"required": ["t"]}}}},
            '{"a": [{"t": 1}, {}]}',
            'a[1]: "t" is a required property',
        ),
        (
            {"properties": {"n": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}}},
            '{"n": "x"}',
            'n: "x" is not a "date"',
        ),
        ({"type": "string", "pattern": "^a"}, '"b"', '"b" does not match the pattern ^a'),
        ({"enum": ["a", "b"]}, '"c"', '"c" is not one of "a" or "b"'),
        (
            {"oneOf": [{"minimum": 1}, {"maximum": 3}]},
            "2",
            "2 is valid under 2 of the given schemas, and only one may fit",
        ),
    ],
    ids=shown,
)
def test_an_issue_says_where_and_what_so_that_a_model_can_repair_it(schema, text, issue):
    assert [str(i) for i in judge(schema, text, seconds=10).issues] == [issue]


@pytest.mark.slow
def test_issues_are_few_and_short_however_large_the_answer():
    validation = judge({"items": {"type": "string"}}, json.dumps([list(range(100))] * 2000), seconds=20)
    assert len(validation.issues) == bounds.MOST_ISSUES
    assert max(len(issue.message) for issue in validation.issues) <= 300


def test_a_check_ends_on_cancel():
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        judge({"items": {"pattern": "^(?!x)(a|aa)+$"}}, json.dumps(["a" * 99 + "b"] * 9), seconds=None, cancel=cancel)


@pytest.mark.slow
def test_without_a_deadline_a_check_ends_by_itself(monkeypatch):
    monkeypatch.setattr(bounds, "LONGEST_CHECK", 0.3)
    validation = over_in_time({"pattern": "^(?!x)(a|aa)+$"}, json.dumps("a" * 200 + "b"), seconds=None)
    assert validation.abandoned == ("schema",)


LEVELS = [nested(200, keyword) for keyword in ("items", "properties", "anyOf", "not")]
CYCLE: dict = {"type": "object"}
CYCLE["properties"] = {"a": CYCLE}
SHARED: dict = {"type": "integer"}
for _ in range(60):
    SHARED = {"anyOf": [SHARED, SHARED]}


@each(
    "schema",
    [
        *LEVELS,
        nested(3000, "items"),
        CYCLE,
        SHARED,
        {"$dynamicRef": "#x", "$dynamicAnchor": "x"},
        {"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveRef": "#"},
        {"properties": {"a": {"$id": "https://example.org/a", "items": {"$ref": "#/$defs/b"}}}},
        {"$ref": "#"},
        {"anyOf": [{"type": "string"}, {"not": {"$ref": "#"}}]},
        {"$ref": "#/properties/a/type", "properties": {"a": {"type": "string"}}},
        {"$ref": "#/x", "x": {"type": 5}},
        {"$ref": "#nowhere"},
        {"$ref": 5},
        {"$ref": "file:///etc/passwd"},
        {"$schema": "http://json-schema.org/draft-03/schema#", "type": "object"},
        {"enum": {1, 2}},
        {"type": "object", 1: 2},
        {"const": float("nan")},
        {"const": object()},
        {"const": "\ud800"},
        {"minimum": 10**5000},
        {"properties": 5},
        {"anyOf": [5]},
        {"items": "x"},
        {"minLength": "x", "type": "string"},
        {"multipleOf": 0},
        {"pattern": "("},
        {"pattern": "(((a{100}){100}){100}){100}"},
        {"patternProperties": {"[": True}},
    ],
)
def test_a_schema_that_cannot_be_checked_is_a_contract_error_with_a_sentence(schema):
    began = time.monotonic()
    with pytest.raises(ContractError) as raised:
        compile_output(schema)
    assert 10 < len(str(raised.value)) < 500
    assert time.monotonic() - began < 10


@each(
    ("schema", "value", "fits"),
    [
        ({"$schema": "https://example.org/own", "type": "integer"}, 1, True),
        (
            {"$id": "https://example.org/x", "$ref": "#n", "$defs": {"a": {"$anchor": "n", "type": "integer"}}},
            "a",
            False,
        ),
        ({"$ref": "#/components/a~1b%20c", "components": {"a/b c": {"type": "integer"}}}, 1, True),
        (
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "$ref": "#/definitions/a",
                "definitions": {"a": {"type": "integer"}},
                "maximum": 0,
            },
            1,
            True,
        ),
        ({"properties": {"a": {"$id": "https://example.org/a", "type": "integer"}}}, {"a": "x"}, False),
        ({"allOf": [True, {"anyOf": [False, {"const": 3}]}]}, 3, True),
    ],
    ids=shown,
)
def test_references_and_dialects_mean_what_the_standard_says(schema, value, fits):
    assert judge(schema, json.dumps(value), seconds=10).valid is fits


def test_a_reference_is_never_fetched(monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    for ref in ("http://127.0.0.1:9/x", "https://json-schema.org/draft/2020-12/schema", "file:///etc/hosts", "x.json"):
        with pytest.raises(ContractError, match="outside itself"):
            compile_output({"properties": {"a": {"$ref": ref}}})


NAMES = st.sampled_from(["a", "b", "type", "$ref", "items", "anyOf", "properties", "$id", "enum", "not", "required"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "#", "#/a", "object", "array", "^a", "("]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=times(200), derandomize=True, deadline=None)
@given(st.dictionaries(NAMES, ANYTHING, max_size=3), ANYTHING)
def test_any_json_as_a_schema_gives_a_verdict_or_a_contract_error(schema, value):
    try:
        contract = compile_output(schema)
    except ContractError:
        return
    text = json.dumps(value)
    contract.judge(Candidate(text), CheckContext(Request(conversation("?")), "small", text))


PARTS = st.recursive(
    st.sampled_from(
        [{}, True, False, {"type": "integer"}, {"$ref": "#/$defs/p"}, {"enum": [1, "a", None]}, {"pattern": "^a"}]
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            **{key: st.lists(inner, min_size=1, max_size=2) for key in ("anyOf", "allOf", "oneOf", "prefixItems")},
            **{
                key: st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
                for key in ("properties", "dependentSchemas")
            },
            **dict.fromkeys(("not", "if", "then", "else", "items", "contains", "propertyNames"), inner),
            **dict.fromkeys(("additionalProperties", "unevaluatedProperties", "unevaluatedItems"), inner),
            "maxContains": st.integers(0, 2),
            "required": st.just(["a"]),
        },
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.sampled_from([None, True, 0, 1, 1.5, "", "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=times(300), derandomize=True, deadline=None)
@given(PARTS, PARTS, VALUES)
def test_the_verdict_is_that_of_two_other_validators(schema, named, value):
    whole = {"allOf": [schema], "$defs": {"p": named}}
    try:
        contract = compile_output(whole)
    except ContractError as error:
        refused = str(error)
        assume("refers to itself" not in refused)
        raise
    text = json.dumps({"value": value})
    fits = contract.judge(Candidate(text), CheckContext(Request(conversation("?")), "small", text)).valid
    assert fits == jsonschema_rs.validator_for(whole).is_valid(value)
    assert fits == jsonschema.Draft202012Validator(whole).is_valid(value)


@pytest.mark.slow
def test_a_schema_of_very_many_large_patterns_is_given_up(monkeypatch):
    monkeypatch.setattr(compiled, "LONGEST_COMPILE", 0.3)
    many = {f"(?:{n}|[a-z]{{1,999}}){{1,20}}": True for n in range(2000)}
    with pytest.raises(ContractError, match="s to compile"):
        compile_output({"patternProperties": many})


# --- patterns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a|aa)+", "a" * 200 + "b"),
        ("(x+x+)+y", "x" * 200_000),
        ("(a*)*", "a" * 1_000_000 + "b"),
        (r"(a+)\1+b", "a" * 50_000),
    ],
)
def test_a_pattern_that_backtracks_for_ever_is_left_at_the_deadline(pattern, text):
    assert not over_in_time(re.compile(pattern), text).valid


WRITTEN = (
    r"a b 1 _ - . { } é ² \w \W \s \S \d \b \B [a-b] [^\W\d_] [\s-] []a] [[a] [a&&b] a{e} a{1,2} a{,2} (?i:A) (?P<n>a)"
    r" (?:ab)+ a*? a?+ $ ^ (?=a)"
)
ATOMS = st.sampled_from(WRITTEN.split())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
@settings(max_examples=times(400), derandomize=True, deadline=None)
@given(st.lists(ATOMS, min_size=1, max_size=4), st.text(alphabet="ab1_ -.{e}A[&]é²\u0301\x1c\n", max_size=5))
def test_what_regex_finds_is_what_re_finds(atoms, text):
    try:
        pattern = re.compile("".join(atoms))
    except re.error:
        return
    found = Whole(pattern)(text, bounds.Watch(Deadline(), Cancel()))
    assert found == (pattern.fullmatch(text) is not None)


class Old(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")
    code: str = Field(pattern="(a|aa)+$")


class Compiled(BaseModel):
    code: str = Field(pattern=re.compile("(a|aa)+$"))


class Both(BaseModel):
    old: Old
    others: list[Compiled] = []


@pytest.mark.parametrize(
    ("output", "wrap"), [(Old, '{"code": %s}'), (Compiled, '{"code": %s}'), (Both, '{"old": {"code": %s}}')]
)
def test_a_pydantic_pattern_of_pythons_re_is_left_at_the_deadline_and_means_the_same(output, wrap):
    assert judge(output, wrap % '"aaa"', seconds=10).valid
    assert "should match pattern" in str(judge(output, wrap % '"b"', seconds=10).issues[0])
    assert over_in_time(output, wrap % json.dumps("a" * 200 + "b")).abandoned


# --- pydantic --------------------------------------------------------------------------------------------------------


class Minus(BaseModel):
    left: Minus | Times | Number
    kind: Literal["minus"]


class Times(BaseModel):
    left: Minus | Times | Number
    kind: Literal["times"]


class Number(BaseModel):
    number: int


Minus.model_rebuild()


def sums(levels):
    tree: dict = {"number": 1}
    for _ in range(levels):
        tree = {"left": tree, "kind": "times"}
    return json.dumps(tree)


def test_a_union_that_would_be_tried_for_ever_is_refused_in_words_and_a_small_one_is_read():
    assert judge(Times, sums(6), seconds=20).valid
    for levels in (30, 90):
        assert "no discriminator" in str(over_in_time(Times, sums(levels)).issues[0])


def test_a_type_that_unfolds_without_end_is_a_contract_error():
    output: object = int
    for _ in range(40):
        output = tuple[output, output]
    with pytest.raises(ContractError, match="too many parts"):
        compile_output(output)


def test_very_many_errors_of_pydantic_are_not_all_listed():
    validation = judge(list[int], json.dumps(["x"] * 3000), seconds=20)
    assert len(validation.issues) == bounds.MOST_ISSUES
    assert str(validation.issues[7]) == '[7]: "x" is not of type "integer"'


# --- ready-made checks -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@each(
    ("values", "source"),
    [
        (list(range(20_000)), "1,2 3;" * 20_000),
        (["a " * 2000 + "b"], "a " * 100_000),
        (["x-" * 5000], "x-" * 200_000 + "x"),
        (["a" * 5000], "a" * 400_000),
        ([7], "9" * 400_000),
        ([7], "1." * 200_000),
        (["word"], "words " * 100_000),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_quoted_is_over_in_time_on_large_answers_and_sources(values, source):
    over_in_time({}, json.dumps(values), validators=[quoted(source=source)])


def test_quoted_tells_some_of_very_many_values_and_cuts_them():
    validation = judge(
        {}, json.dumps(["x" * 9000 + str(n) for n in range(300)]), validators=[quoted(source="y")], seconds=20
    )
    assert len(validation.issues) == bounds.MOST_ISSUES
    assert max(len(issue.message) for issue in validation.issues) < 400


@pytest.mark.slow
def test_a_long_name_in_a_schema_is_not_copied_to_everything_beneath_it():
    beneath = {f"p{number}": {"type": "string"} for number in range(2000)}
    schema = {"type": "object", "properties": {"k" * 1_000_000: {"type": "object", "properties": beneath}}}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with in_time():
        compile_output(schema)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB; copied, it would be 2 GB


@pytest.mark.slow
def test_ids_within_ids_are_walked_once():
    schema = {"type": "integer"}
    for number in range(40):
        schema = {"$id": f"https://example.com/{number}", "type": "object", "properties": {"x": schema}}
        schema["properties"] |= {f"p{number}_{n}": {"type": "string"} for n in range(100)}
    with in_time():
        compile_output(schema)
