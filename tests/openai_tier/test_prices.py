"""Prices that the package genai-prices carries, read offline."""

from __future__ import annotations

import sys
from decimal import Decimal

import pytest

from openai_tier.conftest import call
from rung import Price
from rung.errors import ConfigError
from rung.tiers.openai import OpenAITier, from_config
from rung.tiers.openai.prices import Tariff, tariff

OPENAI = "https://api.openai.com/v1"


def test_a_listed_model_is_priced_as_listed_and_capped_like_any_paid_one():
    tier = from_config("cloud", {"model": "gpt-4o-mini", "price": "genai-prices"})
    quote = tier.quote(call())
    assert quote.price == Price("0.15", "0.6")
    assert quote.max_tokens == 2048
    assert quote.max_cost == quote.price.cost(quote.input_tokens, 2048)


def test_a_long_prompt_has_the_price_of_long_prompts():
    url = "https://generativelanguage.googleapis.com/v1beta/openai"
    charges = tariff("genai-prices", "gemini-2.5-pro", url, "tier")
    short, long = charges.at(199_999), charges.at(200_000)
    assert long.input > short.input
    assert long.output > short.output
    assert charges.at(10**9) == long


def test_the_step_that_a_prompt_reaches_counts_for_all_of_it():
    charges = Tariff(((0, Price(1, 1)), (100, Price(2, 3))))
    assert [charges.at(n) for n in (0, 99, 100, 5000)] == [Price(1, 1)] * 2 + [Price(2, 3)] * 2
    assert not charges.free
    assert Tariff(((0, Price(0, 0)),)).free


@pytest.mark.parametrize(
    ("model", "url"), [("no-such-model", OPENAI), ("gpt-4o-mini", "http://127.0.0.1:1/v1"), ("whisper-1", OPENAI)]
)
def test_an_unknown_price_is_an_error_that_names_the_setting(model, url):
    with pytest.raises(ConfigError, match=r"tier 'cloud': price.*input = \.\.\., output = \.\.\."):
        from_config("cloud", {"model": model, "base_url": url, "price": "genai-prices"})


def test_another_word_for_a_price_is_an_error():
    with pytest.raises(ConfigError, match="price"):
        OpenAITier("m", price="cheap")
    with pytest.raises(ConfigError, match="price"):
        from_config("cloud", {"model": "m", "price": "cheap"})


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(ConfigError, match=r"pip install 'rung\[prices\]'"):
        OpenAITier("gpt-4o-mini", price="genai-prices")


def test_nothing_keeps_the_prices_up_to_date_behind_ones_back():
    import threading

    from genai_prices.data_snapshot import get_snapshot

    OpenAITier("gpt-4o-mini", price="genai-prices")
    assert not get_snapshot().from_auto_update
    assert not [t for t in threading.enumerate() if "price" in t.name.lower()]


def test_a_price_given_as_it_is_needs_no_list():
    assert tariff(Price(1, 4), "m", OPENAI, "tier").at(5).cost(10**6, 0) == Decimal(1)
    assert tariff(None, "m", OPENAI, "tier") is None
