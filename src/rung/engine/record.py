"""What was tried so far, and what is left of the budgets."""

from __future__ import annotations

from decimal import Decimal

from rung.errors import TierStalled
from rung.limits import Budget
from rung.types import Attempt, Quote, Usage

BROKEN_AFTER = 10.0
"""Seconds without any progress after which a tier that was given up counts as broken. If it had less time, the deadline
was short, and nobody can tell whether the tier would have answered."""


class Record:
    """The attempts of one run, first to last."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    @property
    def rejected(self) -> Attempt | None:
        """The last attempt whose answer was whole and was still rejected. The next attempt can learn from it."""
        return next((a for a in reversed(self.attempts) if a.answered and not a.partial), None)

    def spent(self, tier: str | None = None) -> Decimal:
        """US dollars used, by one tier or by all; an unknown cost counts as its bound."""
        total = Decimal(0)
        for attempt in self.attempts:
            if attempt.sent and tier in (None, attempt.tier):
                total += attempt.cost if attempt.cost is not None else attempt.bound or Decimal(0)
        return total

    def tokens_left(self, budget: Budget) -> int | None:
        """What is left of the token budget; `None` without one. An unknown usage counts as its bound."""
        if budget.tokens is None:
            return None
        return max(0, budget.tokens - sum(used(a.quote, a.usage) for a in self.attempts if a.sent))

    def answered_or_paid(self, tier: str) -> bool:
        """Whether a tier gave any answer, or isn't a free one.

        A tier that was given up because the deadline was short had no time to answer. That doesn't show that it is
        broken.
        """
        return any(a.tier == tier and (a.answered or bool(a.bound) or _was_short_of_time(a)) for a in self.attempts)


def _was_short_of_time(attempt: Attempt) -> bool:
    return isinstance(attempt.error, TierStalled) and attempt.error.silent < BROKEN_AFTER


def used(quote: Quote | None, usage: Usage) -> int:
    """Tokens that a call used, or the bound of its quote where nobody said."""
    read = usage.input_tokens if usage.input_tokens is not None else quote.input_tokens if quote else None
    written = usage.output_tokens if usage.output_tokens is not None else quote.max_tokens if quote else None
    return (read or 0) + (written or 0)
