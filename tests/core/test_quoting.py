"""A value is quoted where a person would call it the same text, and only there.

| kind | tests |
|---|---|
| scripts, particles, vowel signs, typography | `test_what_a_person_would_call_the_same_text_is_quoted`, `..._not` |
| forms of Unicode, white space, case | `test_no_form_of_unicode_no_white_space_and_no_case_makes_a_difference` |
| numbers | `test_a_number_is_quoted_in_every_notation` and its counterpart, `..._whatever_separates_its_thousands` |
| time | `test_a_long_source_is_read_once_for_all_values` |
| names of fields | the tests at the end |
"""

from __future__ import annotations

import time
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from helpers.each import each
from helpers.thorough import times
from rung import CheckContext, Ladder, Request, Rung
from rung.checks import quoted
from rung.errors import ContractError
from rung.testing import ScriptedTier
from rung.types import conversation


def is_quoted(value, source):
    context = CheckContext(Request(conversation("?")), "small", "")
    return quoted("v", source=source)({"v": value}, context) == []


SAME = [
    ("北京市", "收件人王小明住在北京市朝阳区"),
    ("王小明", "收件人王小明住在北京市朝阳区"),
    ("東京都", "住所は東京都千代田区です。"),
    ("カメラ", "新しいカメラを買いました"),
    ("カメラ", "新しいｶﾒﾗを買いました"),
    ("กรุงเทพ", "ผมอยู่ที่กรุงเทพมหานคร"),
    ("서울", "저는 서울에서 왔습니다"),
    ("김민수", "김민수는 학생입니다"),
    ("부산", "부산까지는 멀다"),
    ("ירושלים", "הוא גר בירושלים."),
    ("בית", "והבית גדול"),
    ("שלום", "אמר שָׁלוֹם לכולם"),
    ("القاهرة", "سافر إلى القاهرة أمس"),
    ("القاهرة", "سافر للقاهرة أمس"),
    ("القاهرة", "وصل بالقاهرة"),
    ("قاهرة", "في القاهرة"),
    ("احمد", "جاء أحمد"),
    ("محمد", "قال مُحَمَّد"),
    ("हिन्दी", "वह हिन्दी बोलता है"),
    ("தமிழ்", "அவர் தமிழ் பேசுகிறார்"),
    ("O'Neil", "It’s 1’234.50 for O’Neil"),
    ("O’Neil", "It's for O'Neil"),
    ("2024-17", "Invoice 2024–17"),
    ("Jean-Luc", "Jean‑Luc"),
    ("office", "the oﬃce is closed"),
    ("Zeitung", "Zei\u00adtung von heute"),
    ("Straße", "HAUPTSTRASSE, or STRASSE"),
    ("ΟΔΟΣ", "η οδος"),
    ("İstanbul", "istanbul"),
    ("Diyarbakır", "DİYARBAKIR"),
    ("ＡＢＣ株式会社", "ABC株式会社様"),
    ("Müller & Söhne", "Mu\u0308ller  &\nSo\u0308hne GmbH"),
    ('"quoted"', "he said “quoted” twice"),
    ("ACME", "(ACME)"),
    ("Tokyo", "東京Tokyo駅"),
    ("3 kg", "3\u00a0kg"),
]
OTHER = [
    ("Müll", "Müller & Söhne"),
    ("ea at", "tea at noon"),
    ("北京市", "北京是首都"),
    ("क", "कि यह"),
    ("ก", "ก็ดี"),
    ("민국", "대한민국"),
    ("서울", "서울특별한것"),
    ("Muller", "Müller"),
    ("cat", "concatenate"),
    ("art_1", "art_12"),
    ("شمس", "لمشمس"),
    ("", " "),
]


@each(("value", "source"), SAME)
def test_what_a_person_would_call_the_same_text_is_quoted(value, source):
    assert is_quoted(value, source)


@each(("value", "source"), [pair for pair in OTHER if pair[0]])
def test_what_is_another_word_or_a_part_of_one_is_not(value, source):
    assert not is_quoted(value, source)


WORDS = st.text(
    st.characters(codec="utf-8", categories=("Lu", "Ll", "Lo"), max_codepoint=0xFFFF), min_size=2, max_size=6
)


@settings(max_examples=times(150), derandomize=True, deadline=None, database=None)
@given(
    words=st.lists(WORDS, min_size=1, max_size=3),
    form=st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
    space=st.sampled_from([" ", "  ", "\n", "\t", "\u00a0", "\u2003", "\u3000", " \u200b"]),
    case=st.sampled_from([str.upper, str.lower, str.casefold, str]),
)
def test_no_form_of_unicode_no_white_space_and_no_case_makes_a_difference(words, form, space, case):
    value = " ".join(words)
    source = f"It says: {unicodedata.normalize(form, case(space.join(words)))} ."
    assert is_quoted(value, source)


