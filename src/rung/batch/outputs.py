"""The output and the file of rejects. Both are written as a whole from the manifest, in the order of the input."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from rung.batch import openai_form
from rung.batch.manifest import JobManifest
from rung.batch.schema import ACCEPTED, REJECTED, UNUSABLE
from rung.errors import ConfigError
from rung.files import full
from rung.learn.tables import JSON_LINES, TABS
from rung.writing import rename, sync

_KINDS = (*JSON_LINES, ".csv", *TABS, ".parquet")
_ACCEPTED: Mapping[str, str] = {
    "id": "text",
    "line": "whole",
    "value": "text",
    "tier": "text",
    "verdict": "text",
    "confidence": "number",
    "cost_usd": "number",
    "seconds": "number",
}
_REJECTED: Mapping[str, str] = {
    "id": "text",
    "line": "whole",
    "status": "text",
    "reason": "text",
    "detail": "text",
    "issues": "text",
    "best": "text",
    "tier": "text",
    "cost_usd": "number",
}
_ATTEMPTS: Mapping[str, str] = {"attempts": "text"}
Row = Mapping[str, Any]


class Writer(Protocol):
    """Writes rows to a file."""

    def add(self, row: Row) -> None:
        """Write a row."""

    def close(self) -> None:
        """Write the buffered rows, and finish the file."""


def demand_place(path: Path, what: str) -> Path:
    """Check, before anything is asked, that a file can be written at a path.

    Args:
        path: as the user wrote it.
        what: the option that names it, for the error: `--out`.

    Raises:
        ConfigError: the file can't be written, or its suffix is unknown.
    """
    whole = full(path, what).absolute()
    if whole.suffix.lower() not in _KINDS:
        raise ConfigError(f"{what} {path} is not a kind of file that is written: {', '.join(_KINDS)}")
    if whole.suffix.lower() == ".parquet":
        from rung.batch.parquet import library

        library("pyarrow")
    try:
        if whole.is_dir():
            raise ConfigError(f"{what} {path} is a folder", hint=f"name a file in it: {path}/answers.jsonl")
        if whole.parent.is_dir() and not os.access(whole.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"the folder {whole.parent} can't be written: {why}", hint="see to its permissions, or name another"
        ) from None
    return whole


def write(manifest: JobManifest, out: Path, rejects: Path, *, attempts: bool = False) -> None:
    """Write both files. A reader sees either the old files or the new ones, never half a line.

    Args:
        manifest: of the job.
        out: for accepted rows.
        rejects: for rejected and bad rows. It isn't created if there are none.
        attempts: whether to include each row's attempts.

    Raises:
        ConfigError: a file can't be written.
        LedgerError: the manifest can't be read.
    """
    openai = bool(manifest.get("openai")) and _nested(out)
    good_columns = {**_ACCEPTED, **(_ATTEMPTS if attempts else {})}
    with ExitStack() as stack:
        good = stack.enter_context(_whole(out, good_columns))
        bad: Writer | None = None
        for found in manifest.results():
            if found["stage"] == ACCEPTED:
                row = accepted(dict(found), attempts=attempts)
                good.add(openai_form.answer(row) if openai else row if _nested(out) else _flat(row, good_columns))
            elif found["bad"] is not None or found["stage"] in (REJECTED, UNUSABLE):
                if bad is None:
                    bad = stack.enter_context(_whole(rejects, _REJECTED))
                row = rejected(dict(found), attempts=attempts)
                far = openai and _nested(rejects)
                bad.add(openai_form.refusal(row) if far else row if _nested(rejects) else _flat(row, _REJECTED))
    if bad is None:
        with _sentences(rejects):
            rejects.unlink(missing_ok=True)


def accepted(found: Row, *, attempts: bool) -> dict[str, Any]:
    """A row with an accepted answer.

    Args:
        found: a row of `JobManifest.results`.
        attempts: whether to include its attempts.
    """
    said = json.loads(found["answer"])
    first = found["position"] == found["first"]
    row = {
        "id": found["id"],
        "line": found["line"],
        "value": said["value"],
        "text": said.get("text", said["value"]),
        "tier": said["tier"],
        "verdict": "accept",
        "checked_by": said["checked_by"],
        "confidence": said["confidence"],
        # several rows may ask one question, which is paid for once
        "cost_usd": said["cost_usd"] if first else 0,
        "seconds": said["seconds"] if first else 0,
        "input_tokens": said["input_tokens"],
        "output_tokens": said["output_tokens"],
    }
    return {**row, "attempts": said["attempts"]} if attempts else row


def rejected(found: Row, *, attempts: bool) -> dict[str, Any]:
    """A row without an accepted answer.

    Args:
        found: a row of `JobManifest.results`.
        attempts: whether to include its attempts.
    """
    said = {} if found["answer"] is None or found["bad"] is not None else json.loads(found["answer"])
    bad = found["bad"] is not None or found["stage"] == UNUSABLE
    first = found["bad"] is not None or found["position"] == found["first"]
    row = {
        "id": found["id"],
        "line": found["line"],
        "status": "bad" if bad else "rejected",
        "reason": "bad_row" if bad else said["reason"],
        "detail": found["bad"] if found["bad"] is not None else said["detail"],
        "issues": said.get("issues", []),
        "best": said.get("best"),
        "tier": said.get("tier"),
        "cost_usd": said.get("cost_usd", 0) if first else 0,
    }
    return {**row, "attempts": said.get("attempts", [])} if attempts else row


def _nested(path: Path) -> bool:
    return path.suffix.lower() in JSON_LINES


def _flat(row: Row, columns: Mapping[str, str]) -> dict[str, Any]:
    """A row for a format without nesting: nested values of text columns become JSON."""
    flat = {}
    for name, kind in columns.items():
        value = row.get(name)
        if kind == "text" and value is not None and not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False)
        flat[name] = value
    return flat


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def add(self, row: Row) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")

    def close(self) -> None:
        self._file.flush()
        sync(self._file.fileno())
        self._file.close()


class _Cells:
    def __init__(self, path: Path, columns: Mapping[str, str], delimiter: str) -> None:
        self._file = path.open("w", encoding="utf-8", newline="", errors="backslashreplace")
        self._writer = csv.DictWriter(self._file, list(columns), delimiter=delimiter, lineterminator="\n")
        self._writer.writeheader()

    def add(self, row: Row) -> None:
        self._writer.writerow(row)

    def close(self) -> None:
        self._file.flush()
        sync(self._file.fileno())
        self._file.close()


def _writer(path: Path, suffix: str, columns: Mapping[str, str]) -> Writer:
    if suffix in JSON_LINES:
        return _JsonLines(path)
    if suffix == ".parquet":
        from rung.batch.parquet import ParquetWriter

        return ParquetWriter(path, columns)
    return _Cells(path, columns, "\t" if suffix in TABS else ",")


@contextmanager
def _whole(path: Path, columns: Mapping[str, str]) -> Iterator[Writer]:
    """A writer to a temporary file, which is renamed to its final name only when all is written."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    with _sentences(path):
        writer: Writer | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = _writer(fresh, path.suffix.lower(), columns)
            yield writer
            writer.close()
            rename(fresh, path)
        except BaseException:
            _quietly(writer.close if writer is not None else lambda: None)
            _quietly(lambda: fresh.unlink(missing_ok=True))
            raise


def _quietly(end: Callable[[], None]) -> None:
    try:
        end()
    except (OSError, ValueError):
        pass


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"{path} can't be written: {why}", hint="the job's manifest has every answer; run the same command again"
        ) from None
