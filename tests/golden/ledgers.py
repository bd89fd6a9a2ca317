"""What a ledger holds, by each of the ways that it can be looked at."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from golden.machine import Machine
from golden.recording import Eraser, files

_LINKS = {"requests": "id", "attempts": "request", "prompts": "request", "answers": "request"}
"""The column of each table that names a request."""
_VOLATILE = frozenset({"id", "at", "expires", "pid", "seconds", "ttft"})


def told(machine: Machine, eraser: Eraser, ledger: str, config: str, names: list[str]) -> dict[str, str]:
    """The recorded files of a ledger.

    Args:
        machine: that it lies on.
        eraser: of that machine.
        ledger: its name.
        config: with the budgets that it keeps.
        names: of the requests in it, the oldest first.
    """

    def see(*line: str) -> Any:
        return machine("ledger", *line, RUNG_LEDGER=str(machine.home / f"{ledger}.sqlite3"))

    exported = see("export", "--json").json
    ids = [request["id"] for request in exported["rows"]]
    assert len(ids) == len(names), f"{ledger} holds {len(ids)} requests, and {len(names)} were asked"
    by_id = dict(zip(ids, names, strict=True))
    found: dict[str, str] = {}
    requests = {request["id"]: request for request in exported["rows"]}
    for n, (key, request) in enumerate(requests.items()):
        show = {"request": request}
        # of one that stayed here there is no more to tell
        if n == 0 or request["left_machine"] is not False:
            show = see("show", key, "--json").json
            assert json.dumps(show["request"]) == json.dumps(request)
        found |= files(f"ledger/requests/{by_id[key]}", eraser.value(show))

    def named(rows: list[Any]) -> list[Any]:
        """Rows, each by the name of its request where it says exactly what is recorded of that."""
        return [by_id[row["id"]] if json.dumps(row) == json.dumps(requests[row["id"]]) else row for row in rows]

    listed = see("list", "--json", "--limit", "1000").json
    lines = [json.loads(line) for line in see("export").stdout.splitlines()]
    found |= files(
        f"ledger/{ledger}",
        eraser.value(
            {
                "list": {**listed, "requests": named(listed["requests"])},
                "export --json": {**exported, "rows": named(exported["rows"])},
                "export": named(lines),
                "export --format chat --json": see("export", "--format", "chat", "--json").json,
                "stats --json": see("stats", "--json", "--config", config).json,
            }
        ),
    )
    found[f"ledger/{ledger}_tables.txt"] = eraser.text(_tables(machine.home / f"{ledger}.sqlite3", by_id))
    return found


def _tables(path: Path, names: dict[str, str]) -> str:
    """Tables, columns and rows, as another program finds them in the file."""
    lines = []
    order = {key: place for place, key in enumerate(names)}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        lines.append(f"application {application:#x}, version {version}")
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
        for (table,) in tables:
            columns = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
            lines += ["", table]
            for _, name, kind, not_null, _, key in columns:
                lines.append(f"  {name} {kind}{' NOT NULL' if not_null else ''}{' KEY' if key else ''}")
            rows = [
                dict(zip((c[1] for c in columns), row, strict=True))
                for row in connection.execute(f'SELECT * FROM "{table}"')
            ]
            link = _LINKS.get(table)
            rows.sort(key=lambda row: (order[row[link]], row.get("number", 0)) if link else (row["at"],))
            lines += [f"  {json.dumps(_steady(row, link, names), ensure_ascii=False)}" for row in rows]
    return "\n".join(lines) + "\n"


def _steady(row: dict[str, Any], link: str | None, names: dict[str, str]) -> list[Any]:
    """A row without what is volatile, its request by name."""
    steady = []
    for name, value in row.items():
        if name == link:
            steady.append(names[value])
        elif name in _VOLATILE and value is not None:
            steady.append(f"<{name}>")
        else:
            steady.append(round(value, 9) if isinstance(value, float) else value)
    return steady
