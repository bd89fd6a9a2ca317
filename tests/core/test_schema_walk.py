"""One walk over JSON Schemas: each schema in a schema is met once, and nothing that is data is taken for one."""

from __future__ import annotations

import copy
import json
from urllib.parse import urljoin

import jsonschema_specifications
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.each import each
from helpers.thorough import times
from rung import Ladder, schemas
from rung.checks import quoted
from rung.contract import compile_output
from rung.engine.masking import mask
from rung.errors import ContractError
from rung.testing import ScriptedTier
from rung.tiers.llama.worker.enforceable import enforceable
from rung.tiers.openai.strict import closed
from rung.types import Message, Shape

URIS = {
    4: "http://json-schema.org/draft-04/schema",
    6: "http://json-schema.org/draft-06/schema",
    7: "http://json-schema.org/draft-07/schema",
    2019: "https://json-schema.org/draft/2019-09/schema",
    2020: "https://json-schema.org/draft/2020-12/schema",
}


def said(uri):
    """What a draft's meta-schema says of each keyword, that of its vocabularies included."""
    whole = jsonschema_specifications.REGISTRY.contents(uri)
    found = dict(whole["properties"])
    for part in whole.get("allOf", ()):
        found |= said(urljoin(uri, part["$ref"]))
    return found


def is_schema(it):
    if isinstance(it, bool):
        return False
    refs = {it.get(key) for key in ("$ref", "$recursiveRef", "$dynamicRef")}
    return bool(refs & {"#", "#meta"}) or any(map(is_schema, it.get("anyOf", ())))


def forms(uri):
    """The keywords that hold schemas by a draft's meta-schema, each with its forms there."""
    found = {}
    for key, it in said(uri).items():
        options = {"one"} if is_schema(it) else set()
        options |= {"several"} if "schemaArray" in json.dumps(it) else set()
        options |= {"named"} if not isinstance(it, bool) and is_schema(it.get("additionalProperties", False)) else set()
        if options:
            found[key] = options
    return found


@each("draft", URIS)
def test_the_table_of_keywords_is_that_of_the_drafts_own_meta_schemas(draft):
    ours = {key for key in schemas.HOLDERS if key in schemas.draft_of(URIS[draft]).keywords}
    theirs = forms(URIS[draft])
    # people refer to `$defs` whatever the draft
    assert ours - {"$defs"} == theirs.keys() - {"$defs"}
    assert all(schemas.HOLDERS[key] in options for key, options in theirs.items())
    assert [key for key, options in theirs.items() if len(options) > 1] == (["items"] if draft < 2020 else [])


# --- any schema ------------------------------------------------------------------------------------------------------

FORMS = {key: next(iter(options)) for key, options in forms(URIS[2020]).items()}
NAMES = st.sampled_from(["a", "properties", "items", "anyOf", "$ref", "const", "$defs", "a/b~c", ""])
DATA = st.sampled_from(["const", "enum", "default", "examples", "x-own", "nullable", "dependentRequired", "items-of"])
NO_SCHEMAS = st.recursive(
    st.none() | st.integers(0, 2) | st.just({"mark": "data", "properties": {"a": {"mark": "data"}}}),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)


@st.composite
def holding(draw, inner):
    """A schema that holds others as the meta-schema of 2020-12 says, beside data that only looks like schemas."""
    schema = {}
    for key in draw(st.lists(st.sampled_from(sorted(FORMS)), max_size=3, unique=True)):
        one = FORMS[key] == "one"
        lists = st.lists(inner, min_size=1, max_size=2)
        schema[key] = draw(inner if one else lists if FORMS[key] == "several" else st.dictionaries(NAMES, inner))
    return schema | draw(st.dictionaries(DATA, NO_SCHEMAS, max_size=2))


ANY = st.recursive(st.booleans() | st.just({}), lambda inner: holding(inner), max_leaves=8)
ROOTS = holding(ANY)


