"""A row of a user's data: one thing to ask, and what is known about its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rung.types import Message


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to ask.

    Args:
        number: its line in the file, from 1.
        key: identity of what is asked, the same in every file and run: a hash of the messages and the schema.
        messages: what is asked, with the template filled in.
        labelled: whether the right answer is known.
        expected: the right answer, if it is known.
        schema: JSON Schema of the answer, if the row has its own. Otherwise the task's contract holds.
        group: rows of one group (a customer, a document, near-duplicates) are always on the same side of a split.
        metadata: everything else in the row.
    """

    number: int
    key: str
    messages: tuple[Message, ...] = field(repr=False)
    labelled: bool = False
    expected: Any = field(default=None, repr=False)
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    group: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
