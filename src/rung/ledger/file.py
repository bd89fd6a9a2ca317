"""The ledger's file, and how SQLite's refusals become errors."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from rung.errors import LedgerError
from rung.files import full
from rung.ledger.schema import prepare
from rung.paths import named, user_data
from rung.writing import private_folder

VARIABLE = "RUNG_LEDGER"
OFF = "off"
"""Value of `VARIABLE` if nothing is to be recorded."""
WAIT = 5.0
"""Seconds to wait for another process that writes."""

_ELSEWHERE = "set RUNG_LEDGER to a file that can be written, or to off"
_REFUSALS = {
    sqlite3.SQLITE_BUSY: ("is held by another process", "try again"),
    sqlite3.SQLITE_LOCKED: ("is held by another process", "try again"),
    sqlite3.SQLITE_FULL: ("can't be written: no space left", "free some space"),
    sqlite3.SQLITE_READONLY: ("can't be written", _ELSEWHERE),
    sqlite3.SQLITE_CANTOPEN: ("can't be opened", _ELSEWHERE),
    sqlite3.SQLITE_PERM: ("can't be opened", _ELSEWHERE),
    sqlite3.SQLITE_IOERR: ("can't be written: the disk is full or broken", "free some space, or check the disk"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "move it away: a new one starts with nothing spent"),
    sqlite3.SQLITE_NOTADB: ("is not a ledger", "move it away: a new one starts with nothing spent"),
}


def user_ledger() -> Path:
    """The file that `RUNG_LEDGER` names, or else one among the user's data.

        file = LedgerFile(user_ledger())
        [it.task for it in requests(file)]  # ['weather']

    Raises:
        ConfigError: the variable's value can't be a file.
    """
    chosen = named(VARIABLE)
    if chosen and chosen != OFF:
        return full(chosen, VARIABLE).absolute()
    return user_data() / "ledger.sqlite3"


class LedgerFile:
    """A ledger's file. It is opened on first use, and made if it doesn't exist.

        with closing(LedgerFile(user_ledger())) as file:
            found = requests(file, limit=10)

        found[0].task  # weather

    The threads of a process take turns with one connection. It is closed around a fork, because a SQLite connection
    must not be carried over. Close the ledger when you are done: SQLite cleans up its log with the last connection.

    If a file that was used has gone, or another file has taken its place, it is not made again, because a new one would
    forget what was spent. Every use raises until the file is back or the process starts again.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def see(self) -> None:
        """Check that a file that was used is still there.

        Raises:
            LedgerError: it is gone, or another one is in its place.
        """
        if self._identity is not None and self._identity != _identity(self.path):
            raise _vanished(self.path)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction, all or nothing. It locks out all other processes from its first read on.

        Raises:
            LedgerError: the file can't be read or written.
        """
        with self._held("BEGIN IMMEDIATE") as connection:
            yield connection
        # a write to a file that nobody can open any more would be lost
        self.see()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A read of the state at one instant.

        Raises:
            LedgerError: the file can't be read.
        """
        with self._held("BEGIN") as connection:
            yield connection

    def close(self) -> None:
        """Close the connection. A later use opens another."""
        with self._turn:
            self._close()

    def compact(self) -> None:
        """Give back the space of deleted data, in the file and in its log.

        Raises:
            LedgerError: another process is using the file, or it can't be written.
        """
        with self._turn, refusals(self.path):
            connection = self._open()
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def before_fork(self) -> None:
        """Finish the write in progress and close the connection, until `after_fork`."""
        self._turn.acquire()
        self._close()

    def after_fork(self) -> None:
        """Allow use again, in the parent or in the child."""
        self._turn.release()

    @contextmanager
    def _held(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._turn, refusals(self.path):
            connection = self._open()
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection:
        try:
            self.see()
        except LedgerError:
            self._close()
            raise
        if self._connection is None:
            self._connection = _connect(self.path)
            self._identity = _identity(self.path)
            if self._identity is None:
                self._close()
                raise _vanished(self.path)
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the file system into a `LedgerError` that says what to do.

    Args:
        path: of the ledger.

    Raises:
        LedgerError: instead of `sqlite3.Error` and `OSError`.
    """
    try:
        yield
    except LedgerError as error:
        if str(path) in error.message:
            raise
        raise LedgerError(f"the ledger {path} can't be used: {error.message}", hint=error.hint) from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise LedgerError(f"the ledger {path} can't be opened: {reason}", hint=_ELSEWHERE) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        said, hint = _REFUSALS.get(code, (f"can't be used: {getattr(error, 'sqlite_errorname', 'misused')}", ""))
        raise LedgerError(f"the ledger {path} {said}", hint=hint) from error


def _vanished(path: Path) -> LedgerError:
    return LedgerError(
        f"the ledger {path} vanished while it was in use, or another file took its place",
        hint="put it back; a program that starts again makes a new one, whose budgets start with nothing spent",
    )


def _connect(path: Path) -> sqlite3.Connection:
    private_folder(path.parent)
    _make(path)
    connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        prepare(connection, WAIT)
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Make a new ledger that only this user can read. SQLite gives its log the same mode."""
    # Only if there is none: closing a file drops every lock that this process has on it, including SQLite's.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        pass


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
