"""A user's data, row by row: JSON Lines or CSV. A file of any size is read, and never held in memory.

Columns and keys: `prompt` (text) or `messages` (a list of `{"role", "content"}`), or the fields of the task's
template. Optional are `expected` (the right answer), `schema` (of this row's answer), `group`, and `metadata` (an
object). Anything else in a row is kept as metadata. Unknown values are `null` in JSON Lines, and empty cells in CSV. In
CSV `messages` and `schema` are JSON.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, get_args

from rung.contract.bounds import is_text
from rung.errors import ConfigError, RungError
from rung.files import full, opened
from rung.learn.rows import Row
from rung.learn.templates import Template
from rung.parsing import decode, parse_json
from rung.settings import nearest, shortened
from rung.types import Message, Role

LONGEST_LINE = 32 << 20
"""Bytes of one row: as many as one part of a prompt may have on the command line. A longer line is not data."""
_CHUNK = 1 << 20
_MOST_KEYS = 20
"""Keys of a row that a message lists: a line or two of a terminal."""
_OURS = ("prompt", "messages", "expected", "schema", "group", "metadata")
_JSON_LINES, _CSV, _TSV = (".jsonl", ".ndjson"), (".csv",), (".tsv", ".tab")
_WHAT = "the data"
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be used.

    Args:
        number: number of the line at which it begins, from 1.
        reason: why, in a clause that repeats nothing of the row but its keys.
    """

    number: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


class _Unusable(Exception):
    """Why a row can't be used."""


def read(path: str | os.PathLike[str], template: Template | None = None) -> Iterator[Row | BadRow]:
    """The rows of a file, one at a time, in its order.

    Args:
        path: the file: `.jsonl` or `.ndjson`, `.csv`, `.tsv`. The delimiter of a CSV is the comma. If its head has no
            comma, it is the semicolon or the tab.
        template: makes a prompt of a row that has its fields. A row that has none of the fields but has `messages`,
            or a `prompt` that isn't a field, is taken as it is.

    Yields:
        Every row, including bad ones. An empty line is not a row.

    Raises:
        ConfigError: the file can't be read, is of another kind, is UTF-16, has no row at all, or its CSV head is wrong.
    """
    path = full(path, _WHAT)
    suffix = path.suffix.lower()
    known = (*_JSON_LINES, *_CSV, *_TSV)
    if suffix not in known:
        hint = "from a JSON array, `jq -c '.[]' DATA.json > DATA.jsonl` makes one" if suffix == ".json" else ""
        raise ConfigError(f"{path} is not a known kind of data file; known: {', '.join(known)}", hint=hint)
    with opened(path, _WHAT) as file:
        if file.peek(2)[:2] in _UTF16:
            raise ConfigError(f"{path} is not valid UTF-8: it is UTF-16", hint="save it as UTF-8")
        empty = True
        for row in _jsonl(file, template) if suffix in _JSON_LINES else _csv(file, path, template, suffix in _TSV):
            empty = False
            yield row
    if empty:
        raise ConfigError(f"{path} holds no row", hint="check that it is the right file")


def identity(messages: tuple[Message, ...], schema: Mapping[str, Any] | None) -> str:
    """The key of what is asked: 32 hexadecimal digits, the same in every file and run.

    Args:
        messages: what is asked.
        schema: of this row's answer, if it has one of its own.
    """
    # the order of a schema's fields is the order in which a model answers them, so it is part of what is asked
    asked = [[[m.role, m.text] for m in messages], schema]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]


def _jsonl(file: BinaryIO, template: Template | None) -> Iterator[Row | BadRow]:
    for number, line in enumerate(_lines(file), 1):
        try:
            if isinstance(line, _Unusable):
                raise line
            line = line.strip()
            if not line:
                continue
            values = parse_json(line, "the line")
            if not isinstance(values, dict):
                raise _Unusable(f"it holds {_kind(values)} and not an object")
            yield _row(number, values, template)
        except (_Unusable, RungError) as error:
            yield BadRow(number, _reason(error))


class _Records:
    """The lines of a CSV in the form that its reader needs. Counts the bytes of each record."""

    def __init__(self, file: BinaryIO) -> None:
        self._lines = _lines(file)
        self.read = 0
        self.first = 1
        self._taken = 0

    def begin(self) -> None:
        """Start a record with the next line."""
        self.first, self._taken = self.read + 1, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.read += 1
        if isinstance(line, _Unusable):
            raise line
        self._taken += len(line)
        if self._taken > LONGEST_LINE:
            raise _Unusable(f"it is longer than the {LONGEST_LINE:,} bytes that a row may have")
        text = decode(line, "the line")
        if "\0" in text:
            raise _Unusable("it holds a NUL, so it is not text")
        return text


