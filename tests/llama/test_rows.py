"""The logits of many answers, reckoned together: each row gives what it gives alone, and is left as it was."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.thorough import times
from rung.tiers.llama.worker import crew as crew_module
from rung.tiers.llama.worker import exponentials
from rung.tiers.llama.worker.crew import Crew
from rung.tiers.llama.worker.sampling import LogitsRow, Sampler, confidence
from rung.types import Sampling


def spawn(work, name: str) -> None:
    threading.Thread(target=work, name=name, daemon=True).start()


@pytest.fixture(scope="module")
def crew() -> Crew:
    return Crew(3, spawn)


def drawn(seed: int, count: int, size: int) -> np.ndarray:
    """Rows as models give them: some sure, some flat, some with equal logits on top."""
    noise = np.random.default_rng(seed)
    rows = noise.normal(0, noise.uniform(0.1, 6, (count, 1)), (count, size)).astype(np.float32)
    rows[::3, noise.integers(size)] = 25
    rows[1::4] = rows[1::4].round()
    return rows


@settings(deadline=None, max_examples=times(60))
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 24),
    size=st.integers(2, 3000),
    temperature=st.sampled_from([0.0, 0.7, 1.5]),
    top_p=st.sampled_from([None, 0.9]),
)
def test_rows_that_are_reckoned_together_say_what_each_says_alone(crew, seed, count, size, temperature, top_p):
    logits = drawn(seed, count, size)
    before = logits.copy()
    choice = Sampling(temperature=temperature, top_p=top_p, seed=seed)
    work = [(LogitsRow(logits[i]), Sampler(choice, i)) for i in range(count)]

    chosen: dict[int, int] = {}

    def look(of: tuple[LogitsRow, Sampler]) -> None:
        row, sampler = of
        chosen[id(row)] = sampler.choose(row)
        row.look()

    crew.each(look, work)
    assert (logits == before).all()
    for i, (row, _) in enumerate(work):
        token, alone = chosen[id(row)], LogitsRow(before[i])
        assert token == Sampler(choice, i).choose(alone)
        found = confidence(row, token)
        assert found == confidence(alone, token)
        exact = before[i].astype(np.float64)
        assert found.logprob == pytest.approx(exact[token] - np.logaddexp.reduce(exact), abs=1e-4)
        assert found.margin == pytest.approx(exact[token] - np.delete(exact, token).max(), abs=1e-4)
        if not temperature:
            assert token == before[i].argmax()


@pytest.mark.parametrize("fill", [exponentials._FILL, exponentials._with_numpy], ids=["as found here", "numpy's"])
def test_a_sum_of_exponentials_is_exact_over_a_whole_vocabulary(monkeypatch, fill):
    monkeypatch.setattr(exponentials, "_FILL", fill)
    logits = np.random.default_rng(3).normal(0, 3, 151_936).astype(np.float32)
    logits[7] = 20
    exact = np.exp(logits.astype(np.float64) - 20)
    assert exponentials.mass(logits, 20.0) == pytest.approx(exact.sum(), rel=2e-6)
    into = logits.copy()
    exponentials.exponentials(into, 20.0)
    assert np.allclose(into, exact, rtol=1e-5, atol=0)


def shaped(kind: str, size: int, noise: np.random.Generator) -> np.ndarray:
    rows = {
        "flat": np.full(size, noise.uniform(-30, 30)),
        "peaked": np.append(noise.normal(-8, 2, size - 1), 30),
        "tied": noise.integers(0, 3, size),
        "masked": np.where(noise.random(size) < 0.9, -np.inf, noise.normal(0, 3, size)),
        "rising": np.linspace(-40, 40, size),
        "falling": np.linspace(40, -40, size),
        "spread": noise.normal(0, 3, size),
    }
    row = rows[kind].astype(np.float32)
    if kind == "peaked":
        noise.shuffle(row)
    row[0] = 0.5 if np.isneginf(row).all() else row[0]
    return row


@pytest.mark.parametrize("kind", ["flat", "peaked", "tied", "masked", "rising", "falling", "spread"])
@pytest.mark.parametrize("fill", [exponentials._FILL, exponentials._with_numpy], ids=["as found here", "numpy's"])
@settings(deadline=None, max_examples=times(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), size=st.integers(2, 500))
def test_one_look_finds_both_leaders_and_the_whole_mass(monkeypatch, kind, fill, seed, size):
    """Whatever the row looks like: leaders exactly, log-sum-exp to 1e-5."""
    monkeypatch.setattr(exponentials, "_FILL", fill)
    row = shaped(kind, size, np.random.default_rng(seed))
    before = row.copy()
    found = exponentials.survey(row)
    assert (row == before).all(), "the row is as it was"
    exact = row.astype(np.float64)
    assert found.first == exact.argmax()
    others = exact.copy()
    others[found.first] = -np.inf
    assert others[found.second] == others.max()
    assert others.max() == -np.inf or found.second == others.argmax()
    assert found.top == exact.max()
    assert found.top + np.log(found.mass) == pytest.approx(np.logaddexp.reduce(exact), abs=1e-5)


def test_a_row_without_a_single_possible_token_has_no_mass():
    assert np.isnan(exponentials.survey(np.full(40, -np.inf, np.float32)).mass)


def test_a_function_of_llama_cpp_that_says_something_else_is_not_used(monkeypatch):
    class Wrong:
        def __call__(self, *args) -> float:
            return 1.0

    library = type("Lib", (), {"ggml_vec_soft_max_f32": Wrong()})()
    monkeypatch.setattr(exponentials.binding, "processor", lambda: library)
    assert exponentials._fused() is None
    monkeypatch.setattr(exponentials.binding, "processor", object)
    assert exponentials._fused() is None


@given(count=st.integers(0, 40))
def test_a_crew_does_everything_once(crew, count):
    for _ in range(4):
        done: list[int] = []
        crew.each(done.append, range(count))
        assert sorted(done) == list(range(count))


@pytest.mark.parametrize("faster", ["alone", "shared"])
def test_a_crew_takes_the_way_that_was_faster_and_tries_the_other_one_now_and_then(monkeypatch, faster):
    now, caller = [0.0], threading.get_ident()
    monkeypatch.setattr(crew_module.time, "perf_counter", lambda: now[0])
    crew = Crew(1, spawn)
    ways = []

    def share(work, items) -> None:
        ways.append("shared")
        now[0] += 1.0 if faster == "shared" else 3.0

    def work(item) -> None:
        assert threading.get_ident() == caller
        now[0] += 0.25

    monkeypatch.setattr(crew, "_share", share)
    for _ in range(200):
        before = len(ways)
        crew.each(work, range(8))
        ways += ["alone"] * (len(ways) == before)
    assert ways[:2] == ["alone", "shared"]
    assert 2 <= 200 - ways.count(faster) <= 6
