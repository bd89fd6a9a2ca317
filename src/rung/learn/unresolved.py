"""Requests that no tier could answer, and the right answers that a person gives them: rows of data.

The rows are what `rung eval` and `rung calibrate` read: the messages as they were sent, and what is expected.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, Self, get_args

from pydantic_core import to_jsonable_python

from rung.contract import Contract
from rung.errors import ConfigError, LedgerError
from rung.files import read_bounded, unreadable
from rung.learn.data import identity
from rung.learn.tuning_tiers import value_of
from rung.ledger import LedgerFile, RequestRecord, asked, label, unlabel
from rung.limits import Cancel
from rung.locking import locked
from rung.types import Message, Role
from rung.writing import sync, write_all

SUFFIXES = (".jsonl", ".ndjson")
"""Ends of the file's name: what reads data goes by them."""

_MOST = 256 << 20
"""Bytes of the file: a hundred thousand labelled prompts of usual length, more than anybody labels."""
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class UnresolvedRequest:
    """A request that waits for a person.

    Args:
        record: as the ledger has it.
        turns: what was asked.
        answers: what tiers answered, each text once.
        same: all unresolved requests that ask the same, this one included.
    """

    record: RequestRecord = field(repr=False)
    turns: tuple[Message, ...] = field(repr=False)
    answers: tuple[str, ...] = field(repr=False)
    same: tuple[RequestRecord, ...] = field(default=(), repr=False)

    @property
    def key(self) -> str:
        """The key of what is asked, as in data."""
        return identity(self.turns, None)

    def row(self, expected: Any) -> dict[str, Any]:
        """The row of the data.

        Args:
            expected: the right answer.
        """
        metadata = {"request": self.record.id, "asked_by": self.record.caller}
        return {
            "messages": [{"role": turn.role, "content": turn.text} for turn in self.turns],
            "expected": expected,
            "metadata": {name: value for name, value in metadata.items() if value is not None},
        }


@dataclass(frozen=True, slots=True)
class UnresolvedQueue:
    """What the ledger has for a person to label.

    Args:
        waiting: requests to label, latest first. Of those that ask the same there is one.
        labelled: number of requests that have a label already.
        unmarked: answers from the file of labels to requests that the ledger doesn't know to be labelled, by the
            request's name.
        without_text: number of those whose prompt the ledger doesn't have.
        not_text: number of those whose prompt isn't text alone, so that no row of data can hold it.
    """

    waiting: tuple[UnresolvedRequest, ...]
    labelled: int
    unmarked: Mapping[str, Any] = field(repr=False)
    without_text: int
    not_text: int


def unresolved(
    records: Iterable[RequestRecord], known: Mapping[str, Any], shown: Callable[[RequestRecord], bool], *, again: bool
) -> UnresolvedQueue:
    """Sort out what can be labelled.

    Args:
        records: all requests of a task without an accepted answer, latest first. Those that a person has labelled are
            among them.
        known: answers in the file of labels, by the key of the prompt.
        shown: whether a request belongs to the queue that is wanted. Of the others only those count that ask the same.
        again: whether requests with a label wait, too, unless their answer is in the file.
    """
    waiting: dict[str, UnresolvedRequest] = {}
    same: dict[str, list[RequestRecord]] = {}
    unmarked: dict[str, Any] = {}
    labelled = without_text = not_text = 0
    for record in records:
        wanted = shown(record)
        found = _asking(record)
        if found is not None and found.key in known:
            labelled += wanted
            if record.label is None:
                unmarked[record.id] = known[found.key]
        elif record.label is not None and not again:
            labelled += wanted
        elif found is not None:
            same.setdefault(found.key, []).append(record)
            if wanted:
                waiting.setdefault(found.key, found)
        elif record.messages is None:
            without_text += wanted
        else:
            not_text += wanted
    queue = tuple(replace(found, same=tuple(same[key])) for key, found in waiting.items())
    return UnresolvedQueue(queue, labelled, unmarked, without_text, not_text)


def _asking(record: RequestRecord) -> UnresolvedRequest | None:
    """What a request asks and was answered; `None` if the ledger has no text of it, or more than text."""
    if record.messages is None:
        return None
    try:
        turns = asked(record)
    except ConfigError:  # a picture
        return None
    if any(turn.tool_calls or turn.tool_call_id for turn in turns):
        return None
    texts = (attempt.text for attempt in record.attempts if attempt.text and attempt.text.strip())
    return UnresolvedRequest(record, turns, tuple(dict.fromkeys(text.strip() for text in texts)))


