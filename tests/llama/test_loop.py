"""The decode loop, over a context that keeps exact books: whatever comes and goes, each answer is the one that the
model would have given alone.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.thorough import times
from llama.books import SIZE, Books, House, alone
from rung.tiers.llama.fit import DRAFTED
from rung.tiers.llama.worker import loop as loop_module
from rung.tiers.llama.worker.calls import Calls
from rung.tiers.llama.worker.crew import Crew
from rung.tiers.llama.worker.draft import Credit

LONG = [1 + n * n % (SIZE - 1) for n in range(80)]
prompts = st.one_of(
    st.lists(st.integers(1, SIZE - 1), min_size=1, max_size=40),
    # These begin alike, in parts.
    st.builds(
        lambda n, rest: [*LONG[:n], *rest], st.integers(1, 80), st.lists(st.integers(1, 3), min_size=1, max_size=20)
    ),
)
crew = Crew(2, lambda work, name: threading.Thread(target=work, name=name, daemon=True).start())
drafts = st.sampled_from(["none", "right", "nearly", "wrong"])


def draft_of(kind: str, prompt, limit: int) -> list[int] | None:
    right = alone(prompt, limit)
    if kind == "none" or not right:
        return None
    return {"right": right, "nearly": [*right[: len(right) // 2], 7, *right[len(right) // 2 :]], "wrong": [7] * 30}[
        kind
    ]


@pytest.mark.slow
@settings(deadline=None, max_examples=times(150))
@given(
    asked=st.lists(st.tuples(prompts, st.integers(1, 24), st.integers(0, 12), drafts), min_size=1, max_size=8),
    slots=st.integers(1, 4),
    batch=st.integers(8, 32),
    cuttable=st.booleans(),
    on_gpu=st.booleans(),
    seed=st.integers(0, 99),
)
def test_company_aborts_and_lack_of_room_change_no_answer(asked, slots, batch, cuttable, on_gpu, seed):
    chance = random.Random(seed)
    left = itertools.repeat(True, 20)
    house = House(
        Books(128, batch, cuttable=cuttable, on_gpu=on_gpu, aborts=lambda: chance.random() < 0.2 and next(left, False)),
        slots,
        crew=crew,
    )
    waiting = {n: (at, prompt, limit, draft) for n, (prompt, limit, at, draft) in enumerate(asked)}
    for step in range(1000):
        for n in [n for n, (at, *_) in waiting.items() if at <= step or step > 100]:
            _, prompt, limit, draft = waiting.pop(n)
            house.ask(n, prompt, limit, draft_of(draft, prompt, limit))
        if house.sent and all(house.over(n) for n in range(len(asked))):
            break
        if not waiting or any(at <= step for at, *_ in waiting.values()) or house.loop._active:
            house.loop.step()
    for n, (prompt, limit, *_) in enumerate(asked):
        assert house.over(n), "no call starves"
        assert house.tokens(n) == alone(prompt, limit)
    assert sum(bool(memory) for memory in house.books.memory.values()) <= (16 if on_gpu and cuttable else 1)


@settings(deadline=None, max_examples=times(50))
@given(prompts, prompts, st.integers(0, 10))
def test_dropping_one_call_changes_no_other(kept, dropped, after):
    house = House(Books(256, 16), 2)
    house.ask(1, kept, 20)
    house.ask(2, dropped, 20)
    for _ in range(after):
        if not house.over(1):
            house.loop.step()
    house.calls.drop(2)
    said = len(house.sent.get(2, []))
    while not house.over(1):
        house.loop.step()
    assert house.tokens(1) == alone(kept, 20)
    assert len(house.sent.get(2, [])) == said


def test_a_step_carries_one_token_of_every_active_answer():
    house = House(Books(256, 32), 3)
    for n in range(3):
        house.ask(n, [n + 1], 6)
    house.loop.step()
    assert [count for _, count in house.books.steps[0]] == [1, 1, 1]


def test_a_long_prefill_goes_in_small_pieces_while_somebody_else_is_answered():
    house = House(Books(512, 256), 2)
    house.ask(1, [1], 30)
    house.loop.step()
    house.loop._planner._token_seconds = 0.01
    house.ask(2, [2] * 200, 1)
    while not house.over(2):
        house.loop.step()
        if house.over(1):
            break
        assert len(house.books.steps[-1]) == 2, "the answer under way gets its token in every step"
        assert max(count for _, count in house.books.steps[-1]) <= 10, "100 ms at 10 ms a token"


def test_a_piece_of_a_prefill_is_measured_by_what_it_adds_to_a_step(monkeypatch):
    """On a machine whose every step takes a second, as one that reads large weights, pieces needn't be the smallest."""
    now = [0.0]
    monkeypatch.setattr(loop_module.time, "perf_counter", lambda: now[0])

    class Slow(Books):
        def decode(self, runs) -> bool:
            now[0] += 1.0 + 0.002 * sum(len(run.tokens) for run in runs)
            return super().decode(runs)

    house = House(Slow(1024, 256), 2)
    company = next([first] for first in range(1, SIZE) if len(alone([first], 30)) == 30)
    house.ask(1, company, 30)
    for _ in range(3):
        house.loop.step()
    house.ask(2, [2] * 600, 1)
    while not house.over(2):
        house.loop.step()
    pieces = [max(count for _, count in step) for step in house.books.steps if len(step) == 2]
    assert 45 <= max(pieces) <= 50, "100 ms at 2 ms a token"
    assert all(1 in [count for _, count in step] for step in house.books.steps[1:-1])


