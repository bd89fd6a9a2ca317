"""How many examples of a law are tried."""

from __future__ import annotations

from hypothesis import settings

LIGHT, FEWEST = 10, 5
"""Where tests run fast, so much fewer, down to so many."""


def times(most: int) -> int:
    """How often something is tried: `most` times under `--hypothesis-profile=thorough`, as the whole suite has it.

    Args:
        most: times.
    """
    return most if settings.get_current_profile_name() == "thorough" else min(most, max(FEWEST, most // LIGHT))
