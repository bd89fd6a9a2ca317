"""Files of rows: JSON Lines and CSV, row by row. A file of any size is read, and never held in memory.

This module doesn't know what a row means: a row is its keys or columns and their values. Each remembers the place where
it begins, so that it can be read again without those before it.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rung.errors import ConfigError, RungError
from rung.files import full, opened
from rung.parsing import decode, parse_json
from rung.spelling import shortened

LONGEST_LINE = 32 << 20
"""Bytes of one row: as many as one part of a prompt may have on the command line. A longer line is not data."""
JSON_LINES = (".jsonl", ".ndjson")
TABS = (".tsv", ".tab")
KNOWN = (*JSON_LINES, ".csv", *TABS)
"""Suffixes of the kinds of file that can be read."""
_CHUNK = 1 << 20
_WHAT = "the data"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be used.

    Args:
        number: number of the line at which it begins, from 1.
        reason: why, in a clause that repeats nothing of the row but its keys.
        place: offset in the file at which it begins, in bytes.
    """

    number: int
    reason: str
    place: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


@dataclass(frozen=True, slots=True)
class InputRow:
    """A row as it is in the file.

    Args:
        number: number of the line at which it begins, from 1.
        place: offset in the file at which it begins, in bytes.
        values: by key or column. In CSV each is a text.
        lines: number of lines that it takes.
    """

    number: int
    place: int
    values: dict[str, Any] = field(repr=False)
    lines: int = 1

    def bad(self, error: Exception) -> BadRow:
        """The row as one that can't be used.

        Args:
            error: why.
        """
        return BadRow(self.number, _with_lines(reason_of(error), self.lines), self.place)


class UnusableRow(Exception):
    """Why a row can't be used."""


