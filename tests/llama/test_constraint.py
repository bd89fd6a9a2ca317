"""Rejection-first decoding chooses as masking the whole vocabulary at every token would."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rung.tiers.llama.worker.constraint import Grammars
from rung.tiers.llama.worker.log import Log
from rung.tiers.llama.worker.native import Model
from rung.tiers.llama.worker.sampling import LogitsRow, Sampler, confidence
from rung.types import Sampling, Shape

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "n": {"type": "integer"}, "ok": {"enum": ["yes", "no"]}},
    "required": ["name", "n", "ok"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def grammars(weights):
    log = Log()
    model = Model(str(weights("smollm2-135m")), log)
    yield Grammars(model.vocabulary), model
    # llama.cpp goes on calling it.
    assert log


@pytest.mark.weights
@pytest.mark.parametrize("seed", range(8))
def test_rejection_first_equals_full_masking_wherever_there_is_a_choice(grammars, seed):
    """The logits are noise, so nearly every first choice is refused; tokens that close things are made likelier."""
    made, model = grammars
    constraint = made.constrain(Shape("json", SCHEMA))
    greedy, noise = Sampler(Sampling()), np.random.default_rng(seed)
    closing = [t for text in ('"', ",", "}", '",', '"}') for t in model.vocabulary.tokenize(text, special=False)]
    chosen, choices = b"", 0
    for _ in range(200):
        chosen += b"".join(model.vocabulary.piece(token) for token in constraint.forced())
        if constraint.complete:
            break
        logits = noise.normal(size=model.vocabulary.size).astype(np.float32)
        logits[closing] += 4
        # Bytes may be inevitable that end in the middle of a token. There the mask holds only llguidance's own cut of
        # them, and the model may cut them otherwise.
        inevitable = bytes(constraint._matcher.compute_ff_bytes())
        bits = np.frombuffer(constraint._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little", count=len(logits)).astype(bool)
        reference = int(np.where(allowed, logits, -np.inf).argmax())
        token = constraint.choose(LogitsRow(logits), greedy)
        piece = model.vocabulary.piece(token)
        if inevitable:
            assert piece.startswith(inevitable) or inevitable.startswith(piece)
        else:
            choices += 1
            assert token == reference
        chosen += piece
        constraint.take(token)
    assert choices
    if constraint.complete:
        assert list(json.loads(chosen)) == ["name", "n", "ok"]


@pytest.mark.weights
@pytest.mark.parametrize("seed", range(4))
def test_what_is_said_of_a_token_among_the_allowed_ones_is_what_a_full_mask_says(grammars, seed):
    """Over all tokens of the mask the probabilities so reckoned add up to 1; the margin is that to the best of them."""
    made, model = grammars
    constraint = made.constrain(Shape("json", SCHEMA))
    greedy, noise = Sampler(Sampling()), np.random.default_rng(seed)
    compared = inevitable = 0
    for _ in range(60):
        constraint.forced()
        if constraint.complete:
            break
        # half the logits are flat, half leave the model nearly sure; either way a forbidden token is mostly on top
        logits = (noise.normal(size=model.vocabulary.size) * (1 + 4 * noise.integers(2))).astype(np.float32)
        bits = np.frombuffer(constraint._matcher.compute_bitmask(), np.uint8)
        mask = np.unpackbits(bits, bitorder="little", count=len(logits)).astype(bool)
        given = bytes(constraint._matcher.compute_ff_bytes())
        token = constraint.choose(LogitsRow(logits), greedy)
        piece = model.vocabulary.piece(token)
        exact = np.where(mask, logits.astype(np.float64), -np.inf)
        reference = exact - np.logaddexp.reduce(exact[mask])
        found = confidence(LogitsRow(logits.copy()), token, lambda piece=piece: constraint.allowed(piece))
        assert found.logprob == pytest.approx(logits[token] - np.logaddexp.reduce(logits.astype(np.float64)), abs=1e-4)
        if given:
            inevitable += 1
            assert found.allowed_logprob == (0.0 if given.startswith(piece) else found.logprob)
            assert found.allowed_margin is None
        elif mask.sum() > 1:
            compared += 1
            assert math.exp(np.logaddexp.reduce(reference[mask])) == pytest.approx(1)
            assert found.allowed_logprob == pytest.approx(reference[token], abs=2e-4)
            rivals = np.where(np.arange(len(exact)) == token, -np.inf, exact)
            assert found.allowed_margin == pytest.approx(exact[token] - rivals.max(), abs=2e-4)
            assert found.logprob <= found.allowed_logprob <= 0
            assert found.margin <= found.allowed_margin
        constraint.take(token)
    assert compared > 5


@pytest.mark.weights
def test_the_mask_is_not_worked_out_for_a_token_that_the_model_was_sure_of(grammars):
    made, model = grammars
    constraint = made.constrain(Shape("choice", SCHEMA, choices=("yes", "no")))
    logits = np.zeros(model.vocabulary.size, np.float32)
    (yes,) = model.vocabulary.tokenize("yes", special=False)
    logits[yes] = 30
    found = confidence(LogitsRow(logits), constraint.choose(LogitsRow(logits), Sampler(Sampling())), pytest.fail)
    assert (found.allowed_logprob, found.allowed_margin) == (found.logprob, found.margin)
