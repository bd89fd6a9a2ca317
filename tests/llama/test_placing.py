"""A model is loaded in the best way that llama.cpp takes. The card is made up, and the CPU stands for it."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from llama import on_a_card
from llama.conftest import call, text
from rung import frozen
from rung.errors import TierUnavailable
from rung.paths import common_cache
from rung.tiers.llama import LlamaTier
from rung.tiers.llama.fit import BATCH, GPU_BATCH
from rung.tiers.llama.opening import LoadModel
from rung.tiers.llama.threads import Fixed
from rung.tiers.llama.worker import device_survey, placing
from rung.tiers.llama.worker.answer import Answer, DecodeOrder
from rung.tiers.llama.worker.calls import Calls
from rung.tiers.llama.worker.faults import LoadError
from rung.tiers.llama.worker.loop import Loop
from rung.tiers.llama.worker.native import Context, Model
from rung.tiers.llama.worker.profile import CPU, GPU
from rung.tiers.llama.worker.sampling import Sampler
from rung.tiers.llama.worker.text import Assembler
from rung.types import Sampling, Shape

pytestmark = pytest.mark.weights


@pytest.fixture
def card(monkeypatch, tmp_path):
    """A machine with a card, as far as anybody is told."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(placing, "devices", lambda: (on_a_card.CARD,))


@pytest.fixture
def refusing(monkeypatch):
    """Lets llama.cpp refuse contexts, and lists those that were wanted and how many models were given back."""
    wanted, closed = [], []

    def refuse(which):
        def context(model, *, batch, profile, **more):
            wanted.append((batch, profile))
            if which(batch, profile):
                raise LoadError("out of memory")
            return Context(model, batch=batch, profile=profile, **more)

        monkeypatch.setattr(placing, "Context", context)
        close = Model.close
        monkeypatch.setattr(Model, "close", lambda model: (closed.append(model), close(model)))
        return wanted, closed

    return refuse


def load(weights, **more):
    return LoadModel(path=str(weights("smollm2-135m")), slots=2, **more)


def said(placed, prompt, count):
    """What a model goes on with, and how many tokens each step had."""
    model, context = placed.model, placed.context
    steps, pieces, calls = [], [], Calls()
    decode = context.decode

    def counted(runs):
        steps.append(sum(len(run.tokens) for run in runs))
        return decode(runs)

    context.decode = counted
    loop = Loop(context, calls, lambda _, delta: pieces.append(delta.text), cells=context.cells, slots=2)
    tokens = tuple(model.vocabulary.tokenize(prompt, special=False))
    calls.add(1)
    loop.submit(Answer(DecodeOrder(1, tokens, count, Sampler(Sampling()), None, Assembler()), model.vocabulary, "m"))
    while not loop.quiet or not steps:
        loop.step()
    return "".join(pieces), steps, len(tokens)


def claimed() -> dict[str, int]:
    """What this process claims of GPUs."""
    (claim,) = [json.loads(file.read_bytes()) for file in (common_cache() / "workers").glob("*.json")]
    return claim["devices"]


def test_on_a_card_a_prompt_is_evaluated_in_larger_steps_and_answered_alike(weights, card, monkeypatch):
    prompt = "A pump has a casing, an impeller, a shaft, a seal and a motor. " * 40
    large = placing.place(load(weights), Fixed(2))
    assert (large.plan.fit.batch, large.context.profile) == (GPU_BATCH, GPU)
    assert large.context.surveyed
    text, steps, length = said(large, prompt, 12)
    assert BATCH < steps[0] <= GPU_BATCH
    assert sum(step for step in steps if step > 1) == length
    monkeypatch.setattr(placing, "devices", lambda: ())
    small = placing.place(load(weights), Fixed(2))
    assert (small.plan.fit.batch, small.context.profile) == (BATCH, CPU)
    assert not small.context.surveyed
    again, steps, _ = said(small, prompt, 12)
    assert max(steps) == BATCH
    assert again == text


@pytest.mark.parametrize("fewer", [1 << 28, 0], ids=["counted", "not counted"])
def test_what_a_model_holds_on_a_card_stays_claimed_if_the_driver_goes_on_calling_it_free(
    weights, card, monkeypatch, fewer
):
    loaded, real = [], placing._first
    monkeypatch.setattr(placing, "_first", lambda *way: loaded.append(way) or real(*way))
    monkeypatch.setattr(
        placing, "devices", lambda: (replace(on_a_card.CARD, free=on_a_card.CARD.free - len(loaded) * fewer),)
    )
    asked = load(weights)
    placing.place(asked, Fixed(2))
    claim = claimed()
    assert list(claim) == ([] if fewer else ["CUDA0"])
    assert fewer or claim["CUDA0"] > 0.9 * Path(asked.path).stat().st_size


def test_only_drivers_that_count_end_a_claim():
    cards = [replace(on_a_card.CARD, name=f"CUDA{n}") for n in range(3)]
    after = [replace(cards[0], free=cards[0].free - 1), *cards[1:]]
    assert placing._uncounted({"CUDA0": 5, "CUDA1": 6}, cards, after) == {"CUDA1": 6}


