"""The tables, version by version, and the form of names and money in them.

A released version is never changed. A change is one more step.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal

from rung.errors import LedgerError

APPLICATION = 0x72756E67
"""`rung` in ASCII, so that another program's database is not taken for a ledger."""

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME, _CHANCE = 10, 8
_PICO = Decimal(10) ** 12
"""Pico-dollars in a dollar. Money is kept in whole pico-dollars: 63 bits of them hold nine million dollars."""
_PART = 10**9
MOST = Decimal(4_000_000)
"""Most US dollars in one entry: what fits into a SQLite integer, and more than any call costs."""

Step = tuple[str, ...]
STEPS: tuple[Step, ...] = (
    (
        """CREATE TABLE requests (
            id TEXT NOT NULL PRIMARY KEY,
            at INTEGER NOT NULL,
            task TEXT,
            accepted INTEGER NOT NULL,
            tier TEXT,
            reason TEXT NOT NULL,
            checked_by TEXT NOT NULL,
            input_tokens INTEGER,
            output_tokens INTEGER,
            cost INTEGER CHECK (typeof(cost) IN ('integer', 'null')),
            seconds REAL NOT NULL,
            left_machine INTEGER
        ) WITHOUT ROWID""",
        "CREATE INDEX requests_at ON requests (at)",
        """CREATE TABLE attempts (
            request TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            tier TEXT NOT NULL,
            zone TEXT NOT NULL,
            model TEXT,
            weights TEXT,
            verdict TEXT,
            reason TEXT NOT NULL,
            issues TEXT NOT NULL,
            finish TEXT,
            "constraint" TEXT,
            sent INTEGER NOT NULL,
            stays_here INTEGER,
            destination TEXT,
            consent TEXT,
            prompt_bytes INTEGER,
            input_tokens INTEGER,
            output_tokens INTEGER,
            ttft REAL,
            seconds REAL NOT NULL,
            load_seconds REAL NOT NULL,
            confidence REAL,
            bound INTEGER CHECK (typeof(bound) IN ('integer', 'null')),
            cost INTEGER CHECK (typeof(cost) IN ('integer', 'null')),
            PRIMARY KEY (request, number)
        ) WITHOUT ROWID""",
        # content has its own tables, so that it can be purged alone
        """CREATE TABLE prompts (
            request TEXT NOT NULL PRIMARY KEY REFERENCES requests (id) ON DELETE CASCADE,
            expires INTEGER NOT NULL,
            messages TEXT NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX prompts_expires ON prompts (expires)",
        """CREATE TABLE answers (
            request TEXT NOT NULL REFERENCES prompts (request) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            text TEXT NOT NULL,
            PRIMARY KEY (request, number)
        ) WITHOUT ROWID""",
        """CREATE TABLE reservations (
            id TEXT NOT NULL PRIMARY KEY,
            at INTEGER NOT NULL,
            pid INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'unknown', 'released')),
            bound INTEGER NOT NULL CHECK (typeof(bound) = 'integer'),
            counted INTEGER NOT NULL CHECK (typeof(counted) = 'integer')
        ) WITHOUT ROWID""",
        "CREATE INDEX reservations_counted ON reservations (at, state, counted)",
    ),
    (
        "ALTER TABLE attempts ADD COLUMN score REAL",
        "ALTER TABLE attempts ADD COLUMN probability REAL",
        "ALTER TABLE attempts ADD COLUMN threshold REAL",
        "ALTER TABLE attempts ADD COLUMN threshold_origin TEXT",
    ),
    ("ALTER TABLE requests ADD COLUMN continues TEXT",),
    (
        "ALTER TABLE requests ADD COLUMN form TEXT",
        "ALTER TABLE requests ADD COLUMN toss TEXT",
        "ALTER TABLE requests ADD COLUMN chance REAL",
        "ALTER TABLE requests ADD COLUMN fell INTEGER",
        "CREATE UNIQUE INDEX requests_toss ON requests (toss) WHERE toss IS NOT NULL",
        "ALTER TABLE attempts ADD COLUMN features TEXT",
        "ALTER TABLE attempts ADD COLUMN weighing TEXT",
        "ALTER TABLE attempts ADD COLUMN conditions TEXT",
        # a shadow's attempts are in the same table, but are not part of the request's own
        "ALTER TABLE attempts ADD COLUMN shadow INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE shadows (
            request TEXT NOT NULL PRIMARY KEY REFERENCES requests (id) ON DELETE CASCADE,
            at INTEGER NOT NULL,
            against TEXT NOT NULL,
            agrees INTEGER,
            reason TEXT NOT NULL
        ) WITHOUT ROWID""",
    ),
    (
        "ALTER TABLE requests ADD COLUMN caller TEXT",
        "CREATE INDEX requests_caller ON requests (caller, at) WHERE caller IS NOT NULL",
    ),
    (
        "ALTER TABLE reservations ADD COLUMN holder TEXT",
        "CREATE INDEX reservations_holder ON reservations (holder, at, state, counted) WHERE holder IS NOT NULL",
        # that a person labelled a request is kept as long as the request; the label is content, and goes with it
        """CREATE TABLE labels (
            request TEXT NOT NULL PRIMARY KEY REFERENCES requests (id) ON DELETE CASCADE,
            at INTEGER NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE label_texts (
            request TEXT NOT NULL PRIMARY KEY REFERENCES prompts (request) ON DELETE CASCADE,
            expected TEXT NOT NULL
        ) WITHOUT ROWID""",
    ),
)

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


