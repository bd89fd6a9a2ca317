"""The smallest model stays in memory, a bigger one comes before it is needed and goes when nobody uses it."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from rung import ConfigError, Ladder
from rung.testing import Reply, ScriptedTier
from rung.types import AttemptStarted

MODEL = 4


class Room:
    """Memory for so many bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.most = self.held = 0

    def take(self, size: int) -> None:
        self.held += size
        self.most = max(self.most, self.held)


class HeldTier(ScriptedTier):
    """A scripted tier whose model takes `MODEL` bytes of a room."""

    def __init__(self, name: str, answers: list[str], room: Room) -> None:
        super().__init__(name, *answers)
        self.room = room
        self.loaded = False
        self.short = False
        self.busy = 0
        self.used = time.monotonic()

    @property
    def idle(self) -> float | None:
        return None if self.busy or not self.loaded else time.monotonic() - self.used

    def fits(self) -> bool:
        return self.loaded or self.room.held + MODEL <= self.room.size

    def strained(self) -> bool:
        return self.short

    def preload(self) -> None:
        if not self.loaded:
            self.loaded, self.used = True, time.monotonic()
            self.room.take(MODEL)

    def unload(self) -> None:
        if self.loaded and not self.busy:
            self.loaded = False
            self.room.take(-MODEL)

    def stream(self, call):
        self.preload()
        self.busy += 1
        try:
            yield from super().stream(call)
        finally:
            self.busy -= 1
            self.used = time.monotonic()


def ladder_of(room: Room, *answers: list[str], unload_after: float | None = None):
    tiers = [HeldTier(f"tier{n}", said, room) for n, said in enumerate(answers, 1)]
    return tiers, Ladder(*tiers, unload_after=unload_after)


def wait_until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_next_model_is_loaded_while_the_tier_before_it_repairs():
    (small, mid), ladder = ladder_of(Room(100), ["no", "no"], ["1"])
    loaded = [mid.loaded for event in ladder.stream("?", int) if isinstance(event, AttemptStarted)]
    assert loaded == [False, True, True]
    assert small.loaded


def test_an_answer_that_is_right_at_once_loads_no_further_model():
    (_, mid), ladder = ladder_of(Room(100), ["1"], ["1"])
    assert ladder.run("?", int).accepted
    assert not mid.loaded


def test_the_next_model_is_not_loaded_beforehand_where_it_does_not_fit_beside_the_others():
    room = Room(MODEL + 1)
    (_, mid), ladder = ladder_of(room, ["no", "1"], ["1"])
    assert ladder.run("?", int).tier == "tier1"
    assert not mid.loaded
    assert room.most == MODEL


def test_two_models_that_do_not_fit_together_are_loaded_one_after_the_other():
    room = Room(MODEL + 1)
    (small, mid), ladder = ladder_of(room, ["no", "no"], ["1"])
    assert ladder.run("?", int).tier == "tier2"
    assert room.most == MODEL
    assert mid.loaded
    assert not small.loaded


def test_room_is_made_by_the_biggest_model_that_no_call_uses():
    (small, mid, big), ladder = ladder_of(Room(2 * MODEL), ["no", "no"], ["1"], ["1"])
    small.preload()
    big.preload()
    assert ladder.run("?", int).tier == "tier2"
    assert (small.loaded, mid.loaded, big.loaded) == (True, True, False)


def test_a_model_in_use_is_not_unloaded_to_make_room():
    room = Room(MODEL + 1)
    (small, mid), ladder = ladder_of(room, ["no", "no"], ["1"])
    small.preload()
    small.busy = 1
    ladder.run("?", int)
    assert small.loaded
    assert mid.loaded  # what then comes of it is for the tier to say


@pytest.mark.slow
def test_a_bigger_model_that_lies_idle_is_unloaded_and_the_smallest_stays():
    (small, mid), ladder = ladder_of(Room(100), ["no", "no", "no", "no"], ["1", "2"], unload_after=0.1)
    assert ladder.run("?", int).value == 1
    wait_until(lambda: not mid.loaded)
    assert small.loaded
    assert ladder.run("?", int).value == 2
    wait_until(lambda: not mid.loaded)


@pytest.mark.slow
def test_a_model_in_use_is_not_unloaded_however_long_the_call_takes():
    (_, mid), ladder = ladder_of(Room(100), ["no", "no"], [Reply("1", seconds=0.5)], unload_after=0.05)
    unloaded = []
    mid.unload = lambda: unloaded.append(mid.busy)
    ladder.run("?", int)
    wait_until(lambda: unloaded)
    assert not any(unloaded)


@pytest.mark.slow
def test_a_bigger_model_is_unloaded_early_where_memory_is_short():
    (_, mid), ladder = ladder_of(Room(100), ["no", "no"], ["1"], unload_after=1.0)
    ladder.run("?", int)
    mid.short = True
    began = time.monotonic()
    wait_until(lambda: not mid.loaded)
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_models_stay_where_nothing_is_to_be_unloaded():
    (_, mid), ladder = ladder_of(Room(100), ["no", "no"], ["1"], unload_after=None)
    ladder.run("?", int)
    time.sleep(0.3)
    assert mid.loaded


def test_looking_after_models_keeps_neither_ladder_nor_tiers_alive():
    (_, mid), ladder = ladder_of(Room(100), ["no", "no"], ["1"], unload_after=0.2)
    ladder.run("?", int)
    gone = weakref.ref(ladder), weakref.ref(mid)
    del ladder, mid, _
    gc.collect()
    wait_until(lambda: gc.collect() >= 0 and gone[0]() is None and gone[1]() is None)
    wait_until(lambda: not any(t.name == "rung-residency" for t in threading.enumerate()))


def test_a_time_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="unload_after"):
        Ladder(ScriptedTier("small", "1"), unload_after=-1)
