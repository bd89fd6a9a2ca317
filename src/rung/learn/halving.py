"""Rounds of successive halving: how many forms answer how many rows, within a number of answers."""

from __future__ import annotations

from dataclasses import dataclass

_FIRST = (32, 24, 16, 12, 8)
"""Rows of the first round: as many as the budget allows. With fewer than eight, luck decides."""
_FINALISTS = 2
"""Forms besides rung's own that are asked all rows that the budget allows."""


@dataclass(frozen=True, slots=True)
class Halving:
    """One round.

    Args:
        forms: number of forms that are asked, including rung's own unless it was dropped.
        rows: number of rows that each of them has been asked at the end of the round.
    """

    forms: int
    rows: int


def halvings(forms: int, rows: int, answers: float | None) -> tuple[Halving, ...]:
    """The rounds of a search.

    As many forms are tried as the answers allow, before any of them is asked many rows. A form that isn't tried can't
    be found.

    Args:
        forms: number of forms.
        rows: number of rows that may be asked.
        answers: number of answers that may be asked for; `None` sets no limit.
    """
    for count in range(forms, 1, -1):
        for first in _FIRST:
            if first > rows and first != _FIRST[-1]:
                continue
            rounds = _rounds(count, min(first, rows), rows)
            while rounds and answers is not None and asked_in(rounds) > answers and len(rounds) > 1:
                rounds = rounds[:-1]
            enough = len(rounds) > 1 or rounds[-1].rows == rows or count == 2
            if answers is None or (asked_in(rounds) <= answers and enough):
                return tuple(rounds)
    return ()


def asked_in(rounds: tuple[Halving, ...] | list[Halving]) -> int:
    """Answers that the rounds take, including those of rung's own form if it is asked besides the others."""
    total = before = 0
    for each in rounds:
        total += (each.forms + 1) * (each.rows - before)
        before = each.rows
    return total


def _rounds(forms: int, first: int, rows: int) -> list[Halving]:
    found = [Halving(forms, first)]
    while found[-1].rows < rows:
        fewer = max(_FINALISTS, -(-found[-1].forms // 2))
        found.append(Halving(fewer, min(rows, 2 * found[-1].rows)))
    return found
