"""Writing on a separate thread, so that nobody waits for the disk."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice

from rung.errors import LedgerError
from rung.ledger.file import LedgerFile

Entry = Callable[[sqlite3.Connection], object]
"""Writes itself within a transaction."""

_BATCH = 256
_MOST = 1000
"""Entries that may wait. Whoever brings one more writes them first; if the file refuses them, it is dropped, so that
memory stays bounded."""
_PATIENCE = 1.0
"""Seconds that whoever brings one more waits for the thread that is writing. A transaction takes a few milliseconds; a
disk that stands still must not hold up answers."""
_IDLE = 5.0
"""Seconds without an entry after which the thread ends and the file is closed."""
_UNFIT = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, ValueError, ArithmeticError)
"""Errors that concern one entry and not the file."""


class Recorder:
    """Writes entries in order, several in one transaction. Entries that the file refuses wait and are tried again.

    Args:
        file: where to write them.
    """

    def __init__(self, file: LedgerFile) -> None:
        self._file = file
        self.forget()

    def forget(self) -> None:
        """Start again with nothing to write, in a forked child. Entries that wait are the parent's to write."""
        self._pending: deque[Entry] = deque()
        self._news = threading.Condition()
        self._writing = threading.Lock()
        self._fresh = False
        self._thread: threading.Thread | None = None
        self._failure: LedgerError | None = None
        self._unfit = 0

    def put(self, entry: Entry) -> None:
        """Have an entry written soon.

        Raises:
            LedgerError: the file refused earlier entries. This one waits with them, unless too many do.
        """
        if len(self._pending) >= _MOST and self._failure is None:
            self._drain(_PATIENCE)
        with self._news:
            if len(self._pending) >= _MOST:
                raise self._failure or LedgerError(f"the ledger {self._file.path} is not written fast enough")
            self._pending.append(entry)
            self._fresh = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="rung-ledger", daemon=True)
                self._thread.start()
            else:
                self._news.notify()
        self._complain()

    def flush(self) -> None:
        """Write the entries that wait.

        Raises:
            LedgerError: the file can't be written, or didn't accept an entry.
        """
        self._drain()
        self._complain()

    def _work(self) -> None:
        while True:
            with self._news:
                if not self._news.wait_for(lambda: self._fresh, _IDLE):
                    self._thread = None
                    break
                self._fresh = False
            self._drain()
        self._file.close()

    def _drain(self, patience: float = -1) -> None:
        """Write all that waits, or nothing if another thread writes for longer than `patience`; -1 waits for it."""
        if not self._writing.acquire(timeout=patience):
            return
        try:
            while batch := self._next():
                try:
                    with self._file.transaction() as connection:
                        unfit = sum(not _written(entry, connection) for entry in batch)
                except LedgerError as error:
                    self._failure = error
                    return
                self._unfit += unfit
                for _ in batch:
                    self._pending.popleft()
            self._failure = None
        finally:
            self._writing.release()

    def _complain(self) -> None:
        """Raise what is wrong with the file. If entries were lost, raise once what was wrong with them."""
        unfit, self._unfit = self._unfit, 0
        if self._failure is not None:
            raise self._failure
        if unfit:
            raise LedgerError(f"the ledger {self._file.path} can't store the content of {unfit} of its entries")

    def _next(self) -> list[Entry]:
        with self._news:
            return list(islice(self._pending, _BATCH))


def _written(entry: Entry, connection: sqlite3.Connection) -> bool:
    """Whether the tables accepted the entry. If not, no part of it stays."""
    fits = True
    connection.execute("SAVEPOINT entry")
    try:
        entry(connection)
    except _UNFIT:
        connection.execute("ROLLBACK TO entry")
        fits = False
    connection.execute("RELEASE entry")
    return fits
