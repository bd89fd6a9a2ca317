"""The loop from a request to an outcome: the only place that decides the order of things."""

from rung.engine.loop import run
from rung.engine.plan import Consent, Observer, PaidAfter, Plan
from rung.engine.preview import Preview, preview

__all__ = ["Consent", "Observer", "PaidAfter", "Plan", "Preview", "preview", "run"]
