"""Budgets per day and month across processes.

A day and a month begin at midnight UTC, so that all processes agree and no change of clocks repeats an hour. A
reservation counts from the moment it is made, on the day that it is made, until it is settled or released. If a process
dies in between, its reservation stays counted.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from rung.errors import BudgetExceeded, LedgerError, QuotaExceeded
from rung.ledger.file import LedgerFile
from rung.ledger.recorder import Recorder
from rung.ledger.schema import MOST, new_id, pico, sums, whole


@dataclass(frozen=True, slots=True)
class Budgets:
    """The most that all processes together may spend, in US dollars. `None` sets no limit.

    Args:
        per_day: from midnight to midnight, UTC.
        per_month: of the calendar, UTC.
    """

    per_day: Decimal | None = None
    per_month: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """What went through reservations in a day or month, in US dollars.

    Args:
        span: `day` or `month`.
        spent: cost of calls that have ended, or their bound if the endpoint didn't say.
        reserved: bounds of calls that have not ended, or never will because their process died.
        open: number of those calls.
        limit: the budget; `None` if there is none.
        holder: whose money it is; `None` for what everybody spends together.
    """

    span: str
    spent: Decimal
    reserved: Decimal
    open: int
    limit: Decimal | None
    holder: str | None = None

    @property
    def left(self) -> Decimal | None:
        """What can still be reserved; `None` without a limit."""
        return None if self.limit is None else max(Decimal(0), self.limit - self.spent - self.reserved)


def spending(connection: sqlite3.Connection, budgets: Budgets, now: float) -> tuple[Spending, Spending]:
    """What the running day and the running month have seen.

        with file.snapshot() as connection:
            day, month = spending(connection, Budgets(per_day=Decimal("1.00")), time.time())

        day.left  # 1.00

    Args:
        connection: within a transaction.
        budgets: budgets in force.
        now: seconds since 1970.
    """
    day, month = _begins(now)
    return _since(connection, "day", day, budgets.per_day), _since(connection, "month", month, budgets.per_month)


def spending_of(connection: sqlite3.Connection, holder: str, per_day: Decimal | None, now: float) -> Spending:
    """What one holder's reservations of the running day come to.

        with file.snapshot() as connection:
            today = spending_of(connection, "ada", Decimal("1.50"), time.time())

        today.left  # 1.50

    Args:
        connection: within a transaction.
        holder: whose reservations count.
        per_day: US dollars that the holder may spend per day; `None` sets no limit.
        now: seconds since 1970.
    """
    return _since(connection, "day", day_begins(now), per_day, holder)


class Reservations:
    """The purse that is kept in the ledger.

    Args:
        file: the ledger's file.
        recorder: writes a settlement later if it can't be written at once.
        budgets: budgets in force.
        clock: returns seconds since 1970.
    """

    def __init__(self, file: LedgerFile, recorder: Recorder, budgets: Budgets, clock: Callable[[], float]) -> None:
        self._file = file
        self._recorder = recorder
        self._budgets = budgets
        self._clock = clock

    def reserve(self, bound: Decimal, holder: str | None = None, per_day: Decimal | None = None) -> LedgerReservation:
        """Reserve `bound` US dollars, atomically among all processes. Waits for others at most 5 s.

        Args:
            bound: US dollars.
            holder: who spends them; `None` if that is not kept.
            per_day: US dollars that the holder may spend per day, beside the budgets of all.

        Raises:
            QuotaExceeded: the holder has not enough left.
            BudgetExceeded: there is not enough left for anybody, or the ledger can't be written.
        """
        if not bound.is_finite() or bound > MOST:
            raise BudgetExceeded(f"${bound:f} is more than the ledger can hold", hint="lower max_tokens or the price")
        try:
            with self._file.transaction() as connection:
                now = self._clock()
                spans: tuple[Spending, ...] = spending(connection, self._budgets, now)
                if holder is not None and per_day is not None:
                    spans = (*spans, spending_of(connection, holder, per_day, now))
                _demand(spans, bound)
                name = new_id(int(now * 1000))
                connection.execute(
                    "INSERT INTO reservations (id, at, pid, state, bound, counted, holder) "
                    "VALUES (?, ?, ?, 'open', ?, ?, ?)",
                    (name, int(now * 1000), os.getpid(), pico(bound), pico(bound), holder),
                )
        except LedgerError as error:
            raise BudgetExceeded(f"the budget can't be kept: {error.message}", hint=error.hint) from error
        return LedgerReservation(self, name)

    def close(self, settlement: Settlement) -> None:
        """End a reservation, now or with the next entry. Until then its bound counts."""
        try:
            with self._file.transaction() as connection:
                settlement(connection)
        except LedgerError:
            # the money is spent, and the answer must not be lost because of it
            with suppress(LedgerError):
                self._recorder.put(settlement)


@dataclass(frozen=True, slots=True)
class HolderPurse:
    """The purse of one holder. What it spends counts in the budgets of all, too.

    Args:
        reservations: the purse of all.
        holder: whose purse this is.
        per_day: US dollars that the holder may spend per day; `None` sets no limit of their own.
    """

    reservations: Reservations
    holder: str
    per_day: Decimal | None

    def reserve(self, bound: Decimal) -> LedgerReservation:
        """Reserve `bound` US dollars, as the purse of all does."""
        return self.reservations.reserve(bound, self.holder, self.per_day)


@dataclass(frozen=True, slots=True)
class LedgerReservation:
    """A reservation in the ledger.

    Args:
        purse: the purse that made it.
        name: name of the reservation.
    """

    purse: Reservations
    name: str

    def settle(self, cost: Decimal | None) -> None:
        """Replace the reserved bound by the cost. If that is unknown (`None`), the bound stays counted."""
        settled = Settlement(self.name, "unknown") if cost is None else Settlement(self.name, "settled", pico(cost))
        self.purse.close(settled)

    def release(self) -> None:
        """Give the whole reservation back, because certainly nothing was billed."""
        self.purse.close(Settlement(self.name, "released", 0))


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a reservation.

    Args:
        name: name of the reservation.
        state: what happened to it.
        counted: pico-dollars that count from now on; `None` keeps the bound.
    """

    name: str
    state: str
    counted: int | None = None

    def __call__(self, connection: sqlite3.Connection) -> None:
        """Write it. A second end of the same reservation changes nothing."""
        connection.execute(
            "UPDATE reservations SET state = ?, counted = coalesce(?, counted) WHERE id = ? AND state = 'open'",
            (self.state, self.counted, self.name),
        )


