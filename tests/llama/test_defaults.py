"""How sure a local model has to be where nobody calibrated it."""

from __future__ import annotations

import math
import re
from contextlib import closing
from typing import Literal

import pytest
from pydantic import BaseModel

from helpers.each import each
from rung import Ladder
from rung.contract import compile_output
from rung.tiers.llama import LlamaTier
from rung.tiers.llama.host.defaults import FAMILIES, FEATURES, default_threshold, kind_of, threshold_of
from rung.types.score import FEATURES as KNOWN


class Invoice(BaseModel):
    total: int


@each(
    ("output", "kind"),
    [
        (["yes", "no"], "choice"),
        (Literal["yes", "no"], "choice"),
        (bool, "choice"),
        ({"enum": [1, 2]}, "choice"),
        (int, "scalar"),
        ({"type": "string", "maxLength": 9}, "scalar"),
        (re.compile(r"\d+"), "scalar"),
        (Invoice, "object"),
        (list[int], "object"),
        ({"type": "object", "properties": {"a": {}, "b": {}}}, "object"),
    ],
)
def test_each_contract_is_of_a_kind(output, kind):
    assert kind_of(compile_output(output).shape) == kind


@pytest.mark.parametrize("kind", FEATURES)
def test_a_model_that_was_never_measured_has_to_be_surer_than_any_that_is_believed(kind):
    unknown = threshold_of("mamba", 3_000_000_000, kind)
    believed = [family.probability[kind] for family in FAMILIES if family.probability[kind] < 1]
    assert all(math.log(probability) < unknown.above < 0 for probability in believed)
    assert set(unknown.weights) <= set(KNOWN)


@each("kind", FEATURES)
@each(("architecture", "probability"), [("llama", 1.0), ("qwen2", 0.8)])
def test_a_measured_family_goes_by_its_own_figure(kind, architecture, probability):
    parameters = {"llama": 134_515_008, "qwen2": 630_167_424}[architecture]
    threshold = threshold_of(architecture, parameters, kind)
    assert threshold.above == math.log(probability)
    assert threshold.accepts(0.0) is (probability < 1), "a log-probability is never above 0"


def test_a_default_threshold_says_that_it_is_one_and_never_rejects_an_answer_for_good():
    threshold = default_threshold("llama", 135_000_000, compile_output(["yes", "no"]).shape)
    assert (threshold.origin, threshold.soft) == ("default threshold (public data, not yours)", True)


REVIEWS = (
    "The hinges broke after two days and nobody answers my mails.",
    "Cold soup, rude waiter, an hour of waiting. Never again.",
    "It stopped working after a week and the shop refuses to take it back.",
)


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.parametrize("review", REVIEWS)
def test_a_plainly_negative_review_is_not_called_positive_by_a_model_that_does_not_know(small, weights, review):
    prompt = f"Is this review positive, negative or neutral?\n\n{review}"
    with closing(LlamaTier(weights("qwen2.5-coder-1.5b"), name="mid")) as mid:
        outcome = Ladder(small, mid).run(prompt, ["positive", "negative", "neutral"])
    first = outcome.attempts[0]
    assert first.threshold.origin == "default threshold (public data, not yours)"
    assert (first.reason, outcome.tier) == ("low_confidence", "mid")
    assert outcome.unwrap() == "negative"


@pytest.mark.weights
def test_alone_on_its_ladder_a_model_is_held_to_no_default(small):
    outcome = Ladder(small).run(f"Is this review positive or negative?\n\n{REVIEWS[0]}", ["positive", "negative"])
    assert outcome.accepted
    assert outcome.attempts[0].threshold is None


@pytest.mark.weights
def test_the_figures_of_a_choice_are_those_among_its_options(small):
    """Unconstrained, the model would have said something else: the choice has all of the probability that is left."""
    outcome = Ladder(small).run(f"Is this review positive or negative?\n\n{REVIEWS[0]}", ["positive", "negative"])
    score = outcome.attempts[0].candidate.score
    assert score.sum < score.allowed_sum <= 0
    assert score.margin < score.allowed_margin
    assert score.choices == 0