def test_a_lone_prefill_goes_in_whole_batches():
    house = House(Books(512, 100), 2)
    house.ask(1, [1] * 250, 1)
    while not house.over(1):
        house.loop.step()
    assert [[count for _, count in step] for step in house.books.steps] == [[100], [100], [50]]


@pytest.mark.parametrize(
    ("step", "token", "settled", "disturbed", "later"),
    [
        (0.002, 0.00002, 1000, 500, 1000),
        (0.1, 0.0008, 1000, 500, 500),
        (0.0, 0.005, 125, 64, 128),
        (0.5, 0.0019, 250, 125, 125),
        (3.0, 0.01, 64, 64, 64),
    ],
    ids=["a fast card", "one that just keeps up", "a slow one", "slow weights", "no card for this model"],
)
def test_prefills_that_can_not_be_stopped_go_in_shorter_steps_after_one_of_more_than_a_second(
    monkeypatch, step, token, settled, disturbed, later
):
    """Where a GPU computes, the next call waits for the end of a step that nobody wants any more."""
    now, hiccups = [0.0], []
    monkeypatch.setattr(loop_module.time, "perf_counter", lambda: now[0])

    class Slow(Books):
        def decode(self, runs) -> bool:
            tokens = sum(len(run.tokens) for run in runs)
            now[0] += hiccups.pop() if hiccups else step + token * tokens
            return super().decode(runs)

    house = House(Slow(4096, 1000, on_gpu=True), 2)

    def pieces(request: int, length: int = 3000) -> list[int]:
        house.ask(request, [request] * length, 1)
        house.books.steps.clear()
        while not house.over(request):
            house.loop.step()
        return [count for [(_, count)] in house.books.steps]

    hiccups.append(20.0)
    assert pieces(1, 40) == [40]
    assert pieces(2)[0] == 1000, "that a short prompt took long says nothing of larger steps"
    assert set(pieces(3)[:-1]) == {settled}
    hiccups.append(20.0)
    assert pieces(4)[1] == disturbed
    assert pieces(5)[-2] == later


def test_beside_others_too_a_prefill_that_can_not_be_stopped_takes_no_more_than_its_share():
    """A step that reads slow weights hides what its tokens take."""
    house = House(Books(4096, 1000, on_gpu=True), 2)
    company = next([first] for first in range(1, SIZE) if len(alone([first], 30)) == 30)
    house.ask(1, company, 30)
    house.loop.step()
    house.loop._planner._token_seconds = 0.0001
    house.loop._planner._piece = 64
    house.ask(2, [2] * 600, 1)
    house.loop.step()
    assert sorted(count for _, count in house.books.steps[-1]) == [1, 64]


