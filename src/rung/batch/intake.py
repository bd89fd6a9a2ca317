"""Reading the input into the manifest: what each row asks, and its position."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rung.batch.manifest import JobManifest
from rung.batch.questions import Questions, RowQuestion
from rung.batch.schema import FREE
from rung.batch.sources import RowSource
from rung.errors import Cancelled, ConfigError
from rung.learn.tables import BadRow, InputRow
from rung.limits import Cancel

_PIECE = 1.0
"""Seconds of reading per transaction. A killed intake loses that much work, and other writers wait that long."""
_SHARD = re.compile(r"([1-9][0-9]{0,4})/([1-9][0-9]{0,4})")


@dataclass(frozen=True, slots=True)
class Shard:
    """A share of the rows. A hash of its id assigns a row to a share.

    Args:
        number: of the share, counted from 1.
        of: how many shares there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse a share such as `3/8`.

        Raises:
            ConfigError: the text is not a share.
        """
        found = _SHARD.fullmatch(text.strip())
        if found is None or int(found[1]) > int(found[2]):
            raise ConfigError(f"--shard {text[:20]!r} is not a share", hint="write 3/8 for the third of eight")
        return cls(int(found[1]), int(found[2]))

    def takes(self, name: str) -> bool:
        """Whether a row belongs to the share.

        Args:
            name: id of the row.
        """
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(slots=True)
class _Taken:
    """How far the intake is: rows read, position of the last row, bad rows, and rows of other shards."""

    state: str
    rows: int = 0
    place: int = 0
    number: int = 0
    bad: int = 0
    elsewhere: int = 0
    done: bool = False

    def as_object(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class RowIntake:
    """One intake. It may be killed at any moment, and resumes after the last piece that was committed.

    Args:
        manifest: of the job.
        source: the input.
        questions: makes the question of a row.
        shard: the share that this job takes; `None` takes all.
        cancel: stops the intake after the current piece.
    """

    def __init__(
        self, manifest: JobManifest, source: RowSource, questions: Questions, shard: Shard | None, cancel: Cancel
    ) -> None:
        self._manifest, self._source, self._questions, self._shard = manifest, source, questions, shard
        self._cancel = cancel

    def run(self, tell: Callable[[int], None] = lambda rows: None) -> bool:
        """Read the input unless that is already done. Returns whether anything was read.

        Args:
            tell: called now and then with the number of rows read.

        Raises:
            ConfigError: the input can't be read, or has no rows.
            LedgerError: the manifest can't be written.
            Cancelled: the flag was set. The rows that were read are kept.
        """
        state = self._source.state()
        known = self._manifest.get("intake")
        taken = _Taken(state) if known is None or known["state"] != state else _Taken(**known)
        if taken.done:
            return False
        if not taken.rows:
            self._begin(taken)
        rows = self._source.read((taken.place, taken.number) if taken.rows else None)
        while self._piece(rows, taken):
            tell(taken.rows)
            if self._cancel.is_set():
                raise Cancelled("interrupted")
        return True

    def _begin(self, taken: _Taken) -> None:
        """Delete the rows. Answered questions stay, so that a row that asks the same finds its answer again."""
        with self._manifest.transaction() as connection:
            connection.execute("DELETE FROM rows")
            connection.execute("UPDATE questions SET position = NULL, rows = 0 WHERE position IS NOT NULL")
            self._manifest.put(connection, "intake", taken.as_object())
            self._manifest.put(connection, "bad", 0)
            self._manifest.put(connection, "shard", None if self._shard is None else str(self._shard))

    def _piece(self, rows: Iterator[InputRow | BadRow], taken: _Taken) -> bool:
        """Read one piece. Returns whether more may follow."""
        ends = time.monotonic() + _PIECE
        with self._manifest.transaction() as connection:
            while True:
                row = next(rows, None)
                if row is None:
                    taken.done = True
                    break
                self._take(connection, row, taken)
                taken.rows, taken.place, taken.number = taken.rows + 1, row.place, row.number
                if time.monotonic() >= ends:
                    break
            self._manifest.put(connection, "intake", taken.as_object())
            self._manifest.put(connection, "bad", taken.bad)
        return not taken.done

    def _take(self, connection: sqlite3.Connection, row: InputRow | BadRow, taken: _Taken) -> None:
        asked = row if isinstance(row, BadRow) else self._questions.of(row, cells=self._source.cells)
        if isinstance(asked, BadRow):
            # a row without an id is assigned by its place, so that exactly one shard has it
            if self._shard is None or taken.rows % self._shard.of == self._shard.number - 1:
                self._bad(connection, taken, asked, "" if isinstance(row, BadRow) else self._questions.known_id(row))
            else:
                taken.elsewhere += 1
            return
        key = asked.key
        base = key.hex()[:16] if asked.id is None else asked.id
        if self._shard is not None and not self._shard.takes(base):
            taken.elsewhere += 1
            return
        if asked.id is not None:
            before = connection.execute(
                "SELECT line FROM rows WHERE id = ? AND question IS NOT NULL", (asked.id,)
            ).fetchone()
            if before is not None:
                reason = f"its id stands already in line {before['line']:,}"
                self._bad(connection, taken, BadRow(row.number, reason), asked.id)
                return
        number, count = connection.execute(
            """INSERT INTO questions (key, position, line, place, rows, stage, owner, crashes)
            VALUES (?, ?, ?, ?, 1, 0, ?, 0)
            ON CONFLICT (key) DO UPDATE SET rows = rows + 1,
                line = CASE WHEN position IS NULL THEN excluded.line ELSE line END,
                place = CASE WHEN position IS NULL THEN excluded.place ELSE place END,
                position = coalesce(position, excluded.position)
            RETURNING number, rows""",
            (key, taken.rows, row.number, row.place, FREE),
        ).fetchone()
        name = base if asked.id is not None or count == 1 else f"{base}-{count}"
        try:
            connection.execute(
                "INSERT INTO rows (position, id, line, question) VALUES (?, ?, ?, ?)",
                (taken.rows, name, row.number, number),
            )
        except sqlite3.IntegrityError:  # an id of the input looks like one that is made from a hash
            connection.execute(
                "INSERT INTO rows (position, id, line, question) VALUES (?, ?, ?, ?)",
                (taken.rows, f"{name}-line-{row.number}", row.number, number),
            )

    @staticmethod
    def _bad(connection: sqlite3.Connection, taken: _Taken, row: BadRow, name: str = "") -> None:
        taken.bad += 1
        connection.execute(
            "INSERT INTO rows (position, id, line, bad) VALUES (?, ?, ?, ?)", (taken.rows, name, row.number, row.reason)
        )


def again(source: RowSource, questions: Questions, place: int, line: int) -> tuple[InputRow, RowQuestion] | None:
    """Read a row again, and make its question. `None` if it is gone or can't be used.

    Args:
        source: the input.
        questions: makes the question of a row.
        place: of the row.
        line: of the row.
    """
    row = source.at(place, line)
    if row is None or isinstance(row, BadRow):
        return None
    asked = questions.of(row, cells=source.cells)
    return None if isinstance(asked, BadRow) else (row, asked)
