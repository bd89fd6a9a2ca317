"""Finding requests again."""

from __future__ import annotations

from rung.ledger import rows
from rung.ledger.file import LedgerFile
from rung.ledger.records import RequestRecord


def requests(
    file: LedgerFile,
    *,
    limit: int | None = None,
    task: str | None = None,
    since: int | None = None,
    left_machine: bool = False,
) -> list[RequestRecord]:
    """Requests, the latest first.

    Args:
        file: the ledger's.
        limit: most that are wanted; `None` is all.
        task: only this task's.
        since: only what began then or later, in milliseconds since 1970.
        left_machine: only those that left this machine, or may have.

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
    sql = f"SELECT * FROM requests WHERE {' AND '.join(where)} ORDER BY at DESC, id DESC LIMIT ?"
    with file.snapshot() as connection:
        return rows.read(connection, connection.execute(sql, (*values, -1 if limit is None else limit)).fetchall())


def find(file: LedgerFile, prefix: str, limit: int = 5) -> list[RequestRecord]:
    """The requests whose name begins with `prefix`.

    Args:
        file: the ledger's.
        prefix: of the name; a whole name finds one.
        limit: most that are wanted.

    Raises:
        LedgerError: the file can't be read.
    """
    wanted = prefix.strip().lower()
    sql = "SELECT * FROM requests WHERE substr(id, 1, ?) = ? ORDER BY id LIMIT ?"
    with file.snapshot() as connection:
        return rows.read(connection, connection.execute(sql, (len(wanted), wanted, limit)).fetchall())
