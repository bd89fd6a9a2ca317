"""The answer to a question, as the manifest stores it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_core import to_jsonable_python

from rung.batch.replaying import CallMade
from rung.types import Attempt, Outcome

_MOST_ISSUES = 5
"""Issues of an attempt that are stored: as many as a person reads."""
_LONGEST = 300
"""Characters of an issue's message that are stored."""


def answer_of(outcome: Outcome[Any], made: Sequence[CallMade]) -> dict[str, Any]:
    """Convert an outcome to the answer that is stored.

    Args:
        outcome: of the last climb. It has every attempt, including those of earlier passes.
        made: the calls in the order in which they were made, with the seconds that they originally took.
    """
    seconds = iter(call.seconds for call in made)
    last = outcome.attempts[-1] if outcome.attempts else None
    cost = outcome.cost
    found: dict[str, Any] = {
        "tier": outcome.tier,
        "reason": str(outcome.reason),
        "cost_usd": None if cost is None else float(cost),
        "seconds": round(sum(call.seconds for call in made), 3),
        "input_tokens": outcome.usage.input_tokens,
        "output_tokens": outcome.usage.output_tokens,
        "left_machine": outcome.left_machine,
        "attempts": [_attempt(attempt, seconds) for attempt in outcome.attempts],
    }
    if outcome.accepted and last is not None:
        value = to_jsonable_python(outcome.value)
        found["value"] = value
        if value != outcome.text:
            found["text"] = outcome.text
        found["checked_by"] = list(outcome.checked_by)
        found["confidence"] = last.confidence
        return found
    best = outcome.best
    if best is not None:
        found["best"] = best.text
        found["tier"] = next((a.tier for a in outcome.attempts if a.candidate is best), None)
    tried = [a for a in outcome.attempts if a.issues or a.detail or a.error is not None]
    found["issues"] = _issues(tried[-1]) if tried else []
    found["detail"] = outcome.explain()
    return found


def problem(reason: str, detail: str) -> dict[str, Any]:
    """The stored answer of a question that couldn't be asked, or whose check raised.

    Args:
        reason: one word.
        detail: one sentence.
    """
    return {"tier": None, "reason": reason, "detail": detail, "cost_usd": None, "seconds": 0.0, "issues": []}


def _attempt(attempt: Attempt, seconds: Iterator[float]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tier": attempt.tier,
        "verdict": None if attempt.verdict is None else str(attempt.verdict),
        "reason": str(attempt.reason),
        "seconds": round(next(seconds, 0.0) if attempt.sent else 0.0, 3),
        "cost_usd": None if attempt.cost is None else float(attempt.cost),
        "confidence": attempt.confidence,
    }
    issues = _issues(attempt)
    return {**found, "issues": issues} if issues else found


def _issues(attempt: Attempt) -> list[str]:
    said = [f"{issue.path}: {issue.message}" if issue.path else issue.message for issue in attempt.issues]
    if not said and attempt.detail:
        said = [attempt.detail]
    if not said and attempt.error is not None:
        said = [attempt.error.message]
    return [text[:_LONGEST] for text in said[:_MOST_ISSUES]]
