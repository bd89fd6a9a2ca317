"""Settings, quotes, and schemas for strict mode."""

from decimal import Decimal

import jsonschema
import pytest
from pydantic import BaseModel

from helpers.each import each
from openai_tier.conftest import call
from rung.errors import ConfigError, Unsupported
from rung.tiers.openai import OpenAITier, from_config
from rung.tiers.openai.strict import closed
from rung.types import Call, Image, Message, Price, Shape, Zone

LOCAL = {"model": "m", "base_url": "http://127.0.0.1:1/v1"}


def test_a_table_of_settings_makes_a_tier():
    tier = from_config(
        "cloud",
        {
            **LOCAL,
            "api_key": {"env": "SCRIPTED_KEY"},
            "price": {"input": 1.0, "output": 4.0},
            "zone": "internet",
            "extra_body": {"top_k": 4},
            "retries": 0,
        },
    )
    assert (tier.name, tier.zone) == ("cloud", Zone.INTERNET)
    assert tier._key.source.name == "SCRIPTED_KEY"
    assert tier._tariff.at(0) == Price(1, 4)


@each(
    ("settings", "message"),
    [
        ({"api_key": "sk-CANARY"}, r'write api_key = \{ env = "OPENAI_API_KEY" \}'),
        ({"api_key": {"env": "sk-CANARY"}}, "environment variable"),
        ({"api_key": {"value": "sk-CANARY"}}, "api_key"),
        ({"price": {"input": float("nan"), "output": 1.0}}, "price.input"),
        ({"price": {"input": -1.0, "output": 1.0}}, "price.input"),
        ({"price": {"input": 1.0}}, "'price.output' is missing"),
        ({"bas_url": "x"}, "did you mean 'base_url'"),
        ({"constraint": "grammar"}, "constraint"),
        ({"zone": "mars"}, "host, lan or internet"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stall_seconds": 0.0}, "stall_seconds"),
        ({"retries": -1}, "retries"),
        ({"ca_bundle": "/no/such/file"}, "ca_bundle"),
        ({"extra_body": {"max_tokens": 9}}, "extra_body sets 'max_tokens'"),
        ({"extra_body": {"x": object()}}, "not JSON"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings, message):
    with pytest.raises(ConfigError, match=message) as caught:
        from_config("cloud", {**LOCAL, **settings})
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("setting", ["constraint", "token_limit"])
def test_a_wrong_word_in_code_is_refused_too(setting):
    with pytest.raises(ConfigError, match=setting):
        OpenAITier("m", **{setting: "grammar"})


def test_a_table_without_a_model_is_refused():
    with pytest.raises(ConfigError, match="'model' is missing"):
        from_config("cloud", {})


def test_a_quote_bounds_the_money_from_above_and_names_its_price():
    tier = OpenAITier("m", base_url=LOCAL["base_url"], price=Price(1, 4), context=8192)
    quote = tier.quote(call("word " * 1000, max_tokens=100))
    assert quote.input_tokens >= 5000
    assert (quote.max_tokens, quote.context, quote.price) == (100, 8192, Price(1, 4))
    assert quote.max_cost == (Decimal(quote.input_tokens) + 400) / 1_000_000
    assert tier.quote(call()).max_tokens == 2048
    assert tier.quote(call(candidates=3)).max_cost > 2 * tier.quote(call()).max_cost


def test_a_quote_counts_what_is_sent_beside_the_prompt():
    tier = OpenAITier("m", base_url=LOCAL["base_url"])
    schema = {"type": "object", "properties": {"a" * 500: {"type": "string"}}}
    longer = tier.quote(call(shape=Shape("json", schema))).input_tokens - tier.quote(call()).input_tokens
    assert longer > 500


@each("text", ["plain words", "ÄÖÜ und 漢字", "😀" * 20, "\x00\x01" * 50, "a" * 500])
def test_no_byte_level_tokenizer_makes_more_tokens_than_the_quote_says(text):
    tier = OpenAITier("m", base_url=LOCAL["base_url"])
    assert tier.quote(call(text)).input_tokens >= len(text.encode())


def test_a_picture_can_not_be_priced_and_is_refused_only_where_there_is_a_price():
    pictured = Call((Message("user", (Image(b"x", "image/png"),)),))
    assert OpenAITier("m", base_url=LOCAL["base_url"]).quote(pictured).input_tokens is None
    with pytest.raises(Unsupported, match="picture"):
        OpenAITier("m", base_url=LOCAL["base_url"], price=Price(1, 1)).quote(pictured)


def test_a_price_of_nothing_costs_nothing():
    assert OpenAITier("m", base_url=LOCAL["base_url"], price=Price(0, 0)).quote(call()).max_cost == 0


class Line(BaseModel):
    what: str
    note: str | None = None


class Order(BaseModel):
    lines: list[Line]
    total: float


class Priced(BaseModel):
    currency: str = "EUR"


def test_a_closed_schema_takes_nothing_that_the_schema_itself_refuses():
    schema = Order.model_json_schema()
    strict = closed(schema)
    assert strict["additionalProperties"] is False
    assert strict["$defs"]["Line"]["required"] == ["what", "note"]
    assert "default" not in strict["$defs"]["Line"]["properties"]["note"]
    assert schema["$defs"]["Line"]["required"] == ["what"]
    for value in (
        {"lines": [{"what": "x", "note": None}], "total": 1.0},
        {"lines": [{"what": "x"}], "total": 1.0},
        {"lines": [], "total": 1.0, "more": 1},
        {"lines": [{"what": 1, "note": None}], "total": 1.0},
    ):
        if jsonschema.Draft202012Validator(strict).is_valid(value):
            assert jsonschema.Draft202012Validator(schema).is_valid(value)


@each(
    "schema",
    [
        Priced.model_json_schema(),
        {"type": "object", "additionalProperties": True},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"oneOf": [{"type": "string"}, {"type": "null"}]}}, "required": ["a"]},
        {"type": "object", "properties": {"a": True}, "required": ["a"]},
        {"type": "object", "properties": {}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a", "description": "x"}}, "required": ["a"]},
        {"anyOf": [{"type": "object"}]},
    ],
)
def test_a_schema_that_strict_mode_would_change_or_refuse_is_left_as_it_is(schema):
    assert closed(schema) is None