def day_begins(now: float) -> int:
    """When the running day began, in milliseconds since 1970.

    Args:
        now: seconds since 1970.
    """
    return _begins(now)[0]


def month_begins(now: float) -> int:
    """When the running month began, in milliseconds since 1970.

    Args:
        now: seconds since 1970.
    """
    return _begins(now)[1]


def _begins(now: float) -> tuple[int, int]:
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return int(day.timestamp() * 1000), int(day.replace(day=1).timestamp() * 1000)


def _since(
    connection: sqlite3.Connection, span: str, begin: int, limit: Decimal | None, holder: str | None = None
) -> Spending:
    mine, values = ("", (begin,)) if holder is None else (" AND holder = ?", (begin, holder))
    rows = connection.execute(
        f"SELECT state = 'open', {sums('counted')}, count(*) FROM reservations WHERE at >= ?{mine} GROUP BY 1",
        values,
    )
    found = {bool(is_open): (whole(high, low), number) for is_open, high, low, number in rows}
    nothing = (Decimal(0), 0)
    reserved, number = found.get(True, nothing)
    return Spending(span, found.get(False, nothing)[0], reserved, number, limit, holder)


def _demand(spans: tuple[Spending, ...], bound: Decimal) -> None:
    limited = [(s.left, s) for s in spans if s.left is not None]
    if not limited:
        return
    # where a holder's own limit and everybody's are equally tight, everybody's is told: more for the holder is no help
    left, tightest = min(limited, key=lambda pair: pair[0])
    if bound > left and tightest.holder is not None:
        raise QuotaExceeded(
            f"${bound:f} is more than the ${left:f} left of {tightest.holder}'s ${tightest.limit:f} for this day",
            left=left,
            hint="wait for the next day (UTC)",
        )
    if bound > left:
        raise BudgetExceeded(
            f"${bound:f} is more than the ${left:f} left of this {tightest.span}'s ${tightest.limit:f}",
            left=left,
            hint=f"wait for the next {tightest.span} (UTC), or raise budget.money_per_{tightest.span}",
        )
