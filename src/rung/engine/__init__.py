"""The loop from a request to an outcome: the only place that decides the order of things."""

from rung.engine.loop import run
from rung.engine.plan import Consent, Observer, PaidAfter, Plan

__all__ = ["Consent", "Observer", "PaidAfter", "Plan", "run"]
