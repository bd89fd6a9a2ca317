"""Rejection-first decoding chooses as masking the whole vocabulary at every token would."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rung.tiers.llama.constraint import Grammars
from rung.tiers.llama.native import Log, Model
from rung.tiers.llama.sampling import Sampler
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
        token = constraint.choose(logits, greedy)
        piece = model.vocabulary.piece(token)
        if inevitable:
            assert piece.startswith(inevitable) or inevitable.startswith(piece)
        else:
            choices += 1
            assert token == reference
        chosen += piece
    assert choices
    if constraint.complete:
        assert list(json.loads(chosen)) == ["name", "n", "ok"]