class TableFile:
    """A file of rows, opened. Iterating it reads from the beginning; `at` reads one row again.

    Args:
        path: the file: `.jsonl` or `.ndjson`, `.csv`, `.tsv`. The delimiter of a CSV is the comma. If its head has no
            comma, it is the semicolon or the tab.
        demand: gets the names of the columns if the file has a head, and raises if they don't suit.

    Raises:
        ConfigError: it can't be read, is of another kind, is UTF-16, or its CSV head is wrong.
    """

    def __init__(self, path: str | os.PathLike[str], demand: Callable[[list[str]], None] = lambda names: None) -> None:
        self.path = full(path, _WHAT)
        suffix = self.path.suffix.lower()
        if suffix not in KNOWN:
            hint = "from a JSON array, `jq -c '.[]' DATA.json > DATA.jsonl` makes one" if suffix == ".json" else ""
            raise ConfigError(f"{self.path} is not a known kind of data file; known: {', '.join(KNOWN)}", hint=hint)
        self.cells = suffix not in JSON_LINES
        self._file = opened(self.path, _WHAT)
        self._number = 0  # lines read so far
        self._taken = 0  # bytes of the row that is being read
        self._head: list[str] = []
        self._delimiter = ","
        try:
            if self._file.peek(2)[:2] in _UTF16:
                raise ConfigError(f"{self.path} is not valid UTF-8: it is UTF-16", hint="save it as UTF-8")
            if self._file.peek(3)[:3] == _MARK:
                self._file.seek(len(_MARK))
            if self.cells:
                # the limit is the process's, so it is raised and never lowered; the size of a row is bounded here
                if csv.field_size_limit() < LONGEST_LINE:
                    csv.field_size_limit(LONGEST_LINE)
                self._read_head(suffix in TABS)
                if self._head:
                    demand(self._head)
            self._first = (self._file.tell(), self._number)
        except BaseException:
            self.close()
            raise

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns; empty for JSON Lines, and for an empty file."""
        return tuple(self._head)

    def __iter__(self) -> Iterator[InputRow | BadRow]:
        """The rows that follow, including bad ones. An empty line is not a row."""
        while (record := self._next()) is not None:
            yield record

    def at(self, place: int, number: int) -> InputRow | BadRow | None:
        """The row that begins at a place; `None` at the end of the file.

        Args:
            place: from `InputRow.place`.
            number: of its line.
        """
        if self._file.tell() != place:
            self._file.seek(place)
        self._number = number - 1
        return self._next()

    def rewind(self) -> None:
        """Go back to the first row."""
        self._file.seek(self._first[0])
        self._number = self._first[1]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> InputRow | BadRow | None:
        if self.cells and not self._head:
            return None
        while True:
            place, number = self._file.tell(), self._number + 1
            self._taken = 0
            try:
                values = self._cells() if self.cells else self._object()
            except StopIteration:
                return None
            except (UnusableRow, RungError, csv.Error) as error:
                return BadRow(number, _with_lines(reason_of(error), self._number - number + 1), place)
            if values is not None:
                return InputRow(number, place, values, self._number - number + 1)

    def _object(self) -> dict[str, Any] | None:
        line = self._line().strip()
        if not line:
            return None
        values = parse_json(line, "the line")
        if not isinstance(values, dict):
            raise UnusableRow(f"it holds {kind_of(values)} and not an object")
        return values

    def _cells(self) -> dict[str, Any] | None:
        # strict, because a quote that is never closed would silently swallow everything after it
        cells = next(csv.reader(self._texts(), delimiter=self._delimiter, strict=True))
        if not any(cell.strip() for cell in cells):
            return None
        if len(cells) != len(self._head):
            raise UnusableRow(f"it has {len(cells)} cells, but the head has {len(self._head)}")
        return dict(zip(self._head, cells, strict=True))

    def _texts(self) -> Iterator[str]:
        """The lines of one record. The end of the file ends it, because a generator must not raise `StopIteration`."""
        while True:
            try:
                yield self._text()
            except StopIteration:
                return

    def _text(self) -> str:
        line = self._line()
        self._taken += len(line)
        if self._taken > LONGEST_LINE:
            raise _too_long()
        text = decode(line, "the line")
        if "\0" in text:
            raise UnusableRow("it holds a NUL, so it is not text")
        return text

    def _line(self) -> bytes:
        line = self._file.readline(LONGEST_LINE + 1)
        if not line:
            raise StopIteration
        self._number += 1
        if len(line) <= LONGEST_LINE:
            return line
        while line and not line.endswith(b"\n"):
            line = self._file.readline(_CHUNK)
        raise _too_long()

    def _read_head(self, tabs: bool) -> None:
        """Read the names of the columns and find the delimiter. There are no names if the file is empty."""
        first = "\n"
        try:
            while not first.strip():
                first = self._text()
        except StopIteration:
            return
        except (UnusableRow, RungError) as error:
            raise ConfigError(f"{self.path}: the head can't be read: {reason_of(error)}") from None
        self._delimiter = "\t" if tabs else next((d for d in (",", ";", "\t") if d in first), ",")
        try:
            names = [name.strip() for name in next(csv.reader([first], delimiter=self._delimiter, strict=True))]
        except csv.Error as error:
            raise ConfigError(
                f"{self.path}: the head can't be read: {reason_of(error)}", hint="keep it on one line"
            ) from None
        for name in names:
            if not name or names.count(name) > 1:
                said = f"two columns are called {shortened(name)!r}" if name else "a column has no name"
                raise ConfigError(f"{self.path}: {said}", hint="give each column of the first line a name of its own")
        self._head = names


def nothing_in(path: Path) -> ConfigError:
    """The error for a file without a row."""
    return ConfigError(f"{path} holds no row", hint="check that it is the right file")


def kind_of(value: Any) -> str:
    """What a value is, in JSON's terms."""
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")


def reason_of(error: Exception) -> str:
    """Why a row can't be used, as a clause."""
    if isinstance(error, csv.Error):
        return f"it is not CSV: {error}"
    if isinstance(error, RungError):
        return error.message.replace(": line 1 column", ": column")  # position in the JSON of one line
    return str(error)


def _with_lines(reason: str, lines: int) -> str:
    return f"{reason} (the row takes {lines:,} lines)" if lines > 1 else reason


def _too_long() -> UnusableRow:
    return UnusableRow(f"it is longer than the {LONGEST_LINE:,} bytes that a row may have")
