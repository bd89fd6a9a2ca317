"""As many threads as there are free cores, and never none."""

from __future__ import annotations

import pytest

from rung.tiers.llama.threads import EVERY, Fixed, Free, ProcessorLoad


class Machine:
    """Cores that other programs and this one keep busy, and a clock."""

    def __init__(self) -> None:
        self.time = self.others = self.own = 0.0

    def load(self) -> ProcessorLoad:
        return ProcessorLoad(self.others + self.own, self.own)

    def clock(self) -> float:
        return self.time

    def passes(self, seconds: float, *, others: float = 0.0, own: float = 0.0) -> None:
        self.time += seconds
        self.others += others * seconds
        self.own += own * seconds


@pytest.fixture
def machine():
    return Machine()


def free(machine: Machine, most: int) -> Free:
    return Free(most, machine.load, machine.clock)


def test_on_a_quiet_machine_every_core_decodes_however_busy_this_process_is(machine):
    threads = free(machine, 4)
    for _ in range(5):
        machine.passes(EVERY, own=4.0, others=0.1)
        assert threads.now() == 4


@pytest.mark.parametrize(("others", "count"), [(0.3, 4), (0.7, 3), (1.0, 3), (1.3, 3), (1.7, 2), (4.0, 1), (9.0, 1)])
def test_a_core_that_others_keep_busy_is_left_to_them(machine, others, count):
    threads = free(machine, 4)
    machine.passes(EVERY, others=others, own=2.0)
    assert threads.now() == count


def test_a_core_that_comes_free_is_used_again(machine):
    threads = free(machine, 2)
    machine.passes(EVERY, others=1.0, own=1.0)
    assert threads.now() == 1
    machine.passes(EVERY, own=1.0)
    assert threads.now() == 2


def test_between_two_looks_nothing_is_measured_and_nothing_changes(machine):
    looks = []
    threads = Free(2, lambda: looks.append(1) or machine.load(), machine.clock)
    for _ in range(100):
        machine.passes(EVERY / 200, others=2.0)
        assert threads.now() == 2
    assert len(looks) == 1


def test_a_count_that_somebody_gave_stays():
    assert Fixed(3).now() == 3


def test_the_cores_of_this_machine_can_be_asked():
    from rung.tiers.llama.threads import meter

    read = meter()
    first = read()
    sum(range(2_000_000))
    second = read()
    assert second.own > first.own
    assert second.all >= first.all


def test_what_a_host_did_while_it_started_says_nothing_about_the_cores_that_are_free_now(machine):
    threads = free(machine, 2)
    machine.passes(EVERY, others=1.0)
    assert threads.now() == 1
    machine.passes(EVERY, others=1.0)
    threads.anew()
    assert threads.now() == 2
    machine.passes(EVERY, others=1.0)
    assert threads.now() == 1
