"""The loop from a request to an outcome. Only this room decides the order of things."""

from rung.engine.loop import run
from rung.engine.plan import Observer, Plan
from rung.engine.previewing import Preview, preview
from rung.engine.residency import UNLOAD_AFTER, Residency

__all__ = ["UNLOAD_AFTER", "Observer", "Plan", "Preview", "Residency", "preview", "run"]