NUMBERS = [
    (1234.5, "It’s 1’234.50 for you"),
    (1234.5, "1'234.50"),
    (1234.5, "EUR 1.234,50"),
    (1234.5, "1\u00a0234,50 €"),
    (1234.5, "1\u2009234.5"),
    (1234.5, "1\u202f234,5"),
    (1234567, "1_234_567"),
    (1234567.89, "₹12,34,567.89"),
    (1234, "١٬٢٣٤"),
    (12.5, "١٢٫٥ كيلو"),
    (2026, "२०२६ में"),
    (1234, "１，２３４円"),
    (-5, "−5 °C"),
    (-1234.5, "–1,234.50"),
    (0.5, "about .5 l"),
    (1500, "1.5e3"),
    (2026, "on 3.5.2026"),
    (3, "on 3.5.2026"),
    (7, "Codes: 7,8,9"),
    (Decimal("19.99"), "$19.99"),
    (5, "5kg"),
    ("1234.5", "1’234.50"),
]
NO_NUMBERS = [
    (50, "1,234.50"),
    (1234, "1,234.50"),
    (75, "3,75"),
    (-12, "2024, 12 cups"),
    (-3, "2024-03-05"),
    (234, "1,234"),
]


@each(("value", "source"), NUMBERS)
def test_a_number_is_quoted_in_every_notation(value, source):
    assert is_quoted(value, source)


@each(("value", "source"), NO_NUMBERS)
def test_a_part_of_a_number_is_not(value, source):
    assert not is_quoted(value, source)


@settings(max_examples=times(150), derandomize=True, deadline=None, database=None)
@given(
    cents=st.integers(0, 10**12),
    marks=st.sampled_from(
        [(",", "."), (".", ","), ("'", "."), ("’", "."), (" ", ","), ("\u202f", ","), ("_", "."), ("٬", "٫")]
    ),
)
def test_a_sum_is_quoted_whatever_separates_its_thousands(cents, marks):
    value = Decimal(cents) / 100
    thousands, point = marks
    written = f"{value:,.2f}".replace(",", "\0").replace(".", point).replace("\0", thousands)
    assert is_quoted(value, f"Total: {written} EUR")


@each(
    "source",
    [
        "1, " * 260_000,
        "1 " * 390_000,
        "1,23." * 156_000,
        "9" * 780_000,
        "a1" * 390_000,
        "x" * 780_000,
        "1   " * 195_000,
    ],
    ids=lambda source: source[:6],
)
def test_a_long_source_is_read_once_for_all_values(source):
    source *= 200_000 // len(source)
    context = CheckContext(Request(conversation("?")), "small", "")
    values = {"v": [*range(1000, 1020), "xx", "x" * 1000, "not there", "1, 2"]}
    began = time.process_time()
    assert quoted("v", source=source)(values, context)
    assert time.process_time() - began < 5


# --- the names of fields ---------------------------------------------------------------------------------------------


class Line(BaseModel):
    name: str = Field(alias="Bezeichnung")


class Bill(BaseModel):
    number: str = Field(alias="Rechnungsnummer")
    currency: str = "EUR"
    lines: list[Line] = []


@dataclass
class Point:
    place: str


def run(text, output, check, prompt="Rechnung R-17 über Tee, 5 €"):
    return Ladder(Rung(ScriptedTier("small", text), repairs=0)).run(prompt, output, validators=[check])


BILL = '{"Rechnungsnummer": "R-17", "lines": [{"Bezeichnung": "Tee"}]}'


@pytest.mark.parametrize("name", ["number", "Rechnungsnummer", "lines.name", "lines.Bezeichnung"])
def test_a_field_goes_by_its_own_name_and_by_its_alias(name):
    assert run(BILL, Bill, quoted(name)).accepted
    wrong = BILL.replace("R-17", "R-18").replace("Tee", "Kaffee")
    assert [i.code for i in run(wrong, Bill, quoted(name)).attempts[0].issues] == [f"check:quoted({name})"]


def test_a_dataclass_has_fields_too():
    assert run('{"place": "Tee"}', Point, quoted("place")).accepted
    assert not run('{"place": "Kaffee"}', Point, quoted("place")).accepted


def test_a_field_may_have_other_spellings_in_the_source():
    check = quoted("number", aliases={"currency": {"EUR": ["€", "Euro"], "USD": ["$"]}})
    assert run(BILL, Bill, check).accepted
    wrong = BILL.replace('"lines"', '"currency": "USD", "lines"')
    assert [i.path for i in run(wrong, Bill, check).attempts[0].issues] == ["currency"]


@each(
    ("output", "name", "says"),
    [
        (Bill, "numbr", "did you mean 'number'"),
        (Bill, "lines.nam", "did you mean 'name'"),
        (Point, "plaice", "did you mean 'place'"),
        ({"type": "object", "properties": {"vendor": {}}}, "vendr", "did you mean 'vendor'"),
        (None, "vendor", "ask for an object"),
        (["a", "b"], "vendor", "ask for an object"),
    ],
)
def test_a_misspelt_field_is_told_before_anything_is_asked(output, name, says):
    tier = ScriptedTier("small", "{}")
    with pytest.raises(ContractError, match=says):
        Ladder(tier).run("?", output, validators=[quoted(name)])
    assert tier.calls == []
    with pytest.raises(ContractError, match="no field"):
        Ladder(tier).run("?", output, validators=[quoted(aliases={name: {}})])


def test_where_any_field_may_be_there_none_is_misspelt():
    assert run('{"vendor": "Tee"}', dict[str, str], quoted("vendor")).accepted
