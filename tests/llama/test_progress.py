"""A local worker says how far it is with a load and a prefill, so that nobody takes it for one that does nothing."""

from __future__ import annotations

import os

import pytest

from llama.books import Books, House
from llama.conftest import call
from llama.played import ANSWER, GREETING, LOADS, STANDS_STILL
from rung import Ladder
from rung.testing import ScriptedTier
from rung.tiers.llama import LlamaTier


@pytest.fixture
def played(tmp_path):
    """Makes a tier whose worker is a few lines of Python that speak its part."""
    tiers = []

    def new(lines: str) -> LlamaTier:
        (tmp_path / "m.gguf").write_bytes(b"GGUF")
        worker = tmp_path / "python"
        worker.write_text(GREETING + lines)
        worker.chmod(0o755)
        tiers.append(LlamaTier(tmp_path / "m.gguf", name="small", python=str(worker)))
        return tiers[-1]

    yield new
    for tier in tiers:
        tier.close()


posix = pytest.mark.skipif(os.name != "posix", reason="a script with a first line stands for the interpreter")


@pytest.mark.slow
@posix
def test_a_load_and_a_prefill_that_get_on_are_never_cut_short_by_a_share(played):
    """Both together take longer than the tier's share of the time, which is a fifth."""
    others = [ScriptedTier(name, "too early") for name in "abcd"]
    outcome = Ladder(played(LOADS + ANSWER), *others).run("hi", timeout=20)
    assert (outcome.value, len(outcome.attempts)) == ("late", 1)
    assert outcome.seconds > 20 / 5


@pytest.mark.slow
@posix
def test_a_load_that_stands_still_is_given_up(played):
    outcome = Ladder(played(STANDS_STILL), ScriptedTier("mid", "fine")).run("hi", timeout=12)
    assert [(a.tier, a.reason) for a in outcome.attempts] == [("small", "stalled"), ("mid", "valid")]


@pytest.mark.slow
@posix
def test_the_deltas_of_a_tier_tell_how_far_it_is(played):
    told = [delta.progress for delta in played(LOADS + ANSWER).stream(call()) if delta.progress is not None]
    load, prefill = told[:-9], told[-9:]
    assert prefill == [n / 9 for n in range(9)]
    assert load == sorted(set(load))
    assert len(load) > 3
    assert all(0 < done < 1 for done in load)


def test_a_prefill_in_several_steps_says_after_each_how_far_it_is():
    house = House(Books(cells=64, batch=8), slots=1)
    house.ask(1, range(1, 31), 3)
    while not house.over(1):
        house.loop.step()
    told = [delta.progress for delta in house.sent[1] if delta.progress is not None]
    assert told == [8 / 30, 16 / 30, 24 / 30]
