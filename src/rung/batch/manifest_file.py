"""The file of a job's manifest, and the translation of SQLite's errors.

A killed process loses nothing that was committed. If the machine itself goes down, the last instants may be lost, since
SQLite syncs at checkpoints only.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from rung.batch.schema import APPLICATION, TABLES, VERSION
from rung.errors import ConfigError, LedgerError
from rung.writing import private_folder

WAIT = 30.0
"""Seconds to wait for another process that writes. That is ample: the intake's transactions take a second at most."""
_RESUME = "then run the same command again: it goes on from here"
_REFUSALS = {
    sqlite3.SQLITE_BUSY: ("is held by another process", "try again"),
    sqlite3.SQLITE_LOCKED: ("is held by another process", "try again"),
    sqlite3.SQLITE_FULL: ("can't be written: no space left", f"make room, {_RESUME}"),
    sqlite3.SQLITE_READONLY: ("can't be written", "see to its permissions"),
    sqlite3.SQLITE_CANTOPEN: ("can't be opened", "see to the folder's permissions, or name another --out"),
    sqlite3.SQLITE_PERM: ("can't be opened", "see to its permissions"),
    sqlite3.SQLITE_IOERR: ("can't be written: the disk refuses, or is full", f"make room, {_RESUME}"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "move it away: the job begins anew"),
    sqlite3.SQLITE_NOTADB: ("is not the manifest of a job", "name another --out"),
}


class ManifestFile:
    """The file. The threads of a process take turns with one connection.

    Args:
        path: of the file. It is created if it doesn't exist.
        makes: whether it may be created.

    Raises:
        ConfigError: the file doesn't exist and may not be created, or it isn't a manifest.
        LedgerError: it can't be read or written.
    """

    def __init__(self, path: Path, *, makes: bool = True) -> None:
        self.path = path
        self._turn = threading.RLock()
        try:
            if not makes and not path.exists():
                raise ConfigError(f"there is no job at {path}", hint="see the path")
            private_folder(path.parent)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ConfigError(f"the folder {path.parent} can't be made: {why}", hint="name another --out") from None
        with self._refusals():
            self._connection = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction. It excludes all other threads and processes.

        Raises:
            LedgerError: the file can't be written.
        """
        with self._turn, self._refusals():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def attached(self, path: Path) -> Iterator[sqlite3.Connection]:
        """A write transaction in which another manifest is attached, under the name `part`.

        Args:
            path: of the other manifest.

        Raises:
            LedgerError: one of the two can't be used.
        """
        with self._turn:
            with self._refusals():
                self._connection.execute("ATTACH ? AS part", (str(path),))
            try:
                with self.transaction() as connection:
                    yield connection
            finally:
                with self._refusals():
                    self._connection.execute("DETACH part")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """The rows that a query returns.

        Raises:
            LedgerError: the file can't be read.
        """
        with self._turn, self._refusals():
            return self._connection.execute(sql, values).fetchall()

    def _connect(self) -> sqlite3.Connection:
        # only its owner may read it, because it holds answers
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"the folder {self.path.parent} can't be written: {why}",
                hint="see to its permissions, or name another --out",
            ) from None
        connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                for statement in TABLES:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.execute("COMMIT")
            if application != APPLICATION:
                raise ConfigError(f"{self.path} is not the manifest of a job", hint="name another --out")
            if version != VERSION:
                raise ConfigError(
                    f"the job at {self.path} was begun by another version of rung", hint="finish it with that version"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            said, hint = _REFUSALS.get(code, (f"can't be used: {getattr(error, 'sqlite_errorname', 'misused')}", ""))
            raise LedgerError(f"the job's manifest {self.path} {said}", hint=hint) from error
