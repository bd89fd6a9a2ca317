"""How many examples of a law are tried."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from hypothesis import settings

Case = TypeVar("Case")

LIGHT, FEWEST = 10, 5
"""Without that profile, so much fewer, down to so many."""
FOURTH = 4
"""Without it, one case of a table in so many."""


def times(most: int) -> int:
    """How often something is tried: `most` times under `--hypothesis-profile=thorough`, which is what
    `scripts/test.py --everything` runs.

    Args:
        most: times.
    """
    return min(most, max(FEWEST, most // LIGHT)) if _few() else most


def some(cases: Iterable[Case]) -> list[Case]:
    """All cases of a table under `scripts/test.py --everything`, and every fourth of them otherwise.

    Args:
        cases: in an order that stays the same. Those that follow one another are best alike.
    """
    all_of_them = [*cases]
    return all_of_them[::FOURTH] if _few() else all_of_them


def _few() -> bool:
    return settings.get_current_profile_name() != "thorough"
