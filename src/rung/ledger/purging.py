"""Deleting from the ledger. What is deleted is overwritten, in the file and in its log."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass

from rung.errors import LedgerError
from rung.ledger.budgets import month_begins
from rung.ledger.file import LedgerFile

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Purged:
    """What was deleted.

    Args:
        requests: number of requests, which are deleted with their attempts; 0 if only content was purged.
        contents: number of requests whose prompt and answers were deleted.
    """

    requests: int
    contents: int


def expire(connection: sqlite3.Connection, now: float) -> int:
    """Delete the prompts and answers that have expired. Returns the number of their requests.

    Args:
        connection: within a transaction.
        now: seconds since 1970.
    """
    return connection.execute("DELETE FROM prompts WHERE expires <= ?", (int(now * 1000),)).rowcount


def purge(file: LedgerFile, now: float, *, older_than_days: float = 0, content_only: bool = False) -> Purged:
    """Delete requests. Reservations of the running month stay, because budgets count them. They name no request.

        purge(file, time.time(), older_than_days=90).requests  # 0

    Args:
        file: the ledger's.
        now: seconds since 1970.
        older_than_days: age in days from which a request is deleted; 0 deletes all.
        content_only: whether to delete only prompts and answers.

    Raises:
        LedgerError: the file can't be written.
    """
    before = int((now - older_than_days * _DAY) * 1000) if older_than_days else 2**62
    with file.transaction() as connection:
        contents = connection.execute(
            "DELETE FROM prompts WHERE request IN (SELECT id FROM requests WHERE at < ?)", (before,)
        ).rowcount
        requests = 0
        if not content_only:
            requests = connection.execute("DELETE FROM requests WHERE at < ?", (before,)).rowcount
            spent = min(before, month_begins(now))
            connection.execute("DELETE FROM reservations WHERE at < ?", (spent,))
    # another process may be doing the same; what was deleted is overwritten in any case
    with suppress(LedgerError):
        file.compact()
    return Purged(requests, contents)


def content_held(file: LedgerFile) -> int:
    """The number of requests whose prompt and answers are kept.

        content_held(file)  # 1

    Raises:
        LedgerError: the file can't be read.
    """
    with file.snapshot() as connection:
        return int(connection.execute("SELECT count(*) FROM prompts").fetchone()[0])
