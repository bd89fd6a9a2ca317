"""What is masked before a prompt leaves, and that all of it comes back."""

from __future__ import annotations

import json
import random
import time
from itertools import chain, count, islice, product

import pytest

from helpers.each import each
from redaction_texts import VALUES, text_with
from rung import Image, Message, Text, ToolCall, redact


def mask(text):
    (message,), restore = redact((Message("user", text),))
    return message.text, restore


@pytest.mark.slow
@pytest.mark.parametrize("kind", VALUES)
def test_a_value_of_each_kind_is_gone_and_comes_back(kind):
    dice = random.Random(kind)
    for _ in range(200):
        value = VALUES[kind](dice)
        for text in (value, f"It is {value}.", f'{{"a": "{value}"}}', f"<{value}>, or ({value})!", f'"\\n{value}\\n"'):
            masked, restore = mask(text)
            assert value not in masked, text
            assert f"[{kind}_1]" in masked
            assert restore(masked) == text


@each(
    "text",
    [
        "a@b, x @ y, @name, user@host",
        "1234567890123 and 4111 1111 1111 1112, 2026-11-23 12:00:00, +49 170 1234567",
        "DE88 3704 0044 0532 0130 00, FR12",
        "token = tokenizer.encode(text), secret: hidden, /usr/lib/python3/site-packages/some_module",
        "550e8400-e29b-41d4-a716-446655440000",
    ],
)
def test_what_only_resembles_them_is_left_alone(text):
    assert mask(text)[0] == text


def test_words_and_numbers_beside_a_value_stay():
    masked, _ = mask("card 4111 1111 1111 1111 12/27, order 12 378282246310005; DE89 3704 0044 0532 0130 00 and more")
    assert masked == "card [CARD_1] 12/27, order 12 [CARD_2]; [IBAN_1] and more"


def test_one_value_has_one_placeholder_in_all_messages_and_tool_calls():
    arguments = '{"to": "bob@example.org", "cc": "al@example.org"}'
    messages = (
        Message("system", "Mail bob@example.org."),
        Message("user", (Text("I am bob@example.org"), Image(b"x", "image/png"))),
        Message("assistant", "", tool_calls=(ToolCall("1", "send", arguments),)),
    )
    masked, restore = redact(messages)
    assert masked[0].text == "Mail [EMAIL_1]."
    assert masked[1].content == (Text("I am [EMAIL_1]"), Image(b"x", "image/png"))
    assert json.loads(masked[2].tool_calls[0].arguments) == {"to": "[EMAIL_1]", "cc": "[EMAIL_2]"}
    assert restore("[EMAIL_2]") == "al@example.org"


@pytest.mark.parametrize("theirs", ["[EMAIL_1]", "email_1", "KEY_7 and EMAILX_2", r"\[EMAIL\_1\]"])
def test_a_text_that_looks_like_a_placeholder_is_not_taken_for_one(theirs):
    text = f"{theirs} bob@example.org {theirs}"
    masked, restore = mask(text)
    assert "bob@" not in masked
    assert restore(masked) == text


@each("written", ["[EMAIL_1]", "EMAIL_1", "[email_1]", r"[EMAIL\_1]", "[EMAIL_1](mailto:[EMAIL_1])"])
def test_what_models_do_to_a_placeholder_is_undone(written):
    _, restore = mask("bob@example.org")
    assert "bob@example.org" in restore(written)
    assert "EMAIL" not in restore(written)


def test_a_placeholder_that_nobody_gave_out_stays_as_it_is():
    _, restore = mask("bob@example.org")
    assert restore("[EMAIL_12] [CARD_1] EMAIL_10") == "[EMAIL_12] [CARD_1] EMAIL_10"


@pytest.mark.slow
def test_five_hundred_texts_come_back_as_they_were():
    dice = random.Random(5)
    for _ in range(500):
        text, values = text_with(dice)
        masked, restore = mask(text)
        assert not [value for value in values if value in masked]
        assert restore(masked) == text


def tags():
    return chain.from_iterable(product("WVKJQZYX", repeat=length) for length in count())


UNITS = [
    "a",
    "a.",
    "1 ",
    "1234-",
    "a@",
    "DE12 ",
    "key=",
    "sk-",
    "eyJ-",
    "eyJaaaaaaaa.",
    "a1b2",
    "[EMAIL_1]",
    "bearer  ",
]
ADVERSE = {
    **{unit: lambda size, unit=unit: unit * (size // len(unit)) for unit in UNITS},
    "many addresses": lambda size: " ".join(f"a{n}@b.cc" for n in range(size // 12)),
    "every placeholder": lambda size: " ".join(f"KEY{''.join(t)}_" for t in islice(tags(), size // 9)),
}


@pytest.mark.slow
@each("kind", ADVERSE)
def test_the_time_it_takes_grows_with_the_text_and_no_faster(kind):
    def seconds(text):
        began = time.process_time()
        mask(text)
        return time.process_time() - began

    small, big = (ADVERSE[kind](size) for size in (10_000, 40_000))
    takes_small = takes_big = float("inf")
    for _ in range(10):  # the more often, the nearer to what it takes where nobody disturbs
        takes_small, takes_big = min(takes_small, seconds(small)), min(takes_big, seconds(big))
        # four times as long: 4 where it is linear, 16 where it is quadratic
        if takes_big < 8 * takes_small + 0.02:
            return
    pytest.fail(f"{takes_small} s for 10,000 characters, and {takes_big} s for 40,000")
