"""What drafts cost and save on machines whose prices were measured: never much, and on the whole nothing.

Simulated: the real loop, over a context that keeps exact books, by a clock that takes what a step took there.
"""

from __future__ import annotations

import random
import statistics

import numpy as np
import pytest

from llama.books import SIZE, Books, House, alone
from rung.tiers.llama.worker import loop as loop_module
from rung.tiers.llama.worker.draft import Credit

MACHINES = {
    "135M with AMX": {1: 7.0, 2: 9.9, 4: 13.0, 8: 19.3, 16: 30.4},
    "135M without AMX": {1: 11.7, 2: 15.4, 4: 23.7, 8: 39.8, 16: 73.7},
    "0.5B with AMX": {1: 32.1, 2: 40.7, 4: 51.7, 8: 74.0, 16: 113.7},
    "1.5B with AMX": {1: 62.8, 2: 111, 4: 125, 8: 170, 16: 202},
    "1.5B without AMX": {1: 34.6, 2: 60, 4: 97, 8: 236, 16: 260},
    "AVX-512 without AMX": {1: 40.0, 2: 52.0, 4: 88.0, 8: 165.0, 16: 300.0},
}
"""Milliseconds of a step by its number of tokens, from docs/benchmarks.md. The last is like a Zen 4: more tokens gain
up to a half, then nothing."""

NOISE = 0.08
"""By how much a step takes longer or shorter than its like, as a standard deviation."""

TOKENS = 40
KINDS = {"nothing": 0.0, "some words": 0.4, "most words": 0.8, "one value": 1.0}
"""Rejected answers, by the share of their words that are the next answer's too. The last has one wrong value."""

PROMPTS = [[a, b, c] for a in range(1, 9) for b in range(1, 9) for c in (3, 5)]
LONG = [prompt for prompt in PROMPTS if len(alone(prompt, TOKENS)) == TOKENS]


def drafted(right: list[int], kind: str, dice: random.Random) -> list[int]:
    """A rejected answer: one value is wrong, or it shares so many words."""
    if kind == "one value":
        at = dice.randrange(5, 30)
        return [*right[:at], *(dice.randrange(1, SIZE) for _ in range(3)), *right[at + 3 :]]
    share = KINDS[kind]
    return [token if dice.random() < share else dice.randrange(1, SIZE) for token in right]


def milliseconds(steps: dict[int, float], asked: list[tuple[list[int], list[int] | None]]) -> list[float]:
    """What each answer takes behind its first token. The worker sees a clock with noise, and learns all from it."""
    seen, true, noise = [0.0], [0.0], random.Random(5)

    class Timed(Books):
        def decode(self, runs) -> bool:
            took = float(np.interp(sum(len(run.tokens) for run in runs), [0, *steps], [0.0, *steps.values()]))
            true[0] += took
            seen[0] += took / 1000 * max(0.5, noise.gauss(1.0, NOISE))
            return super().decode(runs)

    found, house, credit = [], House(Timed(1024, 64), 1), Credit()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop_module.time, "perf_counter", lambda: seen[0])
        for n, (prompt, draft) in enumerate(asked):
            house.ask(n, prompt, TOKENS, draft, credit=credit)
            house.loop.step()
            began = true[0]
            while not house.over(n):
                house.loop.step()
            assert house.tokens(n) == alone(prompt, TOKENS)
            found.append(true[0] - began)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
def test_no_answer_loses_3_percent_by_its_draft_and_all_together_lose_nothing(machine):
    prompts = LONG[:6]
    without = milliseconds(MACHINES[machine], [(prompt, None) for prompt in prompts])
    gains: dict[str, list[float]] = {}
    for kind in KINDS:
        dice = random.Random(f"{machine} {kind}")
        asked = [(prompt, drafted(alone(prompt, TOKENS), kind, dice)) for prompt in prompts]
        taken = milliseconds(MACHINES[machine], asked)
        gains[kind] = [a / b for a, b in zip(without, taken, strict=True)]
    assert min(min(found) for found in gains.values()) >= 0.97
    assert min(statistics.mean(found) for found in gains.values()) >= 0.99, "even where every draft is wrong"
    assert statistics.mean(gain for found in gains.values() for gain in found) >= 1.0
