"""A user's data, row by row: JSON Lines or CSV. A file of any size is read, and never held in memory.

Columns and keys: `prompt` (text) or `messages` (a list of `{"role", "content"}`), or the fields of the task's
template. Optional are `expected` (the right answer), `schema` (of this row's answer), `group`, and `metadata` (an
object). Anything else in a row is kept as metadata. Unknown values are `null` in JSON Lines, and empty cells in CSV. In
CSV `messages` and `schema` are JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from rung.contract.bounds import is_text
from rung.errors import ConfigError, RungError
from rung.files import full
from rung.learn.rows import Row
from rung.learn.tables import BadRow, InputRow, TableFile, UnusableRow, kind_of, nothing_in
from rung.learn.templates import Template
from rung.parsing import parse_json
from rung.spelling import nearest, shortened
from rung.types import Message, Role

_MOST_KEYS = 20
"""Keys of a row that a message lists: a line or two of a terminal."""
_OURS = ("prompt", "messages", "expected", "schema", "group", "metadata")
_BETWEEN_WORDS = re.compile(r"[\W_]+")


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
    with TableFile(path, lambda names: _demand_columns(names, full(path, "the data"), template)) as table:
        empty = True
        for record in table:
            empty = False
            yield record if isinstance(record, BadRow) else row_of(record, template, cells=table.cells)
    if empty:
        raise nothing_in(table.path)


def row_of(record: InputRow, template: Template | None, *, cells: bool) -> Row | BadRow:
    """What a row asks.

    Args:
        record: the row as the file has it.
        template: makes a prompt of a row that has its fields.
        cells: whether its values are cells of a table, so that all are texts.
    """
    try:
        return _row(record.number, _of_cells(record.values) if cells else record.values, template)
    except (UnusableRow, RungError) as error:
        return record.bad(error)


def identity(messages: tuple[Message, ...], schema: Mapping[str, Any] | None) -> str:
    """The key of what is asked: 32 hexadecimal digits, the same in every file and run.

    Args:
        messages: what is asked.
        schema: of this row's answer, if it has one of its own.
    """
    # the order of a schema's fields is the order in which a model answers them, so it is part of what is asked
    asked = [[[m.role, m.text] for m in messages], schema]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]


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
        raise UnusableRow("in CSV metadata goes into columns of its own, under other names")
    for name in _OURS:
        if isinstance(values.get(name), str) and not values[name].strip():
            values[name] = None
    return values


def _row(number: int, values: dict[str, Any], template: Template | None) -> Row:
    messages, used = _asked(values, template)
    if any("\0" in turn.text or not is_text(turn.text) for turn in messages):
        raise UnusableRow("it contains a NUL or half of a surrogate pair, so it is not text")
    schema = values.get("schema")
    if schema is not None and "schema" not in used and not isinstance(schema, dict):
        raise UnusableRow(f"its schema is {kind_of(schema)} and not an object")
    group = values.get("group")
    if group is not None and "group" not in used and not isinstance(group, str | int):
        raise UnusableRow(f"its group is {kind_of(group)} and not a text")
    metadata = values.get("metadata")
    if metadata is not None and "metadata" not in used and not isinstance(metadata, dict):
        raise UnusableRow(f"its metadata is {kind_of(metadata)} and not an object")
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
                raise UnusableRow(f"the template's field {name!r} is null")
            if name not in values:
                clause = _near(name, values)
                raise UnusableRow(f"the template's field {name!r} is missing{f'; {clause}' if clause else ''}")
        return template.fill({name: _text(values[name], name) for name in fields}), fields
    if messages is not None and prompt is not None:
        raise UnusableRow("it has both a prompt and messages")
    if messages is not None:
        return _conversation(messages), ("messages",)
    if prompt is None:
        near = _near("prompt", values)
        raise UnusableRow(f"it has neither a prompt nor messages{f'; {near}' if near else ''}")
    if not isinstance(prompt, str) or not prompt.strip():
        raise UnusableRow("its prompt is empty" if isinstance(prompt, str) else f"its prompt is {kind_of(prompt)}")
    return (Message("user", prompt),), ("prompt",)


def _near(name: str, values: Mapping[str, Any]) -> str:
    return nearest(shortened(name), [shortened(key) for key in list(values)[:_MOST_KEYS]])


def _text(value: Any, name: str) -> str:
    """A field's value for the template: text as it is, numbers in their usual form."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise UnusableRow(f"its field {name!r} is {kind_of(value)} and not a text")


def _conversation(messages: Any) -> tuple[Message, ...]:
    if not isinstance(messages, list) or not messages:
        raise UnusableRow("its messages are not a list of objects with 'role' and 'content'")
    turns = []
    for turn in messages:
        if not isinstance(turn, dict) or set(turn) != {"role", "content"} or not isinstance(turn["content"], str):
            raise UnusableRow("a message is not an object with 'role' and 'content', both text")
        if turn["role"] not in get_args(Role):
            raise UnusableRow(f"{shortened(str(turn['role']))!r} is not a role; known: {', '.join(get_args(Role))}")
        turns.append(Message(turn["role"], turn["content"]))
    if not any(turn.role == "user" and turn.text.strip() for turn in turns):
        raise UnusableRow("its messages have no turn of the user with a text")
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
