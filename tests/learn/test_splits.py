"""Which rows fit, which certify, and which are nearly the same."""

from __future__ import annotations

import random

from rung.learn.data import identity, normal
from rung.learn.duplicates import grouped
from rung.learn.rows import Row
from rung.learn.splits import FEWEST_TO_FIT, part, split
from rung.types import Message

WORDS = [f"word{n}" for n in range(2000)]


def row(number, text, group=""):
    messages = (Message("user", text),)
    return Row(number, identity(messages, None), messages, group=group or normal(text))


def texts(count, length, seed=1, preamble=""):
    chance = random.Random(seed)
    return [f"{preamble}{' '.join(chance.choices(WORDS, k=length))}" for _ in range(count)]


def test_a_third_fits_and_two_thirds_certify_the_same_in_every_run():
    parts = [part(f"group {n}") for n in range(3000)]
    assert 900 < parts.count("fit") < 1100
    assert [part(name) for name in ("acme", "globex", "initech", "hooli")] == ["certify", "certify", "fit", "certify"]


def test_a_group_is_never_on_both_sides():
    rows = [row(n, text, group=f"customer {n % 40}") for n, text in enumerate(texts(400, 12))]
    parts = split(rows)
    assert {r.group for r in parts.fit}.isdisjoint({r.group for r in parts.certify})
    assert len(parts.fit) + len(parts.certify) == 400


def test_nothing_is_fitted_on_too_few_rows():
    rows = [row(n, text) for n, text in enumerate(texts(FEWEST_TO_FIT, 12))]
    assert split(rows[:-1]).fit == ()
    assert len(split(rows[:-1]).certify) == FEWEST_TO_FIT - 1
    assert split(rows).fit
    assert split(rows[:3]).certify == tuple(rows[:3])


def test_documents_that_differ_in_a_word_are_one_group_in_any_order():
    originals = texts(200, 80)
    copies = [text.replace(text.split()[40], "other", 1) for text in originals[:30]]
    rows = [row(n, text) for n, text in enumerate([*originals, *copies])]
    found = {r.number: r.group for r in grouped(rows)}
    assert all(found[n] == found[200 + n] for n in range(30))
    assert len(set(found.values())) == 200
    random.Random(2).shuffle(rows)
    assert {r.number: r.group for r in grouped(rows)} == found


def test_what_all_rows_share_makes_no_two_of_them_alike():
    rows = [row(n, text) for n, text in enumerate(texts(120, 15, preamble="Read this with care and answer it. " * 40))]
    assert len({r.group for r in grouped(rows)}) == 120


def test_short_questions_that_differ_in_a_word_are_two():
    rows = [row(1, "what is the balance of my savings account"), row(2, "what is the balance of my checking account")]
    assert len({r.group for r in grouped(rows)}) == 2


def test_groups_that_a_person_named_are_joined_where_their_rows_are_alike():
    (text, other) = texts(2, 60)
    rows = [row(1, text, "b"), row(2, f"{text} again", "a"), row(3, other, "b"), row(4, "alone", "c")]
    assert [r.group for r in grouped(rows)] == ["a", "a", "a", "c"]
    assert grouped([]) == []
