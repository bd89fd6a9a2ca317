"""The budget of a job, kept in its manifest. All processes that work on the job share it, and so do later runs.

If a process dies, its reservations stay counted, because their calls may have been billed.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from decimal import Decimal

from rung.batch.manifest import JobManifest
from rung.errors import BudgetExceeded, LedgerError
from rung.ledger.schema import MOST, dollars, pico


@dataclass(frozen=True, slots=True)
class JobPurse:
    """The purse of a job.

    Args:
        manifest: of the job.
        limit: US dollars for the whole job; `None` counts, and sets no limit.
    """

    manifest: JobManifest
    limit: Decimal | None

    def reserve(self, bound: Decimal) -> JobReservation:
        """Reserve `bound` US dollars, atomically among all processes.

        Raises:
            BudgetExceeded: there is not enough left, or the manifest can't be written.
        """
        if not bound.is_finite() or bound > MOST:
            raise BudgetExceeded(f"${bound:f} is more than a job can hold", hint="lower max_tokens or the price")
        amount = pico(bound)
        try:
            with self.manifest.transaction() as connection:
                counted = connection.execute("SELECT counted FROM money").fetchone()["counted"]
                if self.limit is not None and counted + amount > pico(self.limit):
                    left = max(Decimal(0), self.limit - dollars(counted))
                    raise BudgetExceeded(
                        f"${bound:f} is more than the ${left:f} left of the job's ${self.limit:f}",
                        left=left,
                        hint="raise --max-cost, and run the same command again",
                    )
                connection.execute("UPDATE money SET counted = counted + ?", (amount,))
                made = connection.execute(
                    "INSERT INTO reservations (owner, bound) VALUES (?, ?)", (self.manifest.owner, amount)
                )
                number = made.lastrowid or 0
        except LedgerError as error:
            raise BudgetExceeded(f"the job's budget can't be kept: {error.message}", hint=error.hint) from error
        return JobReservation(self, number)


@dataclass(frozen=True, slots=True)
class JobReservation:
    """A reservation in a job's manifest.

    Args:
        purse: the purse that made it.
        number: of the reservation.
    """

    purse: JobPurse
    number: int

    def settle(self, cost: Decimal | None) -> None:
        """Replace the reserved bound by the cost. If the cost is unknown (`None`), the bound stays counted."""
        self._close(None if cost is None else pico(cost))

    def release(self) -> None:
        """Return the whole reservation, because certainly nothing was billed."""
        self._close(0)

    def _close(self, cost: int | None) -> None:
        with self.purse.manifest.transaction() as connection:
            _close(connection, self.number, cost)


@dataclass(frozen=True, slots=True)
class PaidBefore:
    """A reservation for a call that was made in an earlier run. It reserves nothing.

    Args:
        purse: of the job; `None` if another purse held the money.
        question: number of the question.
        call: number of its call.
    """

    purse: JobPurse | None
    question: int
    call: int

    def settle(self, cost: Decimal | None) -> None:
        """Settle the call if a kill came between its end and its settlement. Otherwise nothing changes."""
        if self.purse is None:
            return
        with self.purse.manifest.transaction() as connection:
            found = connection.execute(
                "SELECT id FROM reservations WHERE question = ? AND call = ?", (self.question, self.call)
            ).fetchone()
            if found is not None:
                _close(connection, found["id"], None if cost is None else pico(cost))

    def release(self) -> None:
        """Nothing was billed."""
        self.settle(Decimal(0))


def _close(connection: sqlite3.Connection, number: int, cost: int | None) -> None:
    """End a reservation. Ending it again changes nothing."""
    found = connection.execute("DELETE FROM reservations WHERE id = ? RETURNING bound", (number,)).fetchone()
    if found is not None:
        paid = found["bound"] if cost is None else cost
        connection.execute("UPDATE money SET counted = counted + ?, spent = spent + ?", (paid - found["bound"], paid))
