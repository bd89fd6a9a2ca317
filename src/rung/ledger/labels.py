"""Marking requests that no tier could answer as labelled, once a person has given the right answer.

The answers themselves are rows of data in a file of the person's. The ledger knows which requests have one, so that
they no longer wait for anybody. It keeps a copy of the answer as long as it keeps the request's prompt.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from rung.ledger.file import LedgerFile


def label(file: LedgerFile, answers: Mapping[str, Any]) -> None:
    """Mark requests as labelled. A request that has been deleted is left out; a second label replaces the first.

        [it] = requests(file)
        label(file, {it.id: "It rains."})
        requests(file)[0].label.expected  # "It rains."

    Args:
        file: the ledger's.
        answers: the right answer of each request, by its name.

    Raises:
        LedgerError: the file can't be written.
    """
    if not answers:
        return
    at = int(time.time() * 1000)
    texts = [(json.dumps(answer, ensure_ascii=False), name) for name, answer in answers.items()]
    with file.transaction() as connection:
        connection.executemany(
            "INSERT OR REPLACE INTO labels (request, at) SELECT id, ? FROM requests WHERE id = ?",
            [(at, name) for name in answers],
        )
        connection.executemany(
            "INSERT OR REPLACE INTO label_texts (request, expected) SELECT request, ? FROM prompts WHERE request = ?",
            texts,
        )


def unlabel(file: LedgerFile, names: Iterable[str]) -> None:
    """Take the labels of requests back.

        [it] = requests(file)
        label(file, {it.id: "It rains."})
        unlabel(file, [it.id])
        requests(file)[0].label  # None

    Args:
        file: the ledger's.
        names: of the requests.

    Raises:
        LedgerError: the file can't be written.
    """
    each = [(name,) for name in names]
    with file.transaction() as connection:
        connection.executemany("DELETE FROM labels WHERE request = ?", each)
        connection.executemany("DELETE FROM label_texts WHERE request = ?", each)
