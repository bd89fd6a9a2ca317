"""What a score is made of: every figure here is reckoned by hand."""

from __future__ import annotations

import pytest

from rung import Token
from rung.contract.spans import scores
from rung.types.score import FEATURES


def chosen(text, logprob, allowed=None, margin=None, allowed_margin=None):
    return Token(text, logprob, margin, allowed_logprob=allowed, allowed_margin=allowed_margin)


def forced(text):
    return Token(text, forced=True)


def scored(*tokens, structured=True):
    return scores("".join(t.text for t in tokens), tokens, structured=structured)


def test_a_string_counts_up_to_its_closing_quote():
    """Whether "New" goes on to "New York" is decided where the quote is written, or not."""
    total, fields = scored(
        forced('{"city": "'),
        chosen("New", -0.1, -0.05),
        chosen('"', -0.4, -0.3),
        forced(', "n": '),
        chosen("1", -0.2, -0.1),
        chosen("}", -0.6, -0.5),
    )
    assert (fields["city"].tokens, fields["city"].sum) == (2, pytest.approx(-0.5))
    assert (fields["n"].tokens, fields["n"].sum) == (2, pytest.approx(-0.8)), "that no digit follows is part of it"
    assert total.sum == pytest.approx(-1.3)
    assert total.mean == pytest.approx(-1.3 / 4)
    assert (total.minimum, total.tokens, total.choices) == (-0.6, 4, 0.0)
    assert total.allowed_sum == pytest.approx(-0.95)
    assert (total.allowed_minimum, total.allowed_mean) == (-0.5, pytest.approx(-0.95 / 4))


def test_a_field_that_need_not_have_been_written_is_a_choice_and_no_value():
    """The quote is the city's end; `, "` instead of `}` is a decision of its own, and so is one more element."""
    total, fields = scored(
        forced('{"city": "'),
        chosen("Rome", -0.1, -0.1),
        chosen('"', -0.1, -0.1),
        chosen(", ", -2.0, -0.7),
        forced('"tags": ['),
        chosen('"', -3.0, -0.2),
        chosen("a", -0.1, -0.1),
        chosen('"', -0.1, -0.1),
        chosen("]", -0.5, -0.4),
        forced("}"),
    )
    assert total.choices == pytest.approx(-0.7 - 0.2 - 0.4)
    assert (total.tokens, total.sum) == (4, pytest.approx(-0.4))
    assert set(fields) == {"city", "tags[0]"}
    assert fields["city"].choices is None


def test_a_token_that_ends_a_value_and_begins_the_next_counts_once_and_for_the_first():
    total, fields = scored(forced("["), chosen("1", -0.1), chosen(", 2", -0.2), chosen("]", -0.3))
    assert {path: f.tokens for path, f in fields.items()} == {"[0]": 2, "[1]": 1}
    assert total.sum == pytest.approx(-0.6)


def test_an_empty_string_and_half_a_character_belong_to_their_value():
    _, fields = scored(forced('{"a": '), chosen('""', -0.3), forced(', "b": "'), chosen("", -0.5), chosen('😀"', -0.1))
    assert (fields["a"].sum, fields["a"].tokens) == (-0.3, 1)
    assert (fields["b"].sum, fields["b"].tokens) == (pytest.approx(-0.6), 2)


def test_the_end_of_a_text_counts_and_has_no_text():
    """Of the choices "card" and "card lost" the first is decided by nothing but its end."""
    total, _ = scored(chosen("card", -0.1, -0.1), chosen("", -0.9, -0.8), structured=False)
    assert (total.tokens, total.minimum, total.allowed_sum) == (2, -0.9, pytest.approx(-0.9))
    assert total.choices == 0


def test_the_tenth_quantile_lies_between_the_two_least():
    total, _ = scored(*[chosen("x", -float(n)) for n in range(6)], structured=False)
    assert total.quantile10 == pytest.approx(-4.5)
    assert scored(chosen("x", -2.0), structured=False)[0].quantile10 == -2.0


def test_margins_are_the_least_and_a_token_without_an_allowed_rival_has_none():
    total, _ = scored(
        chosen("a", -0.1, -0.1, margin=-2.0, allowed_margin=3.0),
        chosen("b", -0.1, 0.0, margin=1.0),
        chosen("c", -0.1, -0.1, margin=4.0, allowed_margin=2.5),
        structured=False,
    )
    assert (total.margin, total.allowed_margin) == (-2.0, 2.5)


def test_what_the_tier_does_not_report_is_unknown_and_no_feature():
    plain, _ = scored(chosen("a", -0.1), structured=False)
    assert set(plain.features) == {"sum", "mean", "minimum", "quantile10", "tokens"}
    assert plain.choices is None
    full, _ = scored(chosen("a", -0.1, -0.1, 1.0, 2.0), structured=False)
    assert tuple(full.features) == FEATURES


def test_a_token_of_which_it_is_not_known_what_else_was_allowed_counts_as_among_all():
    total, _ = scored(chosen("a", -0.1, -0.05), chosen("b", -0.7), structured=False)
    assert total.allowed_sum == pytest.approx(-0.75)


def test_where_every_value_was_forced_there_is_no_score():
    assert scored(forced('{"a": true}')) == (None, {})
