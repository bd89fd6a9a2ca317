"""A rejected answer as a draft: its text is proposed to the model that answers now, which checks many tokens in the
time of a few. The answer is still that model's own.

This is "prompt lookup decoding" (A. Saxena, 2023), with the rejected answer instead of the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rung.tiers.llama.fit import DRAFTED

_LENGTHS = (1, 2, 3, 7, DRAFTED)

_WORTH = 1.15
"""How many times its price a proposal must be expected to gain. The margin is there because the gain is only
expected."""

_GRAM = 3
_FIRST = 0.85
_WEIGHT = 0.12

_STAKE, _STAKE_EACH = 1.0, 0.005
"""Tokens that wrong proposals may lose: at once, and additionally per token of every answer. An answer of 40 tokens
takes at most 3% longer, and after it answers take at most half a percent longer until a draft has gained something."""


class DraftPrice(NamedTuple):
    """What a proposal costs, in tokens that could be chosen in the same time.

    Args:
        likely: as far as steps of other sizes tell.
        most: no step of this size takes longer.
    """

    likely: float
    most: float


class Credit:
    """What all answers of a worker together may still lose by wrong proposals, in tokens.

    Right proposals fill it up again, and so does each token of an answer, a little.
    """

    def __init__(self) -> None:
        self.left = _STAKE

    def settle(self, own: float, change: float) -> float:
        """Enter a gain or a loss of one answer. Returns what that answer has gained beyond the credit.

        Args:
            own: what it had gained beyond the credit before.
            change: tokens that it gained; negative if it lost some.
        """
        own += change
        moved = min(own, _STAKE - self.left)
        self.left += moved
        return own - moved


class Draft:
    """Proposes what comes next, and learns from what came.

    At every token it sees whether a proposal would have been right, whether it was proposed or not. So drafting stops
    as soon as it doesn't pay, and resumes without a trial. It also keeps accounts, so that wrong proposals cost an
    answer next to nothing. What a step really took is entered, not what it was thought to take: on a machine where 15
    tokens more take ten times as long, one step that was thought cheap costs as much as all others may lose together.

    Args:
        tokens: tokens of the rejected answer, in the vocabulary of the model that answers now.
        credit: what the answers of this worker may lose.
    """

    def __init__(self, tokens: Sequence[int], credit: Credit | None = None) -> None:
        self._tokens = list(tokens)
        self._at: int | None = 0
        self._reached = 0
        self._hits = _FIRST
        self._tail: list[int] = []
        self._proposed = 0
        self._price = 0.0
        self._credit = credit or Credit()
        self._own = 0.0

    def propose(self, most: int, price: Callable[[int], DraftPrice]) -> list[int]:
        """The tokens to check in the next step; none if that wouldn't pay.

        Args:
            most: most tokens to propose.
            price: what so many proposed tokens cost.
        """
        self._proposed, self._price = 0, 0.0
        if self._at is None or self._at == len(self._tokens):
            return []
        rest = min(most, len(self._tokens) - self._at)
        prices = {length: price(length) for length in {min(rest, n) for n in _LENGTHS} if length > 0}
        left = self._own + self._credit.left
        gains = {n: _expected(self._hits, n) - _WORTH * p.likely for n, p in prices.items() if p.most <= left}
        best = max(gains, key=gains.__getitem__, default=0)
        if not best or gains[best] <= 0:
            return []
        self._proposed, self._price = best, prices[best].most
        return self._tokens[self._at : self._at + best]

    def bill(self, price: float) -> None:
        """Enter what the proposal cost, now that the step was taken. Without it, it cost the most that was expected.

        Args:
            price: in tokens that could have been chosen in the same time.
        """
        self._price = price

    def chosen(self, token: int) -> None:
        """The model chose this token."""
        # Paid once the step was taken. A step that is postponed or aborted proposes again.
        change = _STAKE_EACH - self._price
        self._price = 0.0
        if self._at is not None and self._at < len(self._tokens):
            right = self._tokens[self._at] == token
            self._hits += _WEIGHT * (right - self._hits)
            change += right and self._proposed > 0
        self._own = self._credit.settle(self._own, change)
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
