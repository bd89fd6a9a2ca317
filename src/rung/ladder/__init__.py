"""The ladder: what an app holds on to."""

from rung.engine import Shadow
from rung.ladder.ladder import Ladder
from rung.ladder.options import RequestOptions
from rung.ladder.typed import AsyncTyped, Typed

__all__ = ["AsyncTyped", "Ladder", "RequestOptions", "Shadow", "Typed"]
