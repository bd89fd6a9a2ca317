"""Numbers are decimal: what a person would call a multiple is one, no digit is lost, and none is infinite."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from helpers.each import each
from helpers.thorough import times
from rung import Ladder, Rung
from rung.contract import pydantic_schema
from rung.testing import ScriptedTier


def run(text, output):
    return Ladder(Rung(ScriptedTier("small", text), repairs=0)).run("How much is it?", output)


class Priced(BaseModel):
    price: Decimal
    note: str = ""


@settings(max_examples=times(60), derandomize=True, deadline=None, database=None)
@given(cents=st.integers(-(10**9), 10**9))
def test_every_sum_of_money_is_a_multiple_of_a_cent(cents):
    price = f"{Decimal(cents) / 100:.2f}"
    assert run(price, {"type": "number", "multipleOf": 0.01}).value == float(price)
    assert run(price, Annotated[float, Field(multiple_of=0.01)]).value == float(price)
    assert run(price, Annotated[Decimal, Field(multiple_of=Decimal("0.01"))]).value == Decimal(price)


@pytest.mark.parametrize("text", ["19.999", "0.001"])
def test_what_is_no_multiple_of_a_cent_is_rejected(text):
    assert not run(text, {"type": "number", "multipleOf": 0.01}).accepted
    assert not run(text, Annotated[Decimal, Field(multiple_of=Decimal("0.01"))]).accepted


@each("digits", ["12345678901234567890.123456789", "0.1234567890123456789", "-99999999999999999.99"])
@each("form", ["{}", '"{}"', '{{"value": {}}}'])
def test_a_decimal_keeps_every_digit_that_was_written(digits, form):
    assert run(form.format(digits), Decimal).value == Decimal(digits)
    assert run(f'{{"price": {digits}}}', Priced).value.price == Decimal(digits)


INFINITE = ("1e999", "-1e999", '{"value": 1e400}', "Infinity", "-Infinity", "NaN", "9" * 400 + ".5")
IN_QUOTES = ('"Infinity"', '" inf "', '{"value": "-infinity"}', '"NaN"', '"1e999"', f'"{"9" * 400}"')


@each("text", INFINITE)
@each("output", [float, float | None, Decimal, {"type": "number"}, {}, list[float]], ids=str)
def test_a_number_that_json_does_not_have_is_rejected_with_a_sentence(text, output):
    outcome = run(f"[{text}]" if output == list[float] else text, output)
    assert not outcome.accepted
    assert len(outcome.attempts[0].issues[0].message) > 10


@each("text", IN_QUOTES)
@each("output", [float, float | None, list[float], {"type": "number"}], ids=str)
def test_nor_is_one_made_of_a_text(text, output):
    assert not run(f"[{text}]" if output == list[float] else text, output).accepted


def test_a_text_that_only_reads_like_infinity_is_a_text():
    class Ship(BaseModel):
        name: str
        length: float

    assert run('{"name": "Infinity", "length": 2.5}', Ship).value.name == "Infinity"


DIGITS = st.integers(1, 7)


@settings(max_examples=times(120), derandomize=True, deadline=None, database=None)
@given(
    digits=DIGITS,
    places=st.integers(0, 4) | st.none(),
    whole=st.integers(0, 10**5),
    after=st.text("0123456789", max_size=5),
)
def test_the_pattern_of_a_decimal_takes_what_pydantic_takes(digits, places, whole, after):
    """Zeros at the end of a number are the only thing in which pydantic, by its version, may be laxer."""
    adapter = TypeAdapter(Annotated[Decimal, Field(max_digits=digits, decimal_places=places)])
    held = pydantic_schema.held(adapter)
    pattern = next(it["pattern"] for it in [held, *held.get("anyOf", ())] if "pattern" in it)
    written = f"{whole}.{after}" if after else str(whole)
    try:
        adapter.validate_json(json.dumps(written))
        takes = True
    except ValueError:
        takes = False
    matches = re.fullmatch(pattern, written) is not None
    assert not matches or takes
    if takes and not after.endswith("0"):
        assert matches
