"""What was tried so far, and what it used."""

from __future__ import annotations

from decimal import Decimal

from rung.limits import Budget
from rung.types import Attempt, Candidate, IssueCode, Quote, Usage, Zone


class Record:
    """The attempts of one run, first to last."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    @property
    def rejected(self) -> Attempt | None:
        """The last attempt whose answer was whole and still didn't do: what the next attempt can learn from."""
        return next((a for a in reversed(self.attempts) if a.candidate is not None and not _partial(a)), None)

    @property
    def best(self) -> Candidate | None:
        """The best rejected candidate: a valid one first, then a whole one, then the fewest issues, then the latest."""
        answered = [a for a in self.attempts if a.candidate is not None]
        if not answered:
            return None
        return min(reversed(answered), key=lambda a: (_partial(a), len(a.issues))).candidate

    @property
    def usage(self) -> Usage:
        """Tokens of all attempts that reached a tier; unknown is `None`."""
        return sum((a.usage for a in self.attempts if a.sent), Usage(0, 0))

    @property
    def cost(self) -> Decimal | None:
        """US dollars of all attempts; unknown is `None`."""
        costs = [a.cost for a in self.attempts if a.sent]
        return None if any(c is None for c in costs) else sum((c for c in costs if c is not None), Decimal(0))

    @property
    def left_machine(self) -> bool | None:
        """Whether the prompt left it; `None` where a loopback endpoint got it and nobody vouches for that."""
        sent = [a for a in self.attempts if a.sent]
        if any(a.zone > Zone.HOST for a in sent):
            return True
        return None if any(a.stays_here is None for a in sent) else False

    def spent(self, tier: str | None = None) -> Decimal:
        """US dollars used, by one tier or by all; an unknown cost counts as its bound."""
        total = Decimal(0)
        for attempt in self.attempts:
            if attempt.sent and tier in (None, attempt.tier):
                bound = attempt.quote.max_cost if attempt.quote else None
                total += attempt.cost if attempt.cost is not None else bound or Decimal(0)
        return total

    def tokens_left(self, budget: Budget) -> int | None:
        """What is left of the token budget; `None` without one. An unknown usage counts as its bound."""
        if budget.tokens is None:
            return None
        return max(0, budget.tokens - sum(used(a.quote, a.usage) for a in self.attempts if a.sent))

    def answered_or_paid(self, tier: str) -> bool:
        """Whether a tier gave any answer, or isn't one of those that are free."""
        return any(a.tier == tier and (a.answered or bool(a.quote and a.quote.max_cost)) for a in self.attempts)


def used(quote: Quote | None, usage: Usage) -> int:
    """Tokens that a call used; where nobody said, as many as its quote bounds."""
    read = usage.input_tokens if usage.input_tokens is not None else quote.input_tokens if quote else None
    written = usage.output_tokens if usage.output_tokens is not None else quote.max_tokens if quote else None
    return (read or 0) + (written or 0)


_PARTIAL = (IssueCode.CUT_OFF, IssueCode.EMPTY, IssueCode.LOOPING, IssueCode.REFUSAL)
"""Codes of what isn't a whole answer, from which a repair could learn nothing."""


def _partial(attempt: Attempt) -> bool:
    return any(issue.code in _PARTIAL for issue in attempt.issues)
