"""Converting between records and rows, and finding requests. Each column has the name of its field."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import fields
from decimal import Decimal
from typing import Any

from rung.ledger.file import LedgerFile
from rung.ledger.records import AttemptRecord, LabelRecord, RequestRecord, ShadowRecord, shadow_record
from rung.ledger.schema import known, pico
from rung.types import Outcome, Reason, Shadowed

_DAY = 86_400_000
_ATTEMPT = tuple(f.name for f in fields(AttemptRecord) if f.name != "text")
_REQUEST = tuple(f.name for f in fields(RequestRecord) if f.name not in ("attempts", "messages", "shadow", "label"))
_SHADOW = tuple(f.name for f in fields(ShadowRecord) if f.name != "attempts")


def write(connection: sqlite3.Connection, record: RequestRecord, retention_days: int) -> None:
    """Insert a request.

    Args:
        connection: within a transaction.
        record: the request.
        retention_days: how long its content is kept.
    """
    _insert(connection, "requests", _REQUEST, [_stored(record, _REQUEST)])
    attempts = [(record.id, *_stored(a, _ATTEMPT)) for a in record.attempts]
    _insert(connection, "attempts", ("request", *_ATTEMPT), attempts)
    if record.messages is not None:
        prompt = (record.id, record.at + retention_days * _DAY, record.messages)
        _insert(connection, "prompts", ("request", "expires", "messages"), [prompt])
        answers = [(record.id, a.number, a.text) for a in record.attempts if a.text is not None]
        _insert(connection, "answers", ("request", "number", "text"), answers)


def write_shadow(connection: sqlite3.Connection, event: Shadowed, now: float) -> None:
    """Insert the result of a shadow beside its request. Does nothing if the request has been deleted.

    Args:
        connection: within a transaction.
        event: the one that reports it.
        now: seconds since 1970.
    """
    found = connection.execute("SELECT id, left_machine FROM requests WHERE toss = ?", (event.toss.key,)).fetchone()
    if found is None:
        return
    name = found["id"]
    after = connection.execute("SELECT coalesce(max(number), 0) FROM attempts WHERE request = ?", (name,)).fetchone()[0]
    record = shadow_record(event, now, after)
    _insert(connection, "shadows", ("request", *_SHADOW), [(name, *_stored(record, _SHADOW))])
    attempts = [(name, True, *_stored(a, _ATTEMPT)) for a in record.attempts]
    _insert(connection, "attempts", ("request", "shadow", *_ATTEMPT), attempts)
    left = Outcome(event.attempts).left_machine
    if left is not False and found["left_machine"] == 0:
        connection.execute("UPDATE requests SET left_machine = ? WHERE id = ?", (left, name))


def read(connection: sqlite3.Connection, found: Iterable[sqlite3.Row]) -> list[RequestRecord]:
    """Rows of `requests` as records, with their attempts and content."""
    return [_request(connection, row) for row in found]


def requests(
    file: LedgerFile,
    *,
    limit: int | None = None,
    task: str | None = None,
    since: int | None = None,
    left_machine: bool = False,
    answered: bool = False,
    unresolved: bool = False,
    labelled: bool = False,
    caller: str | None = None,
) -> list[RequestRecord]:
    """Requests, latest first.

        [it.tier for it in requests(file, task="weather", limit=10)]  # ['small']

    Args:
        file: the ledger's.
        limit: the most to return; `None` returns all.
        task: only requests of this task.
        since: only requests that began at this time or later, in milliseconds since 1970.
        left_machine: only requests that left this machine, or may have.
        answered: only requests with an accepted answer.
        unresolved: only requests without an accepted answer that nobody cancelled, and that no person has labelled.
        labelled: whether `unresolved` also returns those that a person has labelled.
        caller: only requests of whoever asked a server by this name.

    Raises:
        LedgerError: the file can't be read.
    """
    where = ["1"]
    values: list[object] = []
    if task is not None:
        where.append("task = ?")
        values.append(task)
    if since is not None:
        where.append("at >= ?")
        values.append(since)
    if left_machine:
        where.append("left_machine IS NOT 0")
    if answered:
        where.append("accepted")
    if unresolved:
        where.append("NOT accepted AND reason <> ?")
        values.append(str(Reason.CANCELLED))
    if unresolved and not labelled:
        where.append("NOT EXISTS (SELECT 1 FROM labels WHERE labels.request = requests.id)")
    if caller is not None:
        where.append("caller = ?")
        values.append(caller)
    sql = f"SELECT * FROM requests WHERE {' AND '.join(where)} ORDER BY at DESC, id DESC LIMIT ?"
    with file.snapshot() as connection:
        return read(connection, connection.execute(sql, (*values, -1 if limit is None else limit)).fetchall())


def asked_since(file: LedgerFile, caller: str, since: int) -> int:
    """How many requests somebody has made.

        asked_since(file, "ada", 0)  # 0

    Args:
        file: the ledger's.
        caller: who asked a server.
        since: only requests that began at this time or later, in milliseconds since 1970.

    Raises:
        LedgerError: the file can't be read.
    """
    with file.snapshot() as connection:
        sql = "SELECT count(*) FROM requests WHERE caller = ? AND at >= ?"
        return int(connection.execute(sql, (caller, since)).fetchone()[0])


def find(file: LedgerFile, prefix: str, limit: int = 5) -> list[RequestRecord]:
    """The requests whose name begins with `prefix`.

        [it] = requests(file)
        [it.tier for it in find(file, it.id[:8])]  # ['small']

    Args:
        file: the ledger's.
        prefix: of the name. A whole name finds one request.
        limit: the most to return.

    Raises:
        LedgerError: the file can't be read.
    """
    wanted = prefix.strip().lower()
    sql = "SELECT * FROM requests WHERE substr(id, 1, ?) = ? ORDER BY id LIMIT ?"
    with file.snapshot() as connection:
        return read(connection, connection.execute(sql, (len(wanted), wanted, limit)).fetchall())


def _request(connection: sqlite3.Connection, row: sqlite3.Row) -> RequestRecord:
    name = (row["id"],)
    texts = dict(connection.execute("SELECT number, text FROM answers WHERE request = ?", name).fetchall())
    prompt = connection.execute("SELECT messages FROM prompts WHERE request = ?", name).fetchone()
    attempts: dict[bool, list[AttemptRecord]] = {False: [], True: []}
    for a in connection.execute("SELECT * FROM attempts WHERE request = ? ORDER BY number", name):
        attempts[bool(a["shadow"])].append(AttemptRecord(**_values(a, _ATTEMPT), text=texts.get(a["number"])))
    shadow = connection.execute("SELECT * FROM shadows WHERE request = ?", name).fetchone()
    label = connection.execute(
        "SELECT at, expected FROM labels LEFT JOIN label_texts USING (request) WHERE request = ?", name
    ).fetchone()
    return RequestRecord(
        **_values(row, _REQUEST),
        attempts=tuple(attempts[False]),
        messages=prompt["messages"] if prompt else None,
        shadow=ShadowRecord(**_values(shadow, _SHADOW), attempts=tuple(attempts[True])) if shadow else None,
        label=LabelRecord(label["at"], label["expected"]) if label else None,
    )


def _insert(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]
) -> None:
    names, places = ", ".join(f'"{c}"' for c in columns), ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)


def _stored(thing: RequestRecord | AttemptRecord | ShadowRecord, columns: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(_column(getattr(thing, column)) for column in columns)


def _column(value: Any) -> Any:
    if isinstance(value, Decimal):
        return pico(value)
    return json.dumps(value) if isinstance(value, tuple) else value


def _values(row: sqlite3.Row, columns: tuple[str, ...]) -> dict[str, Any]:
    return {column: _field(column, row[column]) for column in columns}


def _field(column: str, value: Any) -> Any:
    match column:
        case "cost" | "bound":
            return known(value)
        case "accepted" | "sent" | "left_machine" | "stays_here" | "fell" | "agrees":
            return None if value is None else bool(value)
        case "checked_by":
            return tuple(json.loads(value))
        case "issues":
            return tuple((code, path) for code, path in json.loads(value))
        case _:
            return value
