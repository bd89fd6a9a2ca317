"""Choosing a token, and what the model thought of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.tiers.llama.worker.sampling import LogitsRow, Sampler, confidence
from rung.types import Sampling


def logits(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def row(*values: float) -> LogitsRow:
    return LogitsRow(logits(*values))


def test_temperature_zero_takes_the_likeliest():
    assert Sampler(Sampling()).choose(row(0.1, 3.0, 2.9)) == 1


@pytest.mark.parametrize("seed", [0, 7, -1, 2**64 - 1])
def test_the_same_seed_gives_the_same_choices(seed):
    settings = Sampling(temperature=1.0, seed=seed)
    one, two = Sampler(settings), Sampler(settings)
    flat = row(*[0.0] * 50)
    assert [one.choose(flat) for _ in range(20)] == [two.choose(flat) for _ in range(20)]


@pytest.mark.slow
def test_choices_follow_the_distribution():
    sampler = Sampler(Sampling(temperature=1.0, seed=1))
    share = np.bincount([sampler.choose(row(0.0, np.log(3.0))) for _ in range(4000)]) / 4000
    assert share == pytest.approx([0.25, 0.75], abs=0.03)


def test_a_low_temperature_sharpens():
    sampler = Sampler(Sampling(temperature=0.1, seed=1))
    assert {sampler.choose(row(0.0, 2.0)) for _ in range(500)} == {1}


def test_top_p_keeps_the_smallest_head_that_holds_the_mass():
    sampler = Sampler(Sampling(temperature=1.0, top_p=0.8, seed=1))
    kept = {sampler.choose(LogitsRow(np.log(logits(0.5, 0.3, 0.15, 0.05)))) for _ in range(500)}
    assert kept == {0, 1}


@pytest.mark.slow
def test_top_p_is_the_same_on_a_vocabulary_that_is_too_large_to_sort():
    """The head is looked for among the likeliest first; a flat distribution has no such head."""
    sampler = Sampler(Sampling(temperature=1.0, top_p=0.5, seed=1))
    flat = LogitsRow(np.zeros(2000, dtype=np.float32))
    assert len({sampler.choose(flat) for _ in range(4000)}) == pytest.approx(1000, abs=30)


def test_min_p_is_relative_to_the_likeliest():
    sampler = Sampler(Sampling(temperature=1.0, min_p=0.5, seed=1))
    assert {sampler.choose(LogitsRow(np.log(logits(0.5, 0.3, 0.2)))) for _ in range(500)} == {0, 1}


def test_what_is_masked_is_never_chosen():
    sampler = Sampler(Sampling(temperature=5.0, seed=1))
    assert {sampler.choose(row(-np.inf, 0.0, -np.inf, 1.0)) for _ in range(300)} == {1, 3}


@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=40), st.data())
def test_confidence_is_the_log_probability_and_the_lead_over_the_best_other(values, data):
    raw = logits(*values)
    token = data.draw(st.integers(0, len(values) - 1))
    got = confidence(LogitsRow(raw.copy()), token)
    exact = raw.astype(np.float64)
    reference = exact - (exact.max() + np.log(np.exp(exact - exact.max()).sum()))
    assert got.logprob == pytest.approx(reference[token], abs=1e-4)
    assert got.margin == pytest.approx(exact[token] - np.delete(exact, token).max(), abs=1e-4)


@pytest.mark.slow
@given(
    st.lists(st.floats(-20, 20, width=32), min_size=9, max_size=40),
    st.lists(st.booleans(), min_size=40, max_size=40),
    st.data(),
)
def test_among_the_allowed_tokens_the_figures_are_those_of_a_softmax_over_them(values, allowed, data):
    raw = logits(*values)
    allowed = np.array(allowed[: len(values)])
    token = data.draw(st.integers(0, len(values) - 1))
    allowed[token] = True
    got = confidence(LogitsRow(raw.copy()), token, lambda: np.packbits(allowed, bitorder="little"))
    exact = np.where(allowed, raw.astype(np.float64), -np.inf)
    assert got.allowed_logprob == pytest.approx(exact[token] - np.logaddexp.reduce(exact), abs=2e-4)
    if got.allowed_margin is None:
        assert allowed.sum() == 1
    elif got.logprob <= -1e-4:
        assert got.allowed_margin == pytest.approx(exact[token] - np.delete(exact, token).max(), abs=1e-3)


def test_without_a_shape_there_are_no_figures_among_the_allowed():
    assert confidence(row(1.0, 2.0), 0).allowed_logprob is None


def test_where_nobody_can_tell_what_was_allowed_a_token_is_as_probable_as_it_is_at_least():
    found = confidence(row(1.0, 2.0), 0, lambda: None)
    assert (found.allowed_logprob, found.allowed_margin) == (found.logprob, None)


def test_a_choice_that_overruled_the_model_has_a_negative_margin():
    assert confidence(row(5.0, 1.0), 1).margin == pytest.approx(-4.0)
