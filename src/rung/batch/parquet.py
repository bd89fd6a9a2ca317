"""Reading and writing Parquet. It needs the extra `batch`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from rung.batch.sources import ClosingSource, plain, state_of
from rung.errors import ConfigError
from rung.files import opened
from rung.learn.tables import BadRow, InputRow, nothing_in

_TOGETHER = 256
"""Rows that are converted to Python objects at once: about a megabyte of typical texts."""
_GROUP = 10_000
"""Rows per row group of the output. So many are held in memory before they are written."""


def library(name: str) -> Any:
    """A module of pyarrow.

    Raises:
        ConfigError: the extra isn't installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError("Parquet needs pyarrow, which isn't installed", hint='pip install "rung[batch]"') from error


class ParquetSource(ClosingSource):
    """A Parquet file. A nested column becomes an object or a list, as in JSON.

    Args:
        path: of the file.
        demand: called with the names of the columns.

    Raises:
        ConfigError: the file can't be read, or is not Parquet.
    """

    cells = False

    def __init__(self, path: Path, demand: Callable[[tuple[str, ...]], None]) -> None:
        arrow = library("pyarrow")
        self.path = path
        self._file = opened(path, "the input")
        self._state = state_of(path)
        try:
            self._rows = library("pyarrow.parquet").ParquetFile(self._file)
            self.columns: tuple[str, ...] = tuple(self._rows.schema_arrow.names)
            demand(self.columns)
        except arrow.ArrowException as error:
            self._file.close()
            raise ConfigError(f"{path} is not a Parquet file that can be read: {_said(error)}") from None
        except BaseException:
            self._file.close()
            raise
        groups = self._rows.metadata
        self._ends: list[int] = []
        for group in range(groups.num_row_groups):
            self._ends.append((self._ends[-1] if self._ends else 0) + groups.row_group(group).num_rows)
        self._reading: Iterator[InputRow] | None = None
        self._next = 0

    def state(self) -> str:
        """A fingerprint that changes when the file may have changed."""
        return self._state

    def read(self, after: tuple[int, int] | None = None) -> Iterator[InputRow | BadRow]:
        """The rows in order."""
        if not self._ends or not self._ends[-1]:
            raise nothing_in(self.path)
        yield from self._from(0 if after is None else after[0] + 1)

    def at(self, place: int, number: int) -> InputRow | BadRow | None:
        """Read one row again. Consecutive rows are read together."""
        if not self._ends or place >= self._ends[-1]:
            return None
        # a row that is a little further on is reached by reading on, without starting its group again
        if self._reading is None or not self._next <= place < self._next + _GROUP:
            self._reading, self._next = self._from(place), place
        for record in self._reading:
            self._next = record.place + 1
            if record.place == place:
                return record
        return None

    def close(self) -> None:
        """Close the file."""
        self._reading = None
        self._rows.close()
        self._file.close()

    def _from(self, place: int) -> Iterator[InputRow]:
        begins = 0
        for group, end in enumerate(self._ends):
            if end > place:
                at = begins
                try:
                    for batch in self._rows.iter_batches(_TOGETHER, row_groups=[group]):
                        if at + batch.num_rows > place:
                            for values in batch.to_pylist():
                                if at >= place:
                                    yield InputRow(at + 1, at, plain(values))
                                at += 1
                        else:
                            at += batch.num_rows
                except library("pyarrow").ArrowException as error:
                    raise ConfigError(f"{self.path} can't be read from row {at + 1:,} on: {_said(error)}") from None
            begins = end


class ParquetWriter:
    """Writes rows to a Parquet file, one row group at a time.

    Args:
        path: of the file.
        columns: their names, and the kind of each: `text`, `number` or `whole`.
    """

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        arrow = library("pyarrow")
        kinds = {"text": arrow.string(), "number": arrow.float64(), "whole": arrow.int64()}
        self._schema = arrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
        self._arrow = arrow
        self._file = library("pyarrow.parquet").ParquetWriter(path, self._schema)
        self._held: list[Mapping[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        self._held.append(row)
        if len(self._held) >= _GROUP:
            self._write()

    def close(self) -> None:
        """Write the buffered rows, and finish the file."""
        if self._held:
            self._write()
        self._file.close()

    def _write(self) -> None:
        self._file.write_table(self._arrow.Table.from_pylist(self._held, self._schema))
        self._held = []


def _said(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