def marked(schema, marks):
    """A copy whose schemas are numbered, by the meta-schema's word and no table of ours."""
    if isinstance(schema, bool):
        return schema
    found = {}
    for key, value in schema.items():
        form = FORMS.get(key)
        if form == "one":
            value = marked(value, marks)
        elif form == "several":
            value = [marked(inner, marks) for inner in value]
        elif form == "named":
            value = {name: marked(inner, marks) for name, inner in value.items()}
        found[key] = value
    marks.append(len(marks))
    return {**found, "mark": marks[-1]}


@settings(max_examples=times(50), derandomize=True, deadline=None, database=None)
@given(ROOTS)
def test_every_schema_in_a_schema_is_met_once_with_the_steps_to_it_and_nothing_else_is(schema):
    marks: list[int] = []
    schema = marked(schema, marks)
    met = [(path, node) for path, node in schemas.walk(schema) if isinstance(node, dict)]
    assert sorted(node["mark"] for _, node in met) == marks
    for path, node in met:
        at = schema
        for step in path:
            at = at[step]
        assert at is node
    order = [path for path, _ in met]
    assert all(outer[: len(path)] != path for n, path in enumerate(order) for outer in order[:n]), "an inner one first"


@settings(max_examples=times(50), derandomize=True, deadline=None, database=None)
@given(ROOTS)
def test_a_schema_rebuilt_is_equal_and_changes_reach_its_schemas_alone(schema):
    marks: list[int] = []
    schema = marked(schema, marks)
    before, seen = copy.deepcopy(schema), []

    def without(node):
        seen.append(node.pop("mark"))
        return node

    same = schemas.rebuilt(schema, lambda node: node)
    assert same == schema
    assert list(same) == list(schema)
    plain = schemas.rebuilt(schema, without)
    assert schema == before, "the original was changed"
    assert seen == marks, "not the inner before the outer, or not each once"
    assert marked(plain, []) == schema


# --- references ------------------------------------------------------------------------------------------------------

SHARED = {
    "type": "object",
    "properties": {"a": {"$ref": "#/components/a"}, "again": {"$ref": "#/components/a"}},
    "components": {"a": {"title": "A", "items": {"$ref": "#/components/list/1"}}, "list": [{"title": "data"}, {}]},
}


def test_what_a_reference_points_at_in_data_is_a_schema_too_and_what_lies_beside_it_is_not():
    paths = [path for path, _ in schemas.walk(SHARED)]
    assert set(paths) == {
        *((), ("properties", "a"), ("properties", "again")),
        *(("components", "a"), ("components", "a", "items"), ("components", "list", 1)),
    }
    assert len(paths) == len(set(paths))
    rebuilt = schemas.rebuilt(SHARED, lambda node: {**node, "title": "T"})
    assert rebuilt["components"] == {
        "a": {"title": "T", "items": {"title": "T", "$ref": "#/components/list/1"}},
        "list": [{"title": "data"}, {"title": "T"}],
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"$ref": "#/x/y/z"}, {"$ref": "#/x"}], "x": {"y": {"z": {}}, "title": "x"}},
        {"$ref": "#/properties", "properties": {"items": {"not": {}}, "b": {"$ref": "#/properties/items"}}},
        {"$ref": "#/allOf/1/x", "allOf": [{}, {"x": {"y": {"$ref": "#/allOf/1"}}}]},
    ],
)
def test_the_outer_comes_before_the_inner_in_whatever_order_references_lead_there(schema):
    order = [path for path, _ in schemas.walk(schema)]
    assert len(order) == len(set(order))
    assert all(outer[: len(path)] != path for n, path in enumerate(order) for outer in order[:n])
    assert schemas.rebuilt(schema, lambda node: node) == schema
    marked = schemas.rebuilt(schema, lambda node: {**node, "mark": True})
    assert json.dumps(marked).count('"mark"') == sum(isinstance(node, dict) for _, node in schemas.walk(schema))


@each("ref", ["#/nowhere", "#/anyOf/7", "#/anyOf/x", "#/title/a", "#%ff", "#/%ff", "#name", "http://a/b", 5, "", "#"])
def test_a_reference_that_leads_nowhere_or_elsewhere_adds_nothing(ref):
    schema = {"anyOf": [{"$ref": ref}], "title": "t"}
    assert [path for path, _ in schemas.walk(schema)] == [(), ("anyOf", 0)]


