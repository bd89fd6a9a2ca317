"""How many answers share a step."""

from __future__ import annotations

from rung.tiers.llama.worker.pace import Pace


def settled(seconds: dict[int, float], count: int) -> int:
    """What `count` answers end up with on a machine whose steps take so long."""
    pace = Pace()
    for _ in range(40):
        size = pace.most(count)
        assert count / 2 <= size <= count
        pace.record(size, seconds[size])
    return pace.most(count)


def test_all_go_together_where_that_is_fastest_for_each():
    assert settled({size: 10 + size for size in range(1, 17)}, 16) == 16


def test_a_size_at_which_steps_become_slow_is_avoided():
    slow_from_8 = {size: 20.0 * size + (70 if size >= 8 else 10) for size in range(1, 17)}
    assert settled(slow_from_8, 8) == 7
    assert settled(slow_from_8, 7) == 7


def test_a_smaller_step_that_gains_next_to_nothing_is_not_worth_the_wait():
    assert settled({1: 10, 2: 20, 3: 29, 4: 40}, 4) == 4


def test_one_or_none_needs_no_choice():
    assert [Pace().most(count) for count in (0, 1, 2)] == [0, 1, 2]


def test_what_was_learned_is_forgotten_when_the_machine_has_changed():
    pace = Pace()
    for size, seconds in ((8, 8.0), (7, 1.0), (6, 6.0), (5, 5.0), (4, 4.0)):
        pace.record(size, seconds)
    assert pace.most(8) == 7
    for _ in range(2000):
        size = pace.most(8)
        pace.record(size, 10.0 + size)
    assert pace.most(8) == 8
