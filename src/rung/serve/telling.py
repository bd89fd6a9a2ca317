"""What rung adds to an answer: `x_rung` in the body, and the `x-rung-*` headers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rung.types import Attempt, Outcome

_MOST_HEADER = 1000
"""Most characters of a header. Servers and proxies limit the headers of an answer to several thousand."""


def x_rung(outcome: Outcome[Any]) -> dict[str, Any]:
    """`x_rung` of one answer. It has no rejected answers.

    Args:
        outcome: the outcome of the request.
    """
    return {
        "status": "accepted" if outcome.accepted else "unresolved",
        "tier": outcome.tier,
        "reason": str(outcome.reason),
        "checked_by": list(outcome.checked_by),
        "confidence": outcome.attempts[-1].confidence if outcome.accepted else None,
        "left_machine": outcome.left_machine,
        "cost_usd": _usd(outcome.cost),
        "seconds": round(outcome.seconds, 4),
        "usage": {"input_tokens": outcome.usage.input_tokens, "output_tokens": outcome.usage.output_tokens},
        "attempts": [_attempt(attempt) for attempt in outcome.attempts],
        "notes": list(outcome.notes),
    }


def headers(outcome: Outcome[Any]) -> dict[str, str]:
    """The `x-rung-*` headers of one answer.

    Args:
        outcome: the outcome of the request.
    """
    told = x_rung(outcome)
    tried = ", ".join(f"{a.tier}={a.reason}" for a in outcome.attempts)
    found = {
        "x-rung-tier": outcome.tier,
        "x-rung-attempts": tried,
        "x-rung-left-machine": _word(outcome.left_machine),
        "x-rung-cost-usd": None if outcome.cost is None else f"{outcome.cost:f}",
        "x-rung-confidence": None if told["confidence"] is None else f"{told['confidence']:.4f}",
    }
    return {name: _header(str(value)) for name, value in found.items() if value is not None}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "tier": attempt.tier,
        "model": attempt.model,
        "zone": str(attempt.zone),
        "verdict": None if attempt.verdict is None else str(attempt.verdict),
        "reason": str(attempt.reason),
        "detail": attempt.detail,
        "issues": [{"path": i.path, "message": i.message, "code": str(i.code)} for i in attempt.issues],
        "constraint": attempt.constraint,
        "seconds": round(attempt.seconds, 4),
        "ttft": attempt.ttft,
        "usage": {"input_tokens": attempt.usage.input_tokens, "output_tokens": attempt.usage.output_tokens},
        "cost_usd": _usd(attempt.cost),
        "confidence": attempt.confidence,
        "notes": list(attempt.notes),
    }


def _usd(cost: Decimal | None) -> float | None:
    return None if cost is None else float(cost)


def _word(known: bool | None) -> str:
    return "unknown" if known is None else str(known).lower()


def _header(text: str) -> str:
    """Escape a text for a header, because a tier may have any name."""
    plain = text.encode("ascii", "backslashreplace").decode()
    return "".join(c if c.isprintable() else "?" for c in plain)[:_MOST_HEADER]
