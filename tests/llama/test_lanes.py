"""Preparing a call can be ended at any moment, and one that nobody wants holds up no other."""

from __future__ import annotations

import threading
import time

import pytest

from rung.tiers.llama import frames
from rung.tiers.llama.worker.calls import Calls
from rung.tiers.llama.worker.errand import Dropped, Errand, Overdue
from rung.tiers.llama.worker.lanes import LONG, Lane, is_long
from rung.types import Message, ToolCall


def for_ever() -> None:
    while True:
        try:
            for _ in range(1000):
                pass
        except Exception:  # noqa: BLE001  a template's code can catch these
            pass


def test_code_that_never_ends_is_ended_when_its_time_is_over():
    with pytest.raises(Overdue):
        Errand().foreign(for_ever, 0.1)


def test_code_that_never_ends_is_ended_when_nobody_waits_any_more():
    errand = Errand()
    threading.Timer(0.1, errand.drop).start()
    with pytest.raises(Dropped):
        errand.foreign(for_ever, 60)
    with pytest.raises(Dropped):
        errand.foreign(lambda: 1, 60)
    with pytest.raises(Dropped):
        errand.check()


def test_what_ends_in_time_gives_its_result_or_its_error():
    errand = Errand()
    assert errand.foreign(lambda: 5, 60) == 5
    with pytest.raises(KeyError):
        errand.foreign(lambda: {}["x"], 60)
    assert errand.foreign(lambda: 6, 60) == 6


@pytest.mark.slow
def test_an_end_that_comes_too_late_hits_nobody():
    """Whatever the moment, either the work is cut or its result comes; nothing is raised afterwards."""
    cut = 0
    for n in range(100):
        errand = Errand()
        until = time.perf_counter() + (n % 10) * 1e-4
        threading.Timer(0.0005, errand.drop).start()

        def work(until: float = until) -> int:
            while time.perf_counter() < until:
                pass
            return 1

        try:
            assert errand.foreign(work, 60) == 1
        except Dropped:
            cut += 1
        for _ in range(100):
            pass
    assert cut <= 100


class Place:
    """A lane whose work is whatever a task's message says."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.done: list[int] = []
        self.gate = threading.Event()
        self.begun: list[int] = []
        self.lane = Lane("lane", self.calls, self._prepare, self._spawn)

    def _spawn(self, work, name) -> None:
        threading.Thread(target=work, name=name, daemon=True).start()

    def _prepare(self, task, errand) -> None:
        self.begun.append(task.id)
        if task.messages[0].content == "native":
            self.gate.wait(30)
        self.done.append(task.id)

    def put(self, request: int, text: str) -> None:
        self.calls.add(request)
        self.lane.put(frames.Count(request, (Message("user", text),)))

    def drop(self, request: int) -> None:
        self.calls.drop(request)
        self.lane.drop(request)


def until(condition) -> bool:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def test_a_call_that_nobody_wants_and_that_can_not_be_cut_is_left_behind():
    place = Place()
    for request in (1, 2):
        place.put(request, "native")
        assert until(lambda request=request: request in place.begun)
        place.drop(request)
    place.put(3, "quick")
    assert until(lambda: 3 in place.done)
    assert place.done == [3]
    assert place.lane.stuck() == 0.0
    place.gate.set()
    assert until(lambda: len(place.done) == 3)
    place.put(4, "quick")
    assert until(lambda: 4 in place.done)


def test_only_two_are_left_behind_and_a_third_is_waited_for_and_told():
    place = Place()
    for request in (1, 2, 3):
        place.put(request, "native")
        assert until(lambda request=request: request in place.begun)
        place.drop(request)
    place.put(4, "quick")
    assert until(lambda: place.lane.stuck() > 0)
    assert 4 not in place.begun
    place.gate.set()
    assert until(lambda: 4 in place.done)
    assert place.lane.stuck() == 0.0


def test_a_call_that_was_dropped_while_it_waited_is_never_begun():
    place = Place()
    place.put(1, "native")
    place.put(2, "quick")
    place.drop(2)
    place.gate.set()
    place.put(3, "quick")
    assert until(lambda: 3 in place.done)
    assert place.begun == [1, 3]


def test_a_call_is_long_by_its_texts_and_its_tool_calls():
    text = "x" * LONG
    assert is_long(frames.Count(1, (Message("user", text),)))
    assert is_long(frames.Ask(1, (Message("user", ""), Message("assistant", "", (ToolCall("1", "f", text),)))))
    assert not is_long(frames.Ask(1, (Message("user", "x"),)))
    assert not is_long(frames.Ready(1))