@pytest.mark.parametrize(("dropped", "stops"), [((1,), False), ((1, 2), True)])
def test_a_step_is_stopped_only_when_it_works_for_nobody(dropped, stops):
    stopped = []
    calls = Calls()
    calls.abort = lambda: stopped.append(True)
    for n in (1, 2):
        calls.add(n)
    assert calls.start([1, 2], lambda: None)
    for n in dropped:
        calls.drop(n)
    assert bool(stopped) == stops


def test_what_two_prompts_begin_with_is_evaluated_once():
    house = House(Books(512, 64), 2)
    house.ask(1, [*LONG, 31], 4)
    while not house.over(1):
        house.loop.step()
    before = house.books.evaluated
    house.ask(2, [*LONG, 32], 1)
    while not house.over(2):
        house.loop.step()
    assert house.books.evaluated - before == len(LONG) + 1 - 64


@pytest.mark.parametrize(("company", "left"), [(0, 64), (1, 8)])
def test_of_a_long_shared_beginning_a_lone_prompt_evaluates_a_tile_again_and_one_beside_others_little(company, left):
    house = House(Books(4096, 64), 4)
    beginning = [(at * at) % 36 + 1 for at in range(600)]
    house.ask(0, beginning, 1)
    while not house.over(0):
        house.loop.step()
    for n in range(company):
        house.ask(1 + n, next([f] for f in range(1, SIZE) if len(alone([f], 120)) == 120), 120)
        house.loop.step()
    before = house.books.evaluated
    house.ask(9, [*beginning, 31], 1)
    steps = 0
    while not house.over(9):
        house.loop.step()
        steps += 1
    again = house.books.evaluated - before - company * steps
    assert left <= again < left + 32
    assert house.tokens(9) == alone([*beginning, 31], 1)


def test_calls_that_come_together_wait_for_the_beginning_that_they_share():
    house = House(Books(512, 32), 4)
    for n in range(4):
        house.ask(n, [*LONG, 31 + n], 4)
    while not all(house.over(n) for n in range(4)):
        house.loop.step()
    assert house.books.evaluated <= 81 + 3 * (81 - 64) + 4 * 4
    for n in range(4):
        assert house.tokens(n) == alone([*LONG, 31 + n], 4)


class Echo:
    """A constraint that forces two more of each token."""

    notes, complete = (), False

    def __init__(self) -> None:
        self.left: list[int] = []

    def choose(self, row, sampler) -> int:
        return sampler.choose(row)

    def allowed(self, piece: bytes) -> None:
        return None

    def take(self, token: int) -> None:
        self.left = [token, token]

    def forced(self) -> list[int]:
        forced, self.left = self.left, []
        return forced


def test_nobody_waits_for_a_beginning_that_is_evaluated_already():
    """An answer with forced tokens has tokens pending in every step. None of them belongs to the shared beginning."""
    house = House(Books(512, 32), 4)
    house.ask(0, [*LONG, 31], 200, constraint=Echo())
    while not house.sent.get(0) or not house.sent[0][-1].tokens:
        house.loop.step()
    house.ask(1, [*LONG, 32], 4)
    house.loop.step()
    assert len(house.books.steps[-1]) == 2, "the second call begins at once"
    while not house.over(1):
        house.loop.step()
    assert not house.over(0)


def test_what_is_kept_gives_way_before_any_answer_has_to():
    house = House(Books(64, 64), 2)
    for n in range(4):
        house.ask(n, [n + 1] * 40, 8)
        while not house.over(n):
            house.loop.step()
        assert house.books.evaluated <= (n + 1) * 48, "no answer starts over"