def expected_of(request: UnresolvedRequest, text: str, contract: Contract[Any] | None) -> tuple[Any] | None:
    """The right answer as data has it; `None` if the task's contract doesn't accept it.

    Args:
        request: what it answers.
        text: the answer as a tier or a person wrote it.
        contract: of the request's task. Without one, only an object or a list is read as JSON.
    """
    if contract is not None:
        value = value_of(contract, request.turns, text)
        return None if value is None else (to_jsonable_python(value[0]),)
    if text.startswith(("{", "[")):
        try:
            return (json.loads(text),)
        except (ValueError, RecursionError):
            pass
    return (text,)


class LabelledRows:
    """The file of labelled requests. One process at a time appends to it, and each row is on disk before the next.

    Args:
        path: a file of JSON lines. It is made if it is missing, readable only by its owner; a row of somebody else's
            data in it stays as it is.

    `answers` has the answers in it by the key of their prompt, and `added` is the number of rows that were added and
    not taken back.

    Raises:
        ConfigError: the name's end says another format, the file can't be read or written, or isn't JSON lines; or
            another process adds to it.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"{path} is not a name for JSON lines", hint="let it end in .jsonl")
        self.path = path
        self.answers: dict[str, Any] = {}
        self._ends: list[tuple[int, str]] = []
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(Path(f"{path}.lock"), cancel=Cancel(), waiting=self._taken))
                self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _FLAGS, 0o600)
                stack.callback(os.close, self._fd)
            except (OSError, ValueError) as error:
                raise unreadable(path, "the file of labels", error) from None
            self._read()
            self._closing = stack.pop_all()

    @property
    def added(self) -> int:
        """Number of rows that were added and not taken back."""
        return len(self._ends)

    def add(self, request: UnresolvedRequest, expected: Any) -> None:
        """Append a row.

        Args:
            request: what was asked.
            expected: its right answer.

        Raises:
            ConfigError: the file can't be written. Then it is as it was.
        """
        end = os.fstat(self._fd).st_size
        line = json.dumps(request.row(expected), ensure_ascii=False).encode() + b"\n"
        try:
            write_all(self._fd, line)
            sync(self._fd)
        except OSError as error:
            os.ftruncate(self._fd, end)
            why = (error.strerror or str(error)).lower()
            raise ConfigError(f"{self.path} can't be written: {why}", hint="make room, then run it again") from None
        self._ends.append((end, request.key))
        self.answers[request.key] = expected

    def undo(self) -> bool:
        """Take the last added row back; `False` if there is none."""
        if not self._ends:
            return False
        end, key = self._ends.pop()
        os.ftruncate(self._fd, end)
        sync(self._fd)
        self.answers.pop(key, None)
        return True

    def close(self) -> None:
        """Release the file for others. May be called twice."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        content = read_bounded(self.path, _MOST, "the file of labels")
        if content and not content.endswith(b"\n"):
            raise ConfigError(
                f"the last line of {self.path} has no end",
                hint="complete or remove that line, and end it with a newline",
            )
        for number, line in enumerate(content.splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError
            except (ValueError, RecursionError):
                raise ConfigError(
                    f"{self.path}, line {number}: this is not a row of JSON lines", hint="name another file"
                ) from None
            turns = _turns(row)
            if turns and row.get("expected") is not None:
                self.answers[identity(turns, None)] = row["expected"]

    def _taken(self) -> NoReturn:
        raise ConfigError(f"somebody else is labelling into {self.path}", hint="wait for the other command to end")


class LabelMarks:
    """Tells the ledger which requests have an answer in the file of labels.

    If the ledger can't be written, the answers are kept all the same. `failure` is why; the marks are made when the
    same file is labelled into again.

    Args:
        file: the ledger's.
    """

    def __init__(self, file: LedgerFile) -> None:
        self.failure: LedgerError | None = None
        self._file = file
        self._made: set[str] = set()

    def put(self, answers: Mapping[str, Any]) -> None:
        """Mark requests.

        Args:
            answers: the right answer of each, by its name.
        """
        try:
            label(self._file, answers)
            self._made |= answers.keys()
        except LedgerError as error:
            self.failure = error

    def take_back(self, request: UnresolvedRequest) -> None:
        """Take the marks of a request back, and of those that ask the same. A label that one had before is restored.

        Raises:
            LedgerError: the ledger can't be written.
        """
        mine = [record for record in request.same if record.id in self._made]
        if mine:
            unlabel(self._file, [record.id for record in mine])
            before = {r.id: json.loads(r.label.expected) for r in mine if r.label is not None and r.label.expected}
            label(self._file, before)
            self._made.difference_update(record.id for record in mine)


def _turns(row: dict[str, Any]) -> tuple[Message, ...]:
    """What a row asks, as far as it is written like ours."""
    turns: Sequence[Any] = row["messages"] if isinstance(row.get("messages"), list) else ()
    whole = all(
        isinstance(turn, dict) and turn.get("role") in get_args(Role) and isinstance(turn.get("content"), str)
        for turn in turns
    )
    return tuple(Message(turn["role"], turn["content"]) for turn in turns) if whole else ()
