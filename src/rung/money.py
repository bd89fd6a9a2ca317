"""Money: who holds it, how long an answer it buys, and what a call cost. Prices are in `rung.types`."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from rung.errors import BudgetExceeded, Cancelled, RungError
from rung.limits import Money, usd
from rung.types import Quote, Usage, Zone

PaidAfter = Literal["local_answers", "any_failure"]

USEFUL = 256
"""Tokens of the shortest answer that a budget is spent on: some 190 words, or an object of thirty short fields."""


class Reservation(Protocol):
    """Money reserved for one paid attempt. Exactly one of the two methods is called, once."""

    def settle(self, cost: Decimal | None) -> None:
        """Replace the reserved bound by the cost. If that is unknown (`None`), the bound stays counted."""

    def release(self) -> None:
        """Give the whole reservation back, because certainly nothing was billed."""


class Purse(Protocol):
    """Holds the money. The ledger is a purse, for budgets across processes."""

    def reserve(self, bound: Decimal) -> Reservation:
        """Reserve `bound` US dollars, atomically.

        Raises:
            BudgetExceeded: there is not enough left. Then nothing is reserved.
        """


class MemoryPurse:
    """A purse for one process.

        purse = rung.MemoryPurse("2.00")  # for all requests of this process together
        ladder = rung.Ladder(rung.llama("smollm2-135m"), purse=purse)
        ladder.run("Is water wet?").cost  # 0

    Args:
        limit: US dollars in all.
    """

    def __init__(self, limit: Money) -> None:
        self.limit = usd(limit, "limit")
        self.spent = Decimal(0)
        self._lock = threading.Lock()

    def reserve(self, bound: Decimal) -> Reservation:
        """Reserve `bound` US dollars."""
        with self._lock:
            left = self.limit - self.spent
            if bound > left:
                raise BudgetExceeded(f"${bound:f} is more than the ${left:f} left of ${self.limit:f}", left=left)
            self.spent += bound
        return _Held(self, bound)

    def _correct(self, by: Decimal) -> None:
        with self._lock:
            self.spent += by


@dataclass(frozen=True, slots=True)
class BothPurses:
    """Two limits at once: money is reserved in both, or in neither.

    Args:
        first: asked first.
        second: asked if the first has enough.
    """

    first: Purse
    second: Purse

    def reserve(self, bound: Decimal) -> Reservation:
        """Reserve `bound` US dollars in both."""
        held = self.first.reserve(bound)
        try:
            return _HeldInBoth(held, self.second.reserve(bound))
        except BaseException:
            held.release()
            raise


@dataclass(frozen=True, slots=True)
class _HeldInBoth:
    first: Reservation
    second: Reservation

    def settle(self, cost: Decimal | None) -> None:
        self.first.settle(cost)
        self.second.settle(cost)

    def release(self) -> None:
        self.first.release()
        self.second.release()


@dataclass(frozen=True, slots=True)
class _Held:
    purse: MemoryPurse
    bound: Decimal

    def settle(self, cost: Decimal | None) -> None:
        if cost is not None:
            self.purse._correct(cost - self.bound)

    def release(self) -> None:
        self.purse._correct(-self.bound)


def room(quote: Quote, cap: int | None, candidates: int, limit: Decimal) -> int | None:
    """The longest answer that `limit` pays for; `None` if that is too short to be useful, or nobody can tell.

    An answer is useful from 256 tokens on, or from the requested cap on if that is less.

    Args:
        quote: quote for the call as it is.
        cap: cap on the answer, in tokens; `None` takes the quote's.
        candidates: number of answers wanted.
        limit: US dollars.

    Returns:
        Tokens, no more than the cap.
    """
    cap = cap or quote.max_tokens
    if quote.price is None or quote.input_tokens is None or not cap:
        return None
    each = quote.price.cost(0, 1) * candidates
    tokens = int((limit - quote.price.cost(quote.input_tokens, 0)) / each) if each else 0
    return min(tokens, cap) if tokens >= min(cap, USEFUL) else None


def cost(quote: Quote | None, zone: Zone, usage: Usage, error: RungError | None) -> Decimal | None:
    """US dollars that an attempt cost: 0 if nothing can have been billed, `None` if nobody knows.

    Args:
        quote: what the call was expected to take.
        zone: the tier's zone.
        usage: tokens that the endpoint reported.
        error: what ended the attempt early; `None` for an answer.
    """
    if quote is None or quote.max_cost is None:
        return Decimal(0) if zone == Zone.HOST else None
    if quote.max_cost == 0:
        return Decimal(0)
    if isinstance(error, Cancelled):
        return None
    if error is not None and getattr(error, "billed", "no") == "no":
        return Decimal(0)
    if error is not None or quote.price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    return quote.price.cost(usage.input_tokens, usage.output_tokens)


def settle(reservation: Reservation | None, paid: Decimal | None, *, failed: bool) -> None:
    """Close the reservation of an attempt that is over.

    Args:
        reservation: the reservation; `None` if nothing was reserved.
        paid: cost of the attempt, as `cost` returns it.
        failed: whether it ended without an answer.
    """
    if reservation is None:
        return
    if failed and paid == 0:
        reservation.release()
    else:
        reservation.settle(paid)


def doubt(quote: Quote | None, paid: Decimal | None) -> tuple[str, ...]:
    """A sentence about an attempt that may have been billed, if nobody knows how much."""
    if paid is not None or quote is None or not quote.max_cost:
        return ()
    return (f"it may have been billed; what it cost is unknown, so its bound of ${quote.max_cost:f} is counted",)
