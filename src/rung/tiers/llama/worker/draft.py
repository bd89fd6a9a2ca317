"""A rejected answer as a draft: its text is proposed to the model that answers now, which checks many tokens in the
time of a few. The answer is still that model's own.

This is "prompt lookup decoding" (A. Saxena, 2023), with the rejected answer instead of the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rung.tiers.llama.fit import DRAFTED

_LENGTHS = (3, 7, DRAFTED)

_WORTH = 1.15
"""How many times its price a proposal must be expected to gain. The margin is there because the gain is only
expected."""

_GRAM = 3
_FIRST = 0.85
_WEIGHT = 0.12

_STAKE, _STAKE_EACH = 1.0, 0.02
"""Tokens that wrong proposals may lose: at once, and additionally per token of the answer."""


class Draft:
    """Proposes what comes next, and learns from what came.

    At every token it sees whether a proposal would have been right, whether it was proposed or not. So drafting stops
    as soon as it doesn't pay, and resumes without a trial. It also keeps accounts, so that wrong proposals cost an
    answer next to nothing.

    Args:
        tokens: tokens of the rejected answer, in the vocabulary of the model that answers now.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)
        self._at: int | None = 0
        self._reached = 0
        self._hits = _FIRST
        self._tail: list[int] = []
        self._proposed = 0
        self._price = 0.0
        self._balance = _STAKE

    def propose(self, most: int, price: Callable[[int], float]) -> list[int]:
        """The tokens to check in the next step; none if that wouldn't pay.

        Args:
            most: most tokens to propose.
            price: how many tokens could be chosen in the time that so many proposed ones take.
        """
        self._proposed, self._price = 0, 0.0
        if self._at is None or self._at == len(self._tokens):
            return []
        rest = min(most, len(self._tokens) - self._at)
        prices = {length: price(length) for length in {min(rest, n) for n in _LENGTHS} if length > 0}
        gains = {n: _expected(self._hits, n) - _WORTH * cost for n, cost in prices.items() if cost <= self._balance}
        best = max(gains, key=gains.__getitem__, default=0)
        if not best or gains[best] <= 0:
            return []
        self._proposed, self._price = best, prices[best]
        return self._tokens[self._at : self._at + best]

    def chosen(self, token: int) -> None:
        """The model chose this token."""
        # Paid once the step was taken. A step that is postponed or aborted proposes again.
        self._balance += _STAKE_EACH - self._price
        self._price = 0.0
        if self._at is not None and self._at < len(self._tokens):
            right = self._tokens[self._at] == token
            self._hits += _WEIGHT * (right - self._hits)
            self._balance += right and self._proposed > 0
        self.follow(token)

    def follow(self, token: int) -> None:
        """This token came next, without a choice."""
        self._tail = [*self._tail[1 - _GRAM :], token]
        if self._at is not None and self._at < len(self._tokens) and self._tokens[self._at] == token:
            self._at += 1
            self._proposed -= 1
        else:
            self._at = self._find()
            self._proposed = 0
        self._reached = self._at or self._reached

    def _find(self) -> int | None:
        """Where the draft goes on after the last tokens of the answer: later in the draft if possible, or else
        anywhere.
        """
        found = [at + _GRAM for at in range(len(self._tokens) - _GRAM) if self._tokens[at : at + _GRAM] == self._tail]
        return next((at for at in found if at > self._reached), next(iter(found), None))


def _expected(hits: float, length: int) -> float:
    """How many of the proposed tokens are expected to be right, up to the first wrong one.

    Args:
        hits: probability of each, given that those before it were right.
        length: length of the proposal.
    """
    return length * 1.0 if hits >= 1 else float(hits * (1 - hits**length) / (1 - hits))
