"""Recorded calls: a tier's answers, kept in a file so that they needn't be asked for again.

The file has one JSON object a line, and is only appended to. A process may be killed at any moment. A line that was cut
off is skipped when the file is opened again, with a note. The file contains answers, and hashes of what was asked. Only
its owner can read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn, Self

from rung.errors import ConfigError, TierError
from rung.files import full, unreadable
from rung.limits import Cancel
from rung.locking import locked
from rung.types import Call, Image, Message
from rung.writing import sync, write_all

_VERSION = 1
_HEAD = json.dumps({"rung": "recording", "version": _VERSION}).encode() + b"\n"
_SYNC = 5.0
"""Seconds between two syncs to disk. What a killed process wrote is kept anyway. A machine that loses power loses at
most this much."""
_KINDS = ("call", "quote")
_OPEN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class NotRecorded(TierError):
    """A call isn't in the recording, and no model may be asked."""


def key_of(identity: str, call: Call) -> str:
    """A hash of what determines an answer: who is asked, and the call without what only speeds it up.

    Args:
        identity: of the tier, from `rung.learn.identity`.
        call: the call. Its deadline, its cancel flag and the rejected text for speculation are left out.
    """
    sampling = call.sampling
    shape = call.shape
    what = [
        identity,
        [_message(message) for message in call.messages],
        None if shape is None else [shape.kind, shape.schema, shape.pattern, shape.choices],
        [sampling.temperature, sampling.top_p, sampling.min_p, sampling.seed, sampling.stop],
        call.max_tokens,
        call.candidates,
        *([] if sampling.effort is None else [sampling.effort]),
    ]
    # not sorted: the order of a schema's properties is the order in which a model writes them
    return hashlib.sha256(json.dumps(what, separators=(",", ":")).encode()).hexdigest()


def _message(message: Message) -> list[Any]:
    content: Any = message.content
    if not isinstance(content, str):
        content = [
            [part.media_type, hashlib.sha256(part.data).hexdigest()] if isinstance(part, Image) else part.text
            for part in content
        ]
    calls = [[call.id, call.name, call.arguments] for call in message.tool_calls]
    return [message.role, content, calls, message.tool_call_id]


