"""A person's judgements of answers that differ, kept in a file: hashes of what was asked and answered, and no text.

The file has one JSON object a line, and is only appended to. Each is on disk before the next question is shown. Taking
one back adds a line, too. A line that a killed process left half written is skipped when the file is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, Self, get_args

from rung.errors import ConfigError
from rung.files import read_bounded, unreadable
from rung.learn.climbing import Climb
from rung.limits import Cancel
from rung.locking import locked
from rung.writing import sync, write_all

NAME = "judgements.jsonl"
_HEAD = json.dumps({"rung": "judgements", "version": 1}).encode() + b"\n"
_MOST = 64 << 20
"""Bytes of the file: 300,000 judgements, more than anybody makes."""
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

Said = Literal["ladder", "last", "both", "neither", "unsure"]
"""Which of the two answers is right: only the ladder's, only the last tier's, both, neither; or unsure."""


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """Two answers to one prompt. If either tier answers differently, that is another pair.

    Args:
        row: the key of what was asked.
        tier: the tier that gave the ladder's answer.
        answer: hash of that answer; `None` if there is no valid one.
        other: hash of what the last tier says by itself.
    """

    row: str
    tier: str
    answer: str | None
    other: str | None

    @classmethod
    def of(cls, climb: Climb, place: int) -> AnswerPair:
        """The pair of a row and a tier.

        Args:
            climb: the row.
            place: index of the tier.
        """
        step = climb.steps[place]
        return cls(climb.row.key, step.tier, step.value_hash, climb.alone.value_hash)


class Judgements:
    """A person's judgements.

    Args:
        path: the file; `None` for no judgements.
        writes: whether any will be added. Then the file is made if it is missing, readable only by its owner, and one
            process at a time has it.

    `notes` are sentences about what was found, such as a line that was cut off.

    Raises:
        ConfigError: the file can't be read or written, is something else, or another process adds to it.
    """

    def __init__(self, path: Path | None, *, writes: bool = False) -> None:
        self.path = path
        self.notes: tuple[str, ...] = ()
        self._made: list[tuple[AnswerPair, Said]] = []
        self._known: dict[AnswerPair, Said] = {}
        self._fd: int | None = None
        self._closing = ExitStack()
        if path is None:
            return
        with ExitStack() as stack:
            if writes:
                self._open(path, stack)
            self._read(path)
            self._closing = stack.pop_all()

    @property
    def last(self) -> AnswerPair | None:
        """The pair that was judged last and not taken back; `None` if there is none."""
        return self._made[-1][0] if self._made else None

    def get(self, difference: AnswerPair) -> Said | None:
        """The judgement of two answers; `None` if they weren't judged."""
        return self._known.get(difference)

    def loses(self, climb: Climb, place: int) -> bool | None:
        """Whether the ladder loses there: only the last tier's answer is right, or the person can't tell.

        Args:
            climb: a row.
            place: index of the tier that answers it.
        """
        said = self.get(AnswerPair.of(climb, place))
        return None if said is None else said in ("last", "unsure")

    def of(self, climbs: Sequence[Climb]) -> list[list[str | None]]:
        """All judgements of some rows, in an order that doesn't depend on when they were made.

        Args:
            climbs: the rows.
        """
        every = {AnswerPair.of(climb, place) for climb in climbs for place in range(len(climb.steps))}
        told = ([d.row, d.tier, d.answer, d.other, self._known[d]] for d in every if d in self._known)
        return sorted(told, key=lambda entry: [part or "" for part in entry])

    def add(self, difference: AnswerPair, said: Said) -> None:
        """Add a judgement. It is on disk when this returns.

        Args:
            difference: the pair that was judged.
            said: the judgement.

        Raises:
            ConfigError: the file can't be written.
        """
        self._append({**asdict(difference), "says": said})
        self._note(difference, said)

    def undo(self) -> None:
        """Take the last judgement back.

        Raises:
            ConfigError: the file can't be written.
        """
        self._append({"undo": True})
        self._take_back()

    def close(self) -> None:
        """Release the file for others. May be called twice."""
        self._fd = None
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, path: Path, stack: ExitStack) -> None:
        try:
            stack.enter_context(locked(Path(f"{path}.lock"), cancel=Cancel(), waiting=lambda: _taken(path)))
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _FLAGS, 0o600)
            stack.callback(os.close, self._fd)
        except (OSError, ValueError) as error:
            raise unreadable(path, "the file of judgements", error) from None

    def _read(self, path: Path) -> None:
        content = read_bounded(path, _MOST, "the file of judgements")
        if content and not content.startswith(_HEAD) and not _HEAD.startswith(content):
            raise ConfigError(
                f"{path} is not a file of judgements of this version of rung", hint="name another file with --labels"
            )
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self.notes = (f"the last line of {path} was cut off; it is skipped, and its question is asked again",)
        for number, line in enumerate(content[:whole].splitlines()[1:], 2):
            self._take(line, f"{path}, line {number}")
        if self._fd is not None:
            os.ftruncate(self._fd, whole)
            if not whole:
                self._write(_HEAD)

    def _take(self, line: bytes, where: str) -> None:
        try:
            record = json.loads(line)
            if record == {"undo": True}:
                self._take_back()
                return
            said = record.pop("says")
            difference = AnswerPair(**record)
            if said not in get_args(Said) or not isinstance(difference.row, str):
                raise ValueError
            self._note(difference, said)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            raise ConfigError(f"{where}: this is not a judgement", hint="something else has changed the file") from None

    def _note(self, difference: AnswerPair, said: Said) -> None:
        self._made.append((difference, said))
        self._known[difference] = said

    def _take_back(self) -> None:
        difference, _ = self._made.pop()
        del self._known[difference]
        for before, said in self._made:
            if before == difference:
                self._known[before] = said

    def _append(self, record: dict[str, Any]) -> None:
        self._write(json.dumps(record).encode("ascii") + b"\n")

    def _write(self, line: bytes) -> None:
        assert self._fd is not None, "only a file that is open for writing takes a judgement"
        try:
            write_all(self._fd, line)
            sync(self._fd)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"{self.path} can't be written: {why}", hint="make room, then run the same command again"
            ) from None


def _taken(path: Path) -> NoReturn:
    raise ConfigError(f"somebody else is judging into {path}", hint="wait for the other command to end")
