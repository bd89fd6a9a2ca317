"""The loop from a request to an outcome. Only this room decides the order of things."""

from rung.engine.loop import NO_EQUALITY, run
from rung.engine.plan import Observer, Plan
from rung.engine.previewing import Preview, preview
from rung.engine.residency import UNLOAD_AFTER, Residency
from rung.engine.shadows import Shadow, Shadows
from rung.engine.standing import conditions, form

__all__ = [
    "NO_EQUALITY",
    "UNLOAD_AFTER",
    "Observer",
    "Plan",
    "Preview",
    "Residency",
    "Shadow",
    "Shadows",
    "conditions",
    "form",
    "preview",
    "run",
]