def _csv(file: BinaryIO, path: Path, template: Template | None, tabs: bool) -> Iterator[Row | BadRow]:
    # the limit is the process's, so it is raised and never lowered; `_Records` bounds the size of a row
    if csv.field_size_limit() < LONGEST_LINE:
        csv.field_size_limit(LONGEST_LINE)
    records = _Records(file)
    head, delimiter = _head(records, path, template, tabs)
    if not head:
        return
    # strict, because a quote that is never closed would silently swallow everything after it
    reader = csv.reader(records, delimiter=delimiter, strict=True)
    while True:
        records.begin()
        try:
            cells = next(reader)
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(head):
                raise _Unusable(f"it has {len(cells)} cells, but the head has {len(head)}")
            yield _row(records.first, _of_cells(dict(zip(head, cells, strict=True))), template)
        except StopIteration:
            return
        except (_Unusable, RungError, csv.Error) as error:
            lines = records.read - records.first + 1
            whole = f" (the row takes {lines:,} lines)" if lines > 1 else ""
            yield BadRow(records.first, f"{_reason(error)}{whole}")


def _head(records: _Records, path: Path, template: Template | None, tabs: bool) -> tuple[list[str], str]:
    """The names of the columns, and the delimiter. No names if the file is empty."""
    first = "\n"
    try:
        while first and not first.strip():
            first = next(records, "")
    except (_Unusable, RungError) as error:
        raise ConfigError(f"{path}: the head can't be read: {_reason(error)}") from None
    if not first:
        return [], ","
    delimiter = "\t" if tabs else next((d for d in (",", ";", "\t") if d in first), ",")
    try:
        names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter, strict=True))]
    except csv.Error as error:
        raise ConfigError(f"{path}: the head can't be read: {_reason(error)}", hint="keep it on one line") from None
    for name in names:
        if not name or names.count(name) > 1:
            said = f"two columns are called {shortened(name)!r}" if name else "a column has no name"
            raise ConfigError(f"{path}: {said}", hint="give each column of the first line a name of its own")
    _demand_columns(names, path, template)
    return names, delimiter


def _demand_columns(names: list[str], path: Path, template: Template | None) -> None:
    """Report once for a whole table what would otherwise be wrong with each of its rows."""
    wanted = template.fields if template is not None else ()
    if any(name in names for name in wanted) or not ({"prompt", "messages"} & set(names)):
        for name in wanted:
            if name not in names:
                raise ConfigError(f"{path} has no column for the template's field {name!r}", hint=nearest(name, names))
    if not wanted and not ({"prompt", "messages"} & set(names)):
        raise ConfigError(
            f"{path} has no column that says what to ask",
            hint=f"call it 'prompt', or name a task whose template has these fields: {', '.join(names)}",
        )


def _of_cells(cells: dict[str, str]) -> dict[str, Any]:
    """A CSV's row in the form of JSON Lines."""
    values: dict[str, Any] = dict(cells)
    for name in ("messages", "schema"):
        if values.get(name, "").strip():
            values[name] = parse_json(cells[name].encode(), f"its {name}")
    if "metadata" in values:
        raise _Unusable("in CSV metadata goes into columns of its own, under other names")
    for name in _OURS:
        if isinstance(values.get(name), str) and not values[name].strip():
            values[name] = None
    return values


def _row(number: int, values: dict[str, Any], template: Template | None) -> Row:
    messages, used = _asked(values, template)
    if any("\0" in turn.text or not is_text(turn.text) for turn in messages):
        raise _Unusable("it contains a NUL or half of a surrogate pair, so it is not text")
    schema = values.get("schema")
    if schema is not None and "schema" not in used and not isinstance(schema, dict):
        raise _Unusable(f"its schema is {_kind(schema)} and not an object")
    group = values.get("group")
    if group is not None and "group" not in used and not isinstance(group, str | int):
        raise _Unusable(f"its group is {_kind(group)} and not a text")
    metadata = values.get("metadata")
    if metadata is not None and "metadata" not in used and not isinstance(metadata, dict):
        raise _Unusable(f"its metadata is {_kind(metadata)} and not an object")
    own = {name: None if name in used else values.get(name) for name in _OURS}
    # a prompt besides the fields that were used is kept like any other metadata
    others = {name: value for name, value in values.items() if name not in used and name not in _OURS[2:]}
    return Row(
        number=number,
        key=identity(messages, own["schema"]),
        messages=messages,
        labelled=own["expected"] is not None,
        expected=own["expected"],
        schema=own["schema"],
        group=wording(messages) if own["group"] in (None, "") else str(own["group"]),
        metadata={**others, **(own["metadata"] or {})},
    )