def test_circles_of_references_end():
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    assert len(list(schemas.walk(schema))) == 3
    assert schemas.rebuilt(schema, lambda node: node) == schema
    assert "$ref" in schemas.followed(schema, schema)


def bomb():
    schema: dict = {}
    for _ in range(60):
        schema = {"anyOf": [schema, schema]}
    return schema


def circle():
    schema: dict = {}
    schema["properties"] = {"a": schema}
    return schema


def chain():
    schema: dict = {}
    for _ in range(5000):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize("make", [bomb, circle, chain])
def test_a_walk_ends_whatever_it_is_given(make):
    with pytest.raises(ContractError, match="more than"):
        schemas.rebuilt(make(), dict)


# --- those who walk --------------------------------------------------------------------------------------------------

LIKE_KEYWORDS = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "pattern": {"type": "string"}, "nullable": {"type": "string"}},
    "dependentRequired": {"title": ["pattern"], "pattern": ["title"], "nullable": ["title"]},
    "x-own": {"title": "kept", "pattern": "kept", "type": "object", "properties": {"other": {}}},
}


def test_names_of_properties_that_are_called_like_keywords_stay():
    """Until now each room took the names in `dependentRequired` for keywords, and left out another one."""
    contract = compile_output(LIKE_KEYWORDS)
    told = contract.instruct((Message("user", "?"),))[0].text
    assert json.loads(told[told.index("{") :]) == LIKE_KEYWORDS

    def redactor(messages):
        return tuple(Message(m.role, m.text.replace("kept", "K")) for m in messages), str

    _, shape, _ = mask((Message("user", "?"),), contract.shape, redactor)
    assert shape.schema["dependentRequired"] == LIKE_KEYWORDS["dependentRequired"]
    held = enforceable(LIKE_KEYWORDS, lambda schema: "")
    assert held.schema["dependentRequired"] == LIKE_KEYWORDS["dependentRequired"]
    assert schemas.property_names(LIKE_KEYWORDS) == {"title", "pattern", "nullable"}


def test_a_field_that_only_a_literal_of_the_schema_mentions_is_not_a_field_of_the_answer():
    schema = {
        "type": "object",
        "properties": {"total": {"type": "integer"}},
        "default": {"properties": {"vendor": 1}},
        "additionalProperties": False,
    }
    with pytest.raises(ContractError, match="vendor"):
        Ladder(ScriptedTier("small", '{"total": 3}')).run("It is 3.", schema, validators=[quoted("vendor")])


@pytest.mark.parametrize("draft", [7, 2020])
def test_schemas_in_dependencies_are_changed_like_any_other(draft):
    schema = {
        "$schema": URIS[draft],
        "type": "object",
        "dependencies": {"title": ["a"], "a": {"title": "noise", "required": ["b"]}},
    }
    told = compile_output(schema).instruct((Message("user", "?"),))[0].text
    assert json.loads(told[told.index("{") :])["dependencies"] == {"title": ["a"], "a": {"required": ["b"]}}


@each("keyword", ["dependencies", "additionalItems", "prefixItems", "contains", "not"])
def test_strict_mode_is_given_no_keyword_with_schemas_that_it_does_not_know(keyword):
    inner = {"a": {}} if schemas.HOLDERS[keyword] == "named" else [{}] if keyword == "prefixItems" else {}
    assert closed({"type": "object", keyword: inner}) is None
    assert closed({"type": "object", "properties": {keyword: {"type": "null"}}}) is not None
    assert closed({"type": "object", "properties": {"additionalProperties": False}}) is None


def test_references_into_data_survive_the_wrapping_of_a_list():
    schema = {
        "type": "array",
        "items": {"$ref": "#/components/a"},
        "components": {"a": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/components/a"}}]}},
    }
    shape = compile_output(schema).shape
    assert isinstance(shape, Shape)
    refs = {node["$ref"] for _, node in schemas.walk(shape.schema) if isinstance(node, dict) and "$ref" in node}
    assert refs == {"#/properties/value/components/a"}
    assert schemas.followed(shape.schema, {"$ref": refs.pop()})["anyOf"][0] == {"type": "integer"}