def drafted(kind: str, seconds: dict[int, float]) -> Books:
    """What 24 tokens with a draft took of a machine whose steps take so long."""
    prompt = [3, 1, 4, 1, 5]
    house = House(Books(256, 64), 1)
    for size, each in seconds.items():
        house.loop._planner._pace.record(size, each)
    house.loop._planner._pace.record = lambda count, each: None
    house.ask(1, prompt, 24, draft_of(kind, prompt, 24))
    while not house.over(1):
        house.loop.step()
    assert house.tokens(1) == alone(prompt, 24)
    return house.books


FLAT = {1: 1.0, 4: 1.8, 16: 3.2}


def test_a_right_draft_saves_steps_and_a_wrong_one_costs_few_tokens():
    none, right, wrong = (drafted(kind, FLAT) for kind in ("none", "right", "wrong"))
    assert len(right.steps) <= len(none.steps) / 3
    assert len(wrong.steps) == len(none.steps)
    assert wrong.evaluated <= none.evaluated + DRAFTED


def test_nothing_is_drafted_where_more_tokens_in_a_step_take_as_much_longer():
    none, right = (drafted(kind, {1: 1.0, 4: 3.9, 16: 15.9}) for kind in ("none", "right"))
    assert right.steps == none.steps


machines = st.builds(
    # what each further token of a step costs, in tokens; and sizes from which on a step takes as much longer at once
    lambda more, jumps: machine(more, dict(jumps)),
    st.lists(st.floats(0, 1), min_size=40, max_size=40),
    st.lists(st.tuples(st.integers(2, 16), st.floats(0, 3)), max_size=2),
)


def machine(more: list[float], jumps: dict[int, float]) -> list[float]:
    """Seconds of a step by its number of tokens. It never takes longer than its tokens would one by one."""
    seconds = [0.0, 1.0]
    for size in range(2, 40):
        seconds.append(min(float(size), seconds[-1] + more[size] + jumps.get(size, 0.0)))
    return seconds


def hours(clock: list[float], seconds: list[float], asked: list[tuple[list[int], list[int] | None]]) -> float:
    """What the tokens behind the first of each answer take a worker that is told nothing of its machine."""

    class Timed(Books):
        def decode(self, runs) -> bool:
            done = super().decode(runs)
            clock[0] += seconds[sum(len(run.tokens) for run in runs)]
            return done

    house, took, credit = House(Timed(1024, 64), 1), 0.0, Credit()
    for n, (prompt, draft) in enumerate(asked):
        house.ask(n, prompt, 40, draft, credit=credit)
        house.loop.step()
        began = clock[0]
        while not house.over(n):
            house.loop.step()
        took += clock[0] - began
        assert house.tokens(n) == alone(prompt, 40)
    return took


@pytest.mark.slow
@settings(deadline=None, max_examples=times(80))
@given(data=st.data(), seconds=machines)
def test_whatever_is_drafted_and_whatever_the_prices_answers_take_at_most_3_percent_longer(data, seconds):
    """By a simulated clock, whose prices the loop has to find out; one to four answers, drafts now right, now not."""
    asked = []
    for _ in range(data.draw(st.integers(1, 4))):
        prompt = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
        right = alone(prompt, 40)
        share = data.draw(st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0]))
        dice = random.Random(data.draw(st.integers(0, 999)))
        asked.append((prompt, [token if dice.random() < share else 7 for token in right] or None))
    clock = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop_module.time, "perf_counter", lambda: clock[0])
        without = hours(clock, seconds, [(prompt, None) for prompt, _ in asked])
        drafted = hours(clock, seconds, asked)
    tokens = sum(len(alone(prompt, 40)) for prompt, _ in asked)
    assert drafted <= without + 1.0 + 0.005 * tokens + 1e-6
    if tokens >= 40:
        assert drafted <= without / 0.97 + 0.1


