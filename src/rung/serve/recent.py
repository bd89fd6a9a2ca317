"""The latest requests and the tiers' progress, for the page. It has no prompts and no answers."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from rung.types import Attempt, AttemptEnded, Event, Finished, Outcome, Preparing

_MOST = 200
"""Requests that are remembered for all callers together: several pages."""

_SHOWN = 20
"""Requests that one caller is shown: as many as fit on a page."""


class Recent:
    """The requests that the page shows. `told` is an observer of the ladder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: deque[tuple[str | None, Mapping[str, Any]]] = deque(maxlen=_MOST)
        self._progress: dict[str, float] = {}

    def told(self, event: Event) -> None:
        """Record an event."""
        with self._lock:
            if isinstance(event, Preparing):
                if event.phase == "ready" or event.share is None:
                    self._progress.pop(event.tier, None)
                else:
                    self._progress[event.tier] = event.share
            elif isinstance(event, AttemptEnded):
                self._progress.pop(event.attempt.tier, None)
            elif isinstance(event, Finished):
                request = event.request
                self._requests.append((request.caller, _request(event.outcome, request.task, time.time())))

    def of(self, caller: str) -> list[Mapping[str, Any]]:
        """The latest requests of a caller, newest first."""
        with self._lock:
            return [it for whose, it in reversed(self._requests) if whose == caller][:_SHOWN]

    def progress(self, tier: str) -> float | None:
        """Progress of a tier's preparation, in [0, 1]; `None` if it isn't being prepared."""
        with self._lock:
            return self._progress.get(tier)


def _request(outcome: Outcome[Any], task: str | None, at: float) -> Mapping[str, Any]:
    return {
        "at": at,
        "task": task,
        "accepted": outcome.accepted,
        "tier": outcome.tier,
        "reason": str(outcome.reason),
        "seconds": round(outcome.seconds, 2),
        "left_machine": outcome.left_machine,
        "cost_usd": None if outcome.cost is None else float(outcome.cost),
        "attempts": [_attempt(attempt) for attempt in outcome.attempts],
    }


def _attempt(attempt: Attempt) -> Mapping[str, Any]:
    return {
        "tier": attempt.tier,
        "verdict": None if attempt.verdict is None else str(attempt.verdict),
        "reason": str(attempt.reason),
        "seconds": round(attempt.seconds, 2),
    }