def prepare(connection: sqlite3.Connection, wait: float, steps: Sequence[Step] = STEPS) -> None:
    """Bring a ledger up to the newest version, or make a new one. Several processes may do so at once.

    Args:
        connection: in autocommit mode.
        wait: seconds to wait for other processes.
        steps: from an empty file to the newest version.

    Raises:
        LedgerError: the file belongs to a newer version, or is something else.
        sqlite3.Error: whatever SQLite refuses.
    """
    # in one transaction: otherwise a ledger that another process makes between two questions looks like a foreign file
    connection.execute("BEGIN")
    try:
        done = _version(connection, len(steps))
    finally:
        connection.execute("ROLLBACK")
    _write_ahead(connection, wait)
    connection.execute("PRAGMA synchronous = FULL")  # a reservation survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")
    # purged data is overwritten, and removed from the log when the log starts again
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA journal_size_limit = 0")
    if done == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[_version(connection, len(steps)) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, newest: int) -> int:
    """The file's version: the number of steps that it has had."""
    version = _pragma(connection, "user_version")
    ours = _pragma(connection, "application_id") == APPLICATION
    if not ours and (version or connection.execute("SELECT 1 FROM sqlite_schema").fetchone()):
        raise LedgerError("it is a database of another program", hint="name another file in RUNG_LEDGER")
    if version > newest:
        raise LedgerError(
            f"it was written by a newer rung (version {version}, and this one knows {newest})",
            hint="upgrade rung, or name another file in RUNG_LEDGER",
        )
    return version


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _write_ahead(connection: sqlite3.Connection, wait: float) -> None:
    # SQLite itself doesn't wait here if two processes do this to a new file
    give_up = time.monotonic() + wait
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def new_id(at: int) -> str:
    """A name for a request or a reservation: 18 letters and digits, easy to type. Time comes first, then 40 random
    bits.

    Names sort by time, and no two processes make the same one.

    Args:
        at: when, in milliseconds since 1970.
    """
    return _written(at, _TIME) + _written(int.from_bytes(os.urandom(5), "big"), _CHANCE)


def _written(number: int, width: int) -> str:
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(width)))


def pico(amount: Decimal) -> int:
    """US dollars as pico-dollars, from 0 to `MOST`. Rounds up, so that rounding never exceeds a budget."""
    return int((max(Decimal(0), min(amount, MOST)) * _PICO).to_integral_value(ROUND_CEILING))


def sums(column: str) -> str:
    """SQL for the sum of a column of pico-dollars, as two columns that `whole` combines.

    SQLite's own `sum` fails if the total exceeds 63 bits, and `total` rounds.

    Args:
        column: its name.
    """
    return f"coalesce(sum({column} / {_PART}), 0), coalesce(sum({column} % {_PART}), 0)"


def whole(high: int, low: int) -> Decimal:
    """The US dollars behind the two columns of `sums`."""
    return dollars(high * _PART + low)


def dollars(amount: int) -> Decimal:
    """Pico-dollars as US dollars."""
    return (Decimal(amount) / _PICO).normalize() + 0


def known(amount: int | None) -> Decimal | None:
    """Pico-dollars as US dollars; `None` if the amount is unknown."""
    return None if amount is None else dollars(amount)
