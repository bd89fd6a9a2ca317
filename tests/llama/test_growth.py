"""Room for many answers: the context grows while they are decoded, and nobody starts over for it."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.thorough import times
from llama import books
from llama.books import SIZE, Books, House, alone
from llama.conftest import EVERY_LAYER
from rung.tiers.llama.fit import GRAIN, Fit, LoadPlan, outputs
from rung.tiers.llama.headroom import FreeMemory
from rung.tiers.llama.threads import Fixed
from rung.tiers.llama.worker.answer import Answer, DecodeOrder
from rung.tiers.llama.worker.calls import Calls
from rung.tiers.llama.worker.log import Log
from rung.tiers.llama.worker.loop import Loop
from rung.tiers.llama.worker.memory import sequences
from rung.tiers.llama.worker.native import Context, Model
from rung.tiers.llama.worker.sampling import Sampler
from rung.tiers.llama.worker.text import Assembler
from rung.types import Sampling

SHARED = [1 + n * n % (SIZE - 1) for n in range(1000)]


def doubling(house: list[House], most: int):
    return lambda cells: min(most, 2 * house[0].books.cells) if cells <= most else 0


def grown(books: Books, slots: int, most: int) -> House:
    houses: list[House] = []
    house = House(books, slots, larger=doubling(houses, most))
    houses.append(house)
    return house


def endless(history) -> np.ndarray:
    """Logits that hang on the last tokens, and never end an answer."""
    logits = np.zeros(SIZE, np.float32)
    logits[1 + zlib.crc32(bytes(history[-9:])) % (SIZE - 1)] = 1
    return logits


@pytest.mark.slow
def test_64_answers_behind_a_shared_beginning_are_decoded_together_and_nothing_twice(monkeypatch):
    """A quarter of 300 tokens each behind a thousand: the books of the whole take 13 s."""
    monkeypatch.setattr(books, "think", endless)
    prompts = [[*SHARED[:256], n % 39 + 1, n // 39 + 1, *[7] * 6] for n in range(64)]
    house = grown(Books(512, 256), 64, 8192)
    for n, prompt in enumerate(prompts):
        house.ask(n, prompt, 75)
    while not all(house.over(n) for n in range(64)):
        house.loop.step()
    assert max(len(step) for step in house.books.steps) == 64
    assert house.books.evaluated <= 256 + 64 * (40 + 75), "the beginning once, and no answer twice"
    assert house.books.cells == 8192
    for n, prompt in enumerate(prompts):
        assert house.tokens(n) == alone(prompt, 75)


@settings(deadline=None, max_examples=times(40))
@given(
    asked=st.lists(
        st.tuples(st.lists(st.integers(1, SIZE - 1), min_size=1, max_size=40), st.integers(1, 24)),
        min_size=1,
        max_size=8,
    ),
    cuttable=st.booleans(),
    on_gpu=st.booleans(),
    most=st.sampled_from([64, 128, 256]),
    room=st.sampled_from([96, 10**9]),
    lost=st.sets(st.integers(0, 2)),
)
def test_whether_a_larger_context_keeps_loses_or_is_refused_what_it_holds_no_answer_changes(
    asked, cuttable, on_gpu, most, room, lost
):
    grows = iter(range(99))
    books = Books(64, 16, cuttable=cuttable, on_gpu=on_gpu, loses=lambda: next(grows) in lost, room=room)
    house = grown(books, 4, most)
    for n, (prompt, limit) in enumerate(asked):
        house.ask(n, prompt, limit)
    for _ in range(1000):
        if house.sent and all(house.over(n) for n in range(len(asked))):
            break
        house.loop.step()
    for n, (prompt, limit) in enumerate(asked):
        assert house.over(n), "no call starves"
        assert house.tokens(n) == alone(prompt, limit)


def test_what_was_kept_of_an_earlier_answer_outlives_a_larger_context():
    house = House(Books(256, 64), 2)
    house.ask(1, SHARED[:200], 4)
    while not house.over(1):
        house.loop.step()
    before = house.books.evaluated
    house.ask(2, [*SHARED[:200], 3, 4], 4, cells=512)
    while not house.over(2):
        house.loop.step()
    assert house.books.cells == 512
    assert house.books.evaluated - before < 60


def test_an_answer_that_memory_is_too_short_for_fails_alone():
    failed = []
    house = House(Books(256, 64, room=256), 2, fail=lambda request, error: failed.append((request, str(error))))
    house.ask(1, [3, 1], 20)
    house.ask(2, [3, 1], 20, cells=1024)
    house.loop.step()
    while not house.over(1):
        house.loop.step()
    assert failed == [(2, "no memory for a context of 1,024 tokens")]
    assert house.tokens(1) == alone([3, 1], 20)


@pytest.mark.parametrize(("free", "larger"), [(10**12, 8192), (10**6, 4096)])
def test_a_context_grows_for_many_calls_as_far_as_memory_goes(free, larger):
    class Cells(Fit):
        cell = 1000

    plan = LoadPlan(Cells(None, 64), 4096, 4096, 32 * GRAIN)
    assert plan.larger(4097, held=4096, free=FreeMemory(free, "the machine")) == larger
    assert plan.larger(10**6, held=4096, free=FreeMemory(10**12, "the machine")) == 32 * GRAIN


@pytest.mark.weights
def test_answers_of_a_real_model_outgrow_its_context_and_nothing_is_evaluated_twice(weights):
    log = Log()
    model = Model(str(weights("smollm2-135m")), log, gpu_layers=EVERY_LAYER)
    need = {"sequences": sequences(8), "outputs": outputs(8), "threads": Fixed(2), "batch": 256, "log": log}
    context = Context(model, cells=512, **need)
    evaluated, decode = [], context.decode

    def counted(runs) -> bool:
        evaluated.append(sum(len(run.tokens) for run in runs))
        return decode(runs)

    context.decode = counted
    calls, sent = Calls(), {n: [] for n in range(8)}
    loop = Loop(
        context,
        calls,
        lambda request, delta: sent[request].append(delta),
        larger=lambda cells: 2 * context.cells,
        cells=512,
        slots=8,
    )
    vocabulary = model.vocabulary
    shared = vocabulary.tokenize("A pump has a casing, an impeller, a shaft, a seal and a motor. " * 20, special=False)
    for n in range(8):
        calls.add(n)
        prompt = (*shared[:300], *vocabulary.tokenize(f" Part number {n} is", special=False))
        order = DecodeOrder(n, prompt, 60, Sampler(Sampling()), None, Assembler())
        loop.submit(Answer(order, vocabulary, "a model"))
    while not all(deltas and deltas[-1].finish for deltas in sent.values()):
        loop.step()
    said = sum(deltas[-1].usage.output_tokens for deltas in sent.values())
    assert context.cells == 1024
    assert sum(evaluated) <= 300 + 8 * 40 + said