class Cassette:
    """Recorded calls, by key. Safe from several threads.

    Memory holds the place of each record in the file, and the record is read when it is needed. Without a file, memory
    holds everything.

    Args:
        path: the file; `None` keeps everything in memory, only as long as the process lives.
        writes: whether records will be added. Then the file is made if it is missing, and one process at a time has it.

    `notes` are sentences about what was found, such as a line that was cut off.

    Raises:
        ConfigError: the file can't be read or written, is not a recording, or another process adds to it.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, writes: bool = True) -> None:
        self.path = None if path is None else full(path, "the recording")
        self.notes: tuple[str, ...] = ()
        self.writes = writes
        self._lock = threading.RLock()
        self._places: dict[str, tuple[int, int]] = {}
        self._kept: dict[str, bytes] = {}
        self._tiers: dict[str, dict[str, Any]] = {}
        self._fd: int | None = None
        self._end = 0
        self._synced = time.monotonic()
        self._closing = ExitStack()
        if self.path is not None:
            with ExitStack() as stack:
                self._open(self.path, stack)
                self._closing = stack.pop_all()

    def _open(self, path: Path, stack: ExitStack) -> None:
        try:
            if self.writes:
                stack.enter_context(locked(Path(f"{path}.lock"), cancel=Cancel(), waiting=lambda: _taken(path)))
            flags = _OPEN | (os.O_RDWR | os.O_CREAT | os.O_APPEND if self.writes else os.O_RDONLY)
            self._fd = os.open(path, flags, 0o600)
            stack.callback(os.close, self._fd)
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                raise ConfigError(f"the recording {path} is not an ordinary file", hint="name a file")
            self._read(path, self._fd)
        except (OSError, ValueError) as error:
            raise unreadable(path, "the recording", error) from None

    def _read(self, path: Path, fd: int) -> None:
        with os.fdopen(os.dup(fd), "rb") as file:
            head = file.readline()
            if head != _HEAD and not (len(head) < len(_HEAD) and _HEAD.startswith(head) and not file.read(1)):
                raise ConfigError(
                    f"{path} is not a recording of this version of rung", hint="name another file with --record"
                )
            self._end = len(head) if head == _HEAD else 0
            number = 1
            for line in file if self._end else ():
                number += 1
                if not line.endswith(b"\n"):
                    self.notes = (f"the last line of {path} was cut off; it is skipped, and its call is asked again",)
                    break
                self._note(line, f"{path}, line {number}")
                self._end += len(line)
        if self.writes:
            os.ftruncate(fd, self._end)
            if not self._end:
                self._append(_HEAD)

    def _note(self, line: bytes, where: str) -> None:
        """Note the place of a record. Its content is read when it is needed, so that opening is quick."""
        for kind in _KINDS:
            begin = f'{{"{kind}": "'.encode()
            if line.startswith(begin):
                key = line[len(begin) : len(begin) + 64].decode("ascii", "replace")
                self._places[f"{kind} {key}"] = (self._end, len(line))
                return
        record = _parsed(line, where)
        if not isinstance(record, dict) or not isinstance(record.get("tier"), str):
            raise ConfigError(f"{where}: this is not a record of a call", hint="record anew into another file")
        self._tiers.pop(record["tier"], None)
        self._tiers[record["tier"]] = record

    def __len__(self) -> int:
        """The number of recorded calls."""
        with self._lock:
            return sum(name.startswith("call ") for name in (*self._places, *self._kept))

    @property
    def tiers(self) -> Mapping[str, Mapping[str, Any]]:
        """What is known of each recorded tier, by name: its latest identification, in the order of those."""
        return dict(self._tiers)

    def identify(self, name: str, about: Mapping[str, Any]) -> None:
        """Record which tier the following calls belong to. The recorder does so for every tier in the ladder's order,
        so that the last recorded ladder is known.

        Args:
            name: of the tier.
            about: what to keep of it, including its `identity`.
        """
        record = {"tier": name, **about}
        with self._lock:
            self._tiers.pop(name, None)
            self._tiers[name] = record
            if self.path is not None:
                self._append(_line(record))

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The record of a key; `None` if there is none.

        Args:
            kind: `call` or `quote`.
            key: from `key_of`.

        Raises:
            ConfigError: the record can't be read.
        """
        name = f"{kind} {key}"
        with self._lock:
            line = self._kept.get(name)
            if line is None and name in self._places:
                line = self._bytes(*self._places[name])
        if line is None:
            return None
        record = _parsed(line, f"{self.path}, a record")
        return record if isinstance(record, dict) else None

    def add(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """Add a record.

        Args:
            kind: `call` or `quote`.
            key: from `key_of`.
            record: anything that JSON can express.

        Raises:
            ConfigError: the disk is full, or the file can't be written any more.
        """
        line = _line({kind: key, **record})
        with self._lock:
            if self.path is None:
                self._kept[f"{kind} {key}"] = line
                return
            place = (self._end, len(line))
            self._append(line)
            self._places[f"{kind} {key}"] = place

    def changed(self) -> ConfigError:
        """The error for a record that was changed after it was written."""
        return ConfigError(
            f"the recording {self.path} has a record that something else changed", hint="record into another file"
        )

    def close(self) -> None:
        """Sync everything to disk, and release the file for others. May be called twice."""
        with self._lock:
            if self._fd is not None and self.writes:
                sync(self._fd)
            self._fd = None
            self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, line: bytes) -> None:
        assert self._fd is not None, "a closed recording takes nothing more"
        try:
            write_all(self._fd, line)
            if time.monotonic() - self._synced > _SYNC:
                sync(self._fd)
                self._synced = time.monotonic()
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"the recording {self.path} can't be written: {why}", hint="make room, then run the same command again"
            ) from None
        self._end += len(line)

    def _bytes(self, place: int, length: int) -> bytes:
        assert self._fd is not None, "a closed recording can't be read"
        content = bytearray()
        os.lseek(self._fd, place, os.SEEK_SET)
        while len(content) < length:
            piece = os.read(self._fd, length - len(content))
            if not piece:
                raise ConfigError(f"the recording {self.path} became shorter while it was read", hint="record it anew")
            content += piece
        return bytes(content)


def _line(record: Mapping[str, Any]) -> bytes:
    # ASCII, because an answer may contain half of a surrogate pair. A log-probability may be minus infinity, which JSON
    # lacks but Python writes and reads.
    return json.dumps(record).encode("ascii") + b"\n"


def _parsed(line: bytes, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise ConfigError(f"{where}: this is not JSON", hint="record anew into another file") from None


def _taken(path: Path) -> NoReturn:
    raise ConfigError(f"another process records into {path}", hint="wait for it to end, or name another file")
