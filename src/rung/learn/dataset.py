"""The rows of a data file that an evaluation asks: counted beforehand, chosen by hash, read again for each pass."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rung.errors import Cancelled, ConfigError
from rung.files import full, opened
from rung.learn.data import read
from rung.learn.duplicates import grouped
from rung.learn.rows import Row
from rung.learn.tables import BadRow
from rung.learn.templates import Template
from rung.limits import Cancel

_CHUNK = 1 << 20
_MOST_GROUPED = 20_000
"""Rows that are searched for near-duplicates. The comparison of this many takes some seconds."""
_MOST_HELD = 64 << 20
"""Bytes of their messages, all of which are in memory during the search."""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """The content of a file.

    Args:
        rows: number of rows that will be asked.
        labelled: number of them with a right answer.
        schemas: number of them with a schema of their own.
        left_out: number of usable rows that were not chosen.
        bad: line and reason of each unusable row.
        sha256: of the file.
    """

    rows: int
    labelled: int
    schemas: int
    left_out: int
    bad: tuple[tuple[int, str], ...]
    sha256: str


class Dataset:
    """A file's rows. A call reads them again, one at a time, so a file of any size is never held in memory.

    In a file of up to 20,000 rows and 64 MiB, rows that ask nearly the same form one group.

    Args:
        path: the file.
        template: makes a prompt from a row's fields.
        most: the most rows to ask. They are chosen by hash, so the sample is the same in every run, and its first
            hundred are among its first thousand.
        cancel: ends the reading.

    Raises:
        ConfigError: the file can't be read, is of another kind, or has no usable row.
        Cancelled: the flag was set.
    """

    def __init__(
        self, path: str | Path, template: Template | None = None, *, most: int | None = None, cancel: Cancel
    ) -> None:
        self._path, self._template, self._cancel = full(path, "the data"), template, cancel
        self._chosen: frozenset[int] | None = None
        self._groups: dict[int, str] = {}
        self.counts = self._count(most)

    def __call__(self) -> Iterator[Row]:
        """The rows to ask, in the order of the file, each with its final group."""
        for row in read(self._path, self._template):
            if isinstance(row, Row) and (self._chosen is None or row.number in self._chosen):
                yield replace(row, group=self._groups.get(row.number, row.group))

    def _count(self, most: int | None) -> RowCounts:
        bad: list[tuple[int, str]] = []
        # the rows with the smallest hashes; the heap's top must be the largest of them, so hashes are negated
        chosen: list[tuple[int, int, bool, bool]] = []
        rows = labelled = schemas = size = 0
        for row in read(self._path, self._template):
            self._go_on()
            if isinstance(row, BadRow):
                bad.append((row.number, row.reason))
                continue
            rows += 1
            size += sum(message.size for message in row.messages)
            labelled += row.labelled
            schemas += row.schema is not None
            if most is not None:
                place = int(hashlib.sha256(f"{row.key} {row.number}".encode()).hexdigest()[:16], 16)
                entry = (-place, row.number, row.labelled, row.schema is not None)
                if len(chosen) < most:
                    heapq.heappush(chosen, entry)
                else:
                    heapq.heappushpop(chosen, entry)
        if not rows:
            raise ConfigError(
                f"none of the {len(bad):,} rows of {self._path} can be used: line {bad[0][0]}: {bad[0][1]}",
                hint="see docs/eval.md for what a row has",
            )
        asked = rows
        if most is not None and most < rows:
            self._chosen = frozenset(number for _, number, _, _ in chosen)
            asked, labelled = len(chosen), sum(known for _, _, known, _ in chosen)
            schemas = sum(own for *_, own in chosen)
        if asked <= _MOST_GROUPED and size * asked // rows <= _MOST_HELD:
            # rows that ask nearly the same aren't independent evidence, so they form one group for every interval
            self._groups = {row.number: row.group for row in grouped(self())}
        return RowCounts(asked, labelled, schemas, rows - asked, tuple(bad), self._sha256())

    def _go_on(self) -> None:
        if self._cancel.is_set():
            raise Cancelled("interrupted")

    def _sha256(self) -> str:
        digest = hashlib.sha256()
        with opened(self._path, "the data") as file:
            while piece := file.read(_CHUNK):
                self._go_on()
                digest.update(piece)
        return digest.hexdigest()
