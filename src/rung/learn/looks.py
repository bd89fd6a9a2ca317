"""Which rows were looked at, and for what question. The first look certifies; any later one is an estimate.

Whoever looks at the same rows again with another limit, feature or label chooses the answer that suits them, and then
no bound holds any more. So each look is recorded beside the task: hashes of the rows and of the question, and no text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from rung.errors import ConfigError
from rung.files import read_bounded
from rung.parsing import parse_json
from rung.settings import SettingsTable, read
from rung.writing import write_whole

NAME = "looks.json"
_MOST = 256 << 20
"""Bytes of the file: five hundred calibrations on fifteen thousand rows each take 250 MB."""
_DIGITS = 16
"""Hexadecimal digits that are kept of a row's hash. Among a million rows two collide once in 37 million files."""

LookKind = Literal["first", "same", "later"]
"""The first look at these rows; the same question again, with the same answers; or any other look."""


class Look(SettingsTable):
    """One look.

    Args:
        data: sha256 of the data's file.
        rows: hashes of what the certify rows ask.
        question: hash of the question, and of the answers and losses that it was about.
        date: as in 2026-11-26.
        seen: hashes of what all rows of that calibration ask, ignoring case, white space and punctuation.
        check: whether it was a check of an earlier promise. Rows of a check stay fresh for other checks.
    """

    data: str
    rows: tuple[str, ...]
    question: str
    date: str
    seen: tuple[str, ...] = ()
    check: bool = False


class Looks(SettingsTable):
    """A whole `looks.json`.

    Args:
        looks: the earliest first.
    """

    looks: tuple[Look, ...] = ()


def read_looks(folder: Path) -> Looks:
    """Read the looks that are recorded beside the task of a folder.

    Raises:
        ConfigError: the file can't be read, or something else changed it.
    """
    path = folder / NAME
    if not path.exists():
        return Looks()
    values = parse_json(read_bounded(path, _MOST, "the record of looks"), str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not a record of looks", hint="move it away, and calibrate on fresh rows")
    return read(Looks, values, str(path))


def note_look(
    folder: Path,
    *,
    data: str,
    rows: Sequence[str],
    question: Any,
    date: str,
    seen: Iterable[str] = (),
    after: Sequence[Any] = (),
) -> LookKind:
    """Record a look at some rows before its result is seen, and return which kind it is.

    Args:
        folder: of the task.
        data: sha256 of the data's file. Another prompt makes other rows from it, but that doesn't make them fresh.
        rows: identities of the certify rows.
        question: everything that the result depends on, as a JSON value.
        date: today.
        seen: what all rows of the calibration ask, from `rung.learn.data.wording`.
        after: questions of earlier looks that don't make this one a choice of what suits.

    Raises:
        ConfigError: the record can't be read or written.
    """
    before = read_looks(folder)
    now = Look(data=data, rows=_short(rows), question=_hash(question), date=date, seen=tuple(sorted(set(seen))))
    allowed = {_hash(other) for other in after}
    touched = [look for look in before.looks if _touches(look, now) and look.question not in allowed]
    alike = [(look.rows, look.question) == (now.rows, now.question) for look in touched]
    if not any(alike):
        _write(folder, Looks(looks=(*before.looks, now)))
    if not touched:
        return "first"
    return "same" if alike[0] else "later"


def note_check(folder: Path, *, data: str, rows: Sequence[str], question: Any, date: str) -> None:
    """Record that a check has looked at some rows.

    Args:
        folder: of the task.
        data: sha256 of the data's file.
        rows: identities of the rows.
        question: what was checked, as a JSON value.
        date: today.

    Raises:
        ConfigError: the record can't be read or written.
    """
    before = read_looks(folder)
    now = Look(data=data, rows=_short(rows), question=_hash(question), date=date, check=True)
    if not any((look.rows, look.question) == (now.rows, now.question) for look in before.looks):
        _write(folder, Looks(looks=(*before.looks, now)))


def _hash(question: Any) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


def _short(rows: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({row[:_DIGITS] for row in rows}))


def _touches(look: Look, now: Look) -> bool:
    return look.data == now.data or not set(look.rows).isdisjoint(now.rows)


def _write(folder: Path, looks: Looks) -> None:
    try:
        write_whole(folder / NAME, json.dumps(looks.model_dump(mode="json")).encode() + b"\n")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"{folder / NAME} can't be written: {why}") from None