def test_a_card_that_refuses_larger_steps_gets_the_others(weights, card, refusing):
    wanted, closed = refusing(lambda batch, profile: batch > BATCH)
    placed = placing.place(load(weights), Fixed(2))
    assert wanted == [(GPU_BATCH, GPU), (BATCH, GPU)]
    assert len(closed) == 1, "the weights of the first try would take up the card"
    assert (placed.plan.fit.batch, placed.notes) == (BATCH, ())


def test_after_a_crash_in_the_first_step_no_rows_are_surveyed_and_the_card_goes_on_computing(weights, card):
    placed = placing.place(load(weights, safe_mode=True), Fixed(2))
    assert (placed.context.profile, placed.context.surveyed) == (GPU, False)
    assert "survey of the logits" in placed.notes[0]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_card_that_crashes_over_the_survey_answers_without_and_says_so(weights, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    worker = tmp_path / "python"
    worker.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        f"sys.path.append({str(Path(on_a_card.__file__).parent)!r})\n"
        "sys.argv = [sys.argv[0], *sys.argv[4:]]\n"
        "import on_a_card\n"
        "from rung.tiers.llama.worker.device_survey import DeviceSurvey\n"
        "DeviceSurvey._added = lambda self, *graph: os.abort()\n"
        "on_a_card.be_worker()\n"
    )
    worker.chmod(0o755)
    tier = LlamaTier(weights("smollm2-135m"), name="small", python=str(worker), slots=4, context=1024)
    try:
        deltas = list(tier.stream(call()))
    finally:
        tier.close()
    assert text(deltas)
    assert any("llama.cpp crashed" in note and "survey of the logits" in note for note in deltas[-1].notes)


def test_a_card_without_room_for_another_context_after_a_wrong_survey_gets_the_smaller_steps(
    weights, card, monkeypatch, refusing
):
    wanted, closed = refusing(lambda batch, profile: False)
    monkeypatch.setattr(device_survey, "_agrees", lambda found, logits: False)

    def full(context):
        raise LoadError("out of memory")

    monkeypatch.setattr(Context, "_drop_survey", full)
    placed = placing.place(load(weights), Fixed(2))
    assert wanted == [(GPU_BATCH, GPU), (BATCH, GPU)]
    assert len(closed) == 1
    assert (placed.plan.fit.batch, placed.context.surveyed, placed.context.doubted) == (BATCH, False, False)


def test_a_card_whose_survey_is_wrong_is_not_asked_for_it_and_that_is_said_at_each_start(
    weights, card, monkeypatch, tmp_path
):
    assert placing.place(load(weights, cache=str(tmp_path)), Fixed(2)).context.surveyed
    monkeypatch.setattr(device_survey, "_agrees", lambda found, logits: False)
    for _ in range(2):
        placed = placing.place(load(weights, cache=str(tmp_path)), Fixed(2))
        assert (placed.context.profile, placed.context.surveyed) == (GPU, False)
        assert "doesn't agree with the CPU" in placed.notes[0]
        assert said(placed, "The pump is", 4)[0]


def test_a_card_that_refuses_a_context_leaves_all_to_the_cpu_and_that_is_said(weights, card, refusing):
    wanted, closed = refusing(lambda batch, profile: profile == GPU)
    placed = placing.place(load(weights), Fixed(2))
    assert wanted == [(GPU_BATCH, GPU), (BATCH, GPU), (BATCH, CPU)]
    assert len(closed) == 2
    assert placed.plan.fit.batch == BATCH
    assert "the CPU computes" in placed.notes[0]
    assert "out of memory" in placed.notes[0]
    assert claimed() == {}


def test_with_some_layers_on_a_card_steps_go_as_on_the_cpu_and_that_is_said(weights, card, monkeypatch):
    monkeypatch.setattr(placing, "devices", lambda: (replace(on_a_card.CARD, free=200 << 20),))
    placed = placing.place(load(weights), Fixed(2))
    assert "layers are on CUDA0" in placed.notes[0]
    assert (placed.plan.fit.batch, placed.context.profile) == (BATCH, replace(CPU, stoppable=False))


def test_layers_that_somebody_asked_for_are_not_put_elsewhere(weights, card, refusing):
    refusing(lambda batch, profile: True)
    with pytest.raises(TierUnavailable, match="out of memory"):
        placing.place(load(weights, gpu_layers=99), Fixed(2))


def test_a_worker_on_a_card_serves_calls_at_once_and_finds_what_earlier_ones_held(weights, monkeypatch):
    started = []

    def command(program, python):
        started.append(program)
        return [sys.executable, str(Path(on_a_card.__file__))]

    monkeypatch.setattr(frozen, "command", command)
    tier = LlamaTier(weights("smollm2-135m"), name="small", slots=8, context=4096)

    def ask(number):
        told = f"{'A pump has a casing and a shaft. ' * number}Say {number}."
        deltas = list(tier.stream(call(told, shape=Shape("json", {"enum": [number, number + 100]}))))
        assert json.loads(text(deltas)) in {number, number + 100}
        return deltas[-1].usage

    try:
        with ThreadPoolExecutor(8) as pool:
            first = list(pool.map(ask, range(1, 25)))
            again = list(pool.map(ask, range(17, 25)))
    finally:
        tier.close()
    assert set(started) == {frozen.WORKER}
    assert max(usage.input_tokens for usage in first) > 200
    for before, now in zip(first[-8:], again, strict=True):
        assert now.cached_tokens > 0.7 * before.input_tokens
