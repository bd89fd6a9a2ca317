"""The ladder: what an app holds on to."""

from rung.ladder.ladder import Ladder, always, never
from rung.ladder.typed import AsyncTyped, Typed

__all__ = ["AsyncTyped", "Ladder", "Typed", "always", "never"]