@pytest.mark.parametrize(
    ("steps", "least"),
    [
        ({1: 62.8, 2: 111, 4: 125, 8: 170, 16: 202}, 1.6),
        ({1: 34.6, 2: 60, 4: 97, 8: 236, 16: 260}, 1.15),
        ({1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0, 16: 16.0}, 1.0),
        ({1: 1.0, 2: 1.01, 4: 1.02, 8: 1.05, 16: 1.1}, 2.5),
    ],
    ids=["1.5B with AMX", "1.5B without AMX", "a core that only computes", "a card that only reads"],
)
def test_right_drafts_save_what_the_machine_lets_them_save(steps, least):
    """Prices as they were measured, of answers of which nine tokens in ten are the draft's."""
    clock = [0.0]
    seconds = [float(np.interp(n, [0, *steps], [0.0, *steps.values()])) / steps[1] for n in range(40)]
    prompts = [[1, n, 3] for n in range(1, 6) if len(alone([1, n, 3], 40)) == 40]
    asked = []
    for prompt in prompts:
        right = alone(prompt, 40)
        asked.append((prompt, [*right[:17], 7, *right[18:]]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop_module.time, "perf_counter", lambda: clock[0])
        without = hours(clock, seconds, [(prompt, None) for prompt in prompts])
        assert without / hours(clock, seconds, asked) >= least


def test_a_prompts_beginning_is_handed_over_once_it_is_evaluated_and_taken_back_from_disk():
    saved = []
    house = House(Books(256, 16), 1, saved.append)
    prompt = [*range(1, 31), 31]
    house.ask(1, prompt, 4, unsaved=20)
    while not house.over(1):
        house.loop.step()
    assert [s.tokens for s in saved] == [tuple(range(1, 21))]
    later = House(Books(256, 16), 1, saved.append)
    later.ask(1, prompt, 4, saved=saved[0])
    while not later.over(1):
        later.loop.step()
    assert later.tokens(1) == house.tokens(1)
    assert house.books.evaluated - later.books.evaluated == 20
    assert len(saved) == 1


def test_prompts_that_take_turns_are_evaluated_once_and_only_the_last_lies_in_the_context():
    """What lies in the context costs every other answer time, for attention passes over it."""
    house = House(Books(2048, 64), 2)
    for n in range(12):
        before = house.books.evaluated
        answered(house, n, [n % 3 + 1] * 200)
        assert house.books.evaluated - before <= (200 - 192 + 8 if n >= 3 else 208)
        assert sum(bool(memory) for memory in house.books.memory.values()) == 1


def test_what_is_put_aside_is_bounded_and_the_oldest_goes_first():
    house = House(Books(512, 64), 1)
    for n in range(6):
        answered(house, n, [n + 1] * 80)
    aside = house.loop._memory._aside
    assert sum(len(saved.tokens) for saved in aside) <= 256
    assert [saved.tokens[0] for saved in aside] == [3, 4, 5], "the sixth lies in the context"


def test_on_a_gpu_the_last_answers_stay_in_its_cells_and_nothing_is_copied_out_of_it():
    """llama.cpp copies each piece by itself, and answers that were decoded together lie in pieces of one token."""
    house = House(Books(4096, 64, on_gpu=True), 4)
    for n in range(24):
        before = house.books.evaluated
        answered(house, n, [n % 8 + 1] * 200)
        assert house.books.evaluated - before <= (200 - 192 + 8 if n >= 8 else 208)
    assert house.books.saves == 0
    for n in range(24, 34):
        answered(house, n, [n] * 30)
    kept = house.loop._memory._kept
    assert [held.tokens[0] for held in kept][-10:] == list(range(24, 34)), "the oldest went first"
    assert len(kept) <= 16
    assert sum(bool(memory) for memory in house.books.memory.values()) == len(kept)


def test_on_a_gpu_answers_behind_a_shared_beginning_are_kept_for_what_they_add_to_it():
    house = House(Books(512, 64, on_gpu=True), 4)
    for n in range(8):
        answered(house, n, [*LONG, *LONG, n + 1])
    kept = house.loop._memory._kept
    assert [len(held.tokens) > 128 for held in kept] == [True] * 3, "without the beginning, only one has room in 256"


def test_on_a_gpu_too_what_is_kept_is_bounded_gives_way_and_holds_no_part_of_itself_twice():
    house = House(Books(256, 64, on_gpu=True), 2)
    for n in range(6):
        answered(house, n, [n + 1] * 60)
        assert sum(len(held.tokens) for held in house.loop._memory._kept) <= 128
        assert house.books.evaluated <= (n + 1) * 64, "no answer starts over"
    answered(house, 6, [*[6] * 60, *house.tokens(5), 7, 7])
    assert [held.tokens[0] for held in house.loop._memory._kept] == [6], "the repair holds what it repairs"
    answered(house, 7, [1 + n % 30 for n in range(240)])
    assert house.tokens(7) == alone([1 + n % 30 for n in range(240)], 4)


def answered(house, n: int, prompt) -> None:
    house.ask(n, prompt, 4)
    while not house.over(n):
        house.loop.step()


def test_pieces_that_come_faster_than_anybody_reads_are_sent_together(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr("rung.tiers.llama.worker.loop.time.perf_counter", lambda: next(clock) * 1e-4)
    house = House(Books(512, 64), 1)
    answered(house, 1, [5] * 40)
    house.ask(2, [6, 7], 60)
    while not house.over(2):
        house.loop.step()
    deltas = house.sent[2]
    assert house.tokens(2) == alone([6, 7], 60)
    assert len(deltas) <= 3
    assert len(deltas[0].text) == 1, "the first goes at once"


def test_where_smaller_steps_are_faster_the_answers_take_turns():
    house = House(Books(512, 64), 4)
    for size, seconds in ((4, 8.0), (3, 1.0), (2, 6.0)):
        house.loop._planner._pace.record(size, seconds)
    house.loop._planner._pace.record = lambda count, seconds: None
    long = [[first] for first in range(1, SIZE) if len(alone([first], 8)) == 8][:4]
    for n, prompt in enumerate(long):
        house.ask(n, prompt, 8)
    while not all(house.over(n) for n in range(4)):
        house.loop.step()
    first = house.books.steps[:4]
    assert [len(step) for step in first] == [3, 3, 3, 3]
    assert set(Counter(sequence for step in first for sequence, _ in step).values()) == {3}
    for n, prompt in enumerate(long):
        assert house.tokens(n) == alone(prompt, 8)


def test_on_a_gpu_all_answers_go_together_whatever_a_step_of_each_size_takes():
    house = House(Books(512, 64, on_gpu=True), 4)
    for size, seconds in ((4, 8.0), (3, 1.0), (2, 6.0)):
        house.loop._planner._pace.record(size, seconds)
    long = [[first] for first in range(1, SIZE) if len(alone([first], 8)) == 8][:4]
    for n, prompt in enumerate(long):
        house.ask(n, prompt, 8)
    while not all(house.over(n) for n in range(4)):
        house.loop.step()
    assert [len(step) for step in house.books.steps] == [4] * 8


def test_repairs_find_the_memory_of_their_answers_while_others_are_under_way():
    house = House(Books(4096, 64), 4)
    company = next([first] for first in range(1, SIZE) if len(alone([first], 120)) == 120)
    house.ask(0, company, 120)
    for n in range(1, 13, 3):
        first, second = ([(at * at + n + other) % 36 + 1 for at in range(100)] for other in (0, 17))
        answered(house, n, first)
        answered(house, n + 1, second)
        before = house.books.evaluated
        answered(house, n + 2, [*first, *house.tokens(n), 7, 7, 7, 7, 7, 7, 7, 7])
        assert house.books.evaluated - before < 60
    assert not house.over(0)


@pytest.mark.parametrize("on_gpu", [False, True], ids=["CPU", "GPU"])
def test_an_answer_that_runs_by_itself_with_random_numbers_starts_in_an_empty_context(on_gpu):
    house = House(Books(1024, 128, on_gpu=on_gpu), 1)
    answered(house, 1, LONG)
    before = house.books.evaluated
    house.ask(2, LONG, 4, alone=True)
    house.loop.step()
    assert house.books.steps[-1][0][1] == len(LONG)
    assert sum(bool(memory) for memory in house.books.memory.values()) == 1
    assert house.books.evaluated - before == len(LONG)
