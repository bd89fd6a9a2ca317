"""What a job reads: JSON Lines, CSV, Parquet, or a folder of text files. Row by row, and again from any place.

Each source is a `RowSource`: its rows are `rung.learn.tables.InputRow`s, in an order that is always the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, Self

from rung.errors import ConfigError, RungError
from rung.files import full, read_bounded, unreadable
from rung.learn.tables import LONGEST_LINE, BadRow, InputRow, TableFile, nothing_in
from rung.parsing import decode

_WHAT = "the input"


class RowSource(Protocol):
    """The rows of an input.

    `columns` are their names, if all rows have the same ones. `cells` says whether every value is a text.
    """

    path: Path
    columns: tuple[str, ...]
    cells: bool

    def state(self) -> str:
        """A fingerprint that changes when the input may have changed."""

    def read(self, after: tuple[int, int] | None = None) -> Iterator[InputRow | BadRow]:
        """The rows in order, including bad ones.

        Args:
            after: place and number of the row after which to begin; `None` begins with the first.
        """

    def at(self, place: int, number: int) -> InputRow | BadRow | None:
        """Read one row again; `None` if it is gone.

        Args:
            place: of the row, from its record.
            number: of the row, from its record.
        """

    def close(self) -> None:
        """Close open files."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def source_of(path: str | os.PathLike[str], demand: Callable[[tuple[str, ...]], None]) -> RowSource:
    """The rows of a file or folder.

    Args:
        path: as the user wrote it.
        demand: called with the names of the columns if the input has a header, and raises if they don't fit.

    Raises:
        ConfigError: the input can't be read, or its kind is unknown.
    """
    whole = full(path, _WHAT)
    try:
        folder = whole.is_dir()
    except OSError as error:
        raise unreadable(whole, _WHAT, error) from None
    if folder:
        return TextFolder(whole)
    if whole.suffix.lower() == ".parquet":
        from rung.batch.parquet import ParquetSource

        return ParquetSource(whole, demand)
    return TableSource(whole, demand)


def state_of(path: Path) -> str:
    """A fingerprint that changes when the file may have changed."""
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable(path, _WHAT, error) from None
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


class ClosingSource:
    """A source as a context manager."""

    def close(self) -> None:
        """Close open files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TableSource(ClosingSource):
    """A file of JSON Lines or CSV.

    Args:
        path: of the file.
        demand: called with the names of the columns if the file has a header.

    Raises:
        ConfigError: the file can't be read, is of another kind, or its header is wrong.
    """

    def __init__(self, path: Path, demand: Callable[[tuple[str, ...]], None]) -> None:
        self.path = path
        self._table = TableFile(path, lambda names: demand(tuple(names)))
        self._state = state_of(path)
        self.columns, self.cells = self._table.columns, self._table.cells

    def state(self) -> str:
        """A fingerprint that changes when the file may have changed."""
        return self._state

    def read(self, after: tuple[int, int] | None = None) -> Iterator[InputRow | BadRow]:
        """The rows in order."""
        if after is None:
            self._table.rewind()
        else:
            self._table.at(*after)
        empty = after is None
        for row in self._table:
            empty = False
            yield row
        if empty:
            raise nothing_in(self.path)

    def at(self, place: int, number: int) -> InputRow | BadRow | None:
        """Read one row again."""
        return self._table.at(place, number)

    def close(self) -> None:
        """Close the file."""
        self._table.close()


class TextFolder(ClosingSource):
    """A folder of text files. Each is a row with `file`, its path in the folder, and `text`. Hidden files are skipped.

    Args:
        path: of the folder.

    Raises:
        ConfigError: the folder can't be read, or has no files.
    """

    columns: tuple[str, ...] = ("file", "text")
    cells = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names = sorted(self._found(path, ""))
        if not self._names:
            raise ConfigError(f"the folder {path} holds no file", hint="check that it is the right one")

    def state(self) -> str:
        """A fingerprint that changes when a file was added, removed or changed."""
        found = []
        for name in self._names:
            try:
                found.append([name, state_of(self.path / name)])
            except ConfigError:
                found.append([name, "gone"])
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()

    def read(self, after: tuple[int, int] | None = None) -> Iterator[InputRow | BadRow]:
        """The files, in the order of their names."""
        for place in range(0 if after is None else after[0] + 1, len(self._names)):
            yield self._row(place)

    def at(self, place: int, number: int) -> InputRow | BadRow | None:
        """Read one file again."""
        return self._row(place) if place < len(self._names) else None

    def _row(self, place: int) -> InputRow | BadRow:
        name = self._names[place]
        try:
            text = decode(read_bounded(self.path / name, LONGEST_LINE, "the file"), name)
            if "\0" in text:
                raise ConfigError(f"{name} holds a NUL, so it is not text")
        except RungError as error:
            return BadRow(place + 1, error.message, place)
        return InputRow(place + 1, place, {"file": name, "text": text})

    def _found(self, folder: Path, before: str) -> Iterator[str]:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        yield from self._found(Path(entry.path), f"{before}{entry.name}/")
                    elif entry.is_file():
                        yield f"{before}{entry.name}"
        except OSError as error:
            raise unreadable(folder, _WHAT, error) from None


def plain(value: Any) -> Any:
    """Convert a value of a Parquet file to a JSON value. Types that JSON lacks (a date, a decimal) become text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