def _asked(values: dict[str, Any], template: Template | None) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    """The messages of a row, and the keys that they were made from."""
    fields = template.fields if template is not None else ()
    prompt, messages = values.get("prompt"), values.get("messages")
    whole = messages is not None or (prompt is not None and "prompt" not in fields)
    if template is not None and (any(name in values for name in fields) or not whole):
        for name in fields:
            if name in values and values[name] is None:
                raise _Unusable(f"the template's field {name!r} is null")
            if name not in values:
                clause = _near(name, values)
                raise _Unusable(f"the template's field {name!r} is missing{f'; {clause}' if clause else ''}")
        return template.fill({name: _text(values[name], name) for name in fields}), fields
    if messages is not None and prompt is not None:
        raise _Unusable("it has both a prompt and messages")
    if messages is not None:
        return _conversation(messages), ("messages",)
    if prompt is None:
        near = _near("prompt", values)
        raise _Unusable(f"it has neither a prompt nor messages{f'; {near}' if near else ''}")
    if not isinstance(prompt, str) or not prompt.strip():
        raise _Unusable("its prompt is empty" if isinstance(prompt, str) else f"its prompt is {_kind(prompt)}")
    return (Message("user", prompt),), ("prompt",)


def _near(name: str, values: Mapping[str, Any]) -> str:
    return nearest(shortened(name), [shortened(key) for key in list(values)[:_MOST_KEYS]])


def _text(value: Any, name: str) -> str:
    """A field's value for the template: text as it is, numbers in their usual form."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise _Unusable(f"its field {name!r} is {_kind(value)} and not a text")


def _conversation(messages: Any) -> tuple[Message, ...]:
    if not isinstance(messages, list) or not messages:
        raise _Unusable("its messages are not a list of objects with 'role' and 'content'")
    turns = []
    for turn in messages:
        if not isinstance(turn, dict) or set(turn) != {"role", "content"} or not isinstance(turn["content"], str):
            raise _Unusable("a message is not an object with 'role' and 'content', both text")
        if turn["role"] not in get_args(Role):
            raise _Unusable(f"{shortened(str(turn['role']))!r} is not a role; known: {', '.join(get_args(Role))}")
        turns.append(Message(turn["role"], turn["content"]))
    if not any(turn.role == "user" and turn.text.strip() for turn in turns):
        raise _Unusable("its messages have no turn of the user with a text")
    return tuple(turns)


def normal(text: str) -> str:
    """A text without differences that don't matter: case, white space, punctuation, and Unicode forms."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return _BETWEEN_WORDS.sub(" ", plain).strip()


def wording(messages: tuple[Message, ...]) -> str:
    """A hash of what is asked, ignoring case, white space and punctuation. It is the group of a row that names none.

    `rung.learn.duplicates.grouped` joins the groups of rows that are nearly the same. It needs all rows at once.
    """
    asked = "\n".join(f"{m.role}: {normal(m.text) or m.text}" for m in messages)
    return hashlib.sha256(asked.encode("utf-8", "replace")).hexdigest()[:16]


def _lines(file: BinaryIO) -> Iterator[bytes | _Unusable]:
    """The lines of a file. A line that is too long is replaced by the reason."""
    first = True
    while line := file.readline(LONGEST_LINE + 1):
        if first:
            line, first = line.removeprefix(b"\xef\xbb\xbf"), False
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(_CHUNK)
        yield _Unusable(f"it is longer than the {LONGEST_LINE:,} bytes that a row may have")


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")


def _reason(error: Exception) -> str:
    if isinstance(error, csv.Error):
        return f"it is not CSV: {error}"
    if isinstance(error, RungError):
        return error.message.replace(": line 1 column", ": column")  # position in the JSON of one line
    return str(error)
