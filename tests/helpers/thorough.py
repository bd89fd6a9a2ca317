"""How many examples of a law are tried."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from hypothesis import settings

Case = TypeVar("Case")

LIGHT, FEWEST = 10, 5
"""Where tests run fast, so much fewer, down to so many."""
FOURTH = 4
"""Where tests run fast, one case of a table in so many."""


def times(most: int) -> int:
    """How often something is tried: `most` times under `--hypothesis-profile=thorough`, as the whole suite has it.

    Args:
        most: times.
    """
    return min(most, max(FEWEST, most // LIGHT)) if _fast() else most


def some(cases: Iterable[Case]) -> list[Case]:
    """All cases of a table in the whole suite, and every fourth of them in the fast run.

    Args:
        cases: in an order that stays the same. Those that follow one another are best alike.
    """
    all_of_them = [*cases]
    return all_of_them[::FOURTH] if _fast() else all_of_them


def _fast() -> bool:
    return settings.get_current_profile_name() != "thorough"
