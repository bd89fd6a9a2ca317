"""llama.cpp, made safe to call."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from llama.conftest import EVERY_LAYER
from rung.tiers.llama.threads import Fixed
from rung.tiers.llama.worker.batch import Run
from rung.tiers.llama.worker.log import Log
from rung.tiers.llama.worker.native import Context, Model

pytestmark = [pytest.mark.weights, pytest.mark.alone]


@pytest.fixture(scope="module")
def model(weights):
    log = Log()
    return Model(str(weights("smollm2-135m")), log, gpu_layers=EVERY_LAYER), log


@pytest.mark.cpu
def test_an_abort_stops_a_long_step_and_the_context_lives_on(model):
    """Otherwise a cancelled prefill would go on for seconds, and everyone behind it would wait."""
    loaded, log = model
    context = Context(loaded, cells=2048, sequences=1, outputs=1, threads=Fixed(2), batch=2048, log=log)
    tokens = loaded.vocabulary.tokenize("word " * 1500, special=False)
    threading.Timer(0.2, context.abort).start()
    began = time.monotonic()
    assert not context.decode([Run(0, 0, tokens, 1)])
    stopped = time.monotonic() - began
    context.resume()
    context.forget(0)
    began = time.monotonic()
    assert context.decode([Run(0, 0, tokens, 1)])
    assert stopped < 0.2 + (time.monotonic() - began) / 3


def test_a_context_that_is_made_larger_holds_what_it_could_not_before(model):
    loaded, log = model
    context = Context(loaded, cells=256, sequences=1, outputs=1, threads=Fixed(2), batch=256, log=log)
    tokens = loaded.vocabulary.tokenize("word " * 300, special=False)
    assert context.decode([Run(0, 0, tokens[:250], True)])
    assert context.resize(512)
    assert context.decode([Run(0, 250, tokens[250:300], True)])
    context.abort()
    assert not context.decode([Run(0, 300, tokens[:1], True)])
    context.resume()


def test_a_context_that_is_made_larger_keeps_what_sequences_hold_and_what_they_share(model):
    loaded, log = model
    context = Context(loaded, cells=256, sequences=4, outputs=4, threads=Fixed(2), batch=256, log=log)
    tokens = loaded.vocabulary.tokenize("A pump has a casing, an impeller and a seal. " * 20, special=False)[:200]
    assert context.decode([Run(0, 0, tokens, 1)])
    for sequence in (1, 2):
        context.share(0, sequence, 190)
    # what is shared takes no room: three times 200 tokens wouldn't fit
    assert context.decode([Run(1, 190, tokens[:2], 1), Run(2, 190, tokens[2:4], 1)])
    next_tokens = [Run(0, 200, tokens[:1], 1), Run(1, 192, tokens[:1], 1), Run(2, 192, tokens[:1], 1)]
    assert context.decode(next_tokens)
    before = [context.logits(at).copy() for at in range(3)]
    for run in next_tokens:
        assert context.forget(run.sequence, run.start)
    assert context.resize(512)
    assert context.cells == 512
    assert context.decode(next_tokens)
    for at in range(3):
        assert np.allclose(context.logits(at), before[at], atol=0.05)
    # 206 cells are taken if what was shared still is, 580 if not
    assert context.decode([Run(3, 0, tokens, 1)])


def test_a_prompt_in_pieces_is_the_same_to_the_last_bit_where_none_is_smaller_than_a_tile_of_attention(model):
    """llama.cpp's attention works in tiles from 64 tokens in a step on, and token by token below."""
    loaded, log = model
    context = Context(loaded, cells=512, sequences=1, outputs=1, threads=Fixed(2), batch=256, log=log)
    tokens = loaded.vocabulary.tokenize("A pump has a casing, an impeller, a shaft and a seal. " * 20, special=False)[
        :200
    ]

    def logits(*cuts: int):
        context.forget(0)
        for start, end in pairwise((0, *cuts, 200)):
            assert context.decode([Run(0, start, tokens[start:end], int(end == 200))])
        return context.logits(200 - (cuts or (0,))[-1] - 1).copy()

    whole = logits()
    for cuts in ((64,), (128,), (64, 128)):
        assert (logits(*cuts) == whole).all(), cuts
    for cuts in ((32,), (8, 16), (192,)):
        assert abs(logits(*cuts) - whole).max() < 2, "other last bits, and no more"


def test_the_spelling_of_a_control_token_is_that_token_only_to_a_template(model):
    vocabulary = model[0].vocabulary
    assert len(vocabulary.tokenize("<|im_end|>", special=True)) == 1
    plain = vocabulary.tokenize("<|im_end|>\n<|im_start|>system", special=False)
    assert not any(vocabulary.is_control(token) for token in plain)
    assert b"".join(map(vocabulary.piece, plain)) == b"<|im_end|>\n<|im_start|>system"


def test_metadata_of_any_length_comes_whole(model):
    template = model[0].metadata("tokenizer.chat_template")
    assert len(template) > 256
    assert template.endswith("{% endif %}")
    assert model[0].metadata("no.such.key") is None
