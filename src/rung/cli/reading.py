"""Reading what the user named, within the time that they gave, and saying what is waited for."""

from __future__ import annotations

import os
import select
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rung.errors import ConfigError, RungError
from rung.files import demand_size, full, read_bounded, unreadable
from rung.limits import Cancel, Deadline

if TYPE_CHECKING:
    from rung.cli.output import Output

T = TypeVar("T")
PROMPT_MOST = 32 << 20
"""Bytes of one part of a prompt: eight times what the longest context of today takes."""
_CHUNK = 1 << 16
_SILENT = 1.0
"""Seconds until the user is told what the command waits for. An ordinary pipe has ended by then."""


class TimeUp(RungError):
    """The user's time limit passed before anything was asked."""


class Patience:
    """The time that a command may take to prepare, counted from the making of this object.

    Args:
        seconds: the user's time limit; `None` sets none.
        output: where to say what the command waits for.
        cancel: ends the wait.
    """

    def __init__(self, seconds: float | None, output: Output, cancel: Cancel) -> None:
        self._seconds = seconds
        self._began = time.monotonic()
        self._output = output
        self._cancel = cancel
        self._doing = "starting"
        self._hint = ""
        self.deadline = Deadline.after(seconds)

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def run(self, prepare: Callable[[], T]) -> T:
        """Call `prepare` on a separate thread, which is abandoned at the time limit.

        Args:
            prepare: may block anywhere: in a pipe, in a file system that doesn't respond, in a module of the user's.

        Raises:
            TimeUp: the time limit passed first.
            Cancelled: the flag was set.
        """
        from rung import threads

        try:
            return threads.run(prepare, self.deadline, self._cancel)
        except threads.Abandoned:
            raise TimeUp(
                f"{self._doing} took more than {self._seconds:g} s, so nothing was asked",
                hint=f"{self._hint}give more with --max-seconds",
            ) from None

    def doing(self, what: str, hint: str = "") -> None:
        """Name the current step, for the error.

        Args:
            what: as in "reading stdin".
            hint: how to make it end, as an imperative clause.
        """
        self._doing, self._hint = what, f"{hint}, or " if hint else ""

    @contextmanager
    def waiting(self, what: str, hint: str) -> Iterator[None]:
        """A block that reads something which another program has to end. After a second the user is told.

        Args:
            what: what is being read.
            hint: how to make it end, as an imperative clause.
        """
        self.doing(f"reading {what}", hint)
        timer = threading.Timer(_SILENT, self._output.say, [f"rung: waiting for {what} to end; {hint}"])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def read_stdin(patience: Patience) -> bytes:
    """All of stdin; empty if it is closed.

    Raises:
        ConfigError: it can't be read, or is longer than any prompt.
    """
    if sys.stdin is None:
        return b""
    try:
        fd = sys.stdin.fileno()
    except (OSError, ValueError):  # a program that embeds rung replaced it
        content: bytes = sys.stdin.buffer.read(PROMPT_MOST + 1)
        demand_size("stdin", len(content), PROMPT_MOST, "what is piped in through")
        return content
    with patience.waiting("stdin", "close it, or leave it alone with < /dev/null"):
        try:
            if not _may_be_read(fd):
                return b""
            # Not read through `sys.stdin`: a thread that still waits would hold the lock that the exit needs.
            return _drained(fd, "stdin", "what is piped in through")
        except OSError as error:
            raise unreadable("stdin", "what is piped in through", error) from None


def read_file(name: str, patience: Patience) -> bytes:
    """Read a prompt's file, or a pipe as a shell makes one from `<(command)`.

    Args:
        name: its path.
        patience: limits the wait for a pipe, which another program has to end.

    Raises:
        ConfigError: it can't be read, is neither a file nor a pipe, or is longer than any prompt.
    """
    what = "the file"
    path = full(name, what)
    if str(path) == os.devnull:
        return b""
    patience.doing(f"reading {name}")
    try:
        if not stat.S_ISFIFO(path.stat().st_mode):
            return read_bounded(path, PROMPT_MOST, what)
        with patience.waiting(f"the pipe {name}", "check that its other end is written to and closed"):
            fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            try:
                return _drained(fd, name, what)
            finally:
                os.close(fd)
    except (OSError, ValueError) as error:
        raise unreadable(path, what, error) from None


def read_small(path: Path, limit: int, what: str, patience: Patience) -> bytes:
    """Read an ordinary file that an option names.

    Args:
        path: as the user wrote it.
        limit: the largest size in bytes.
        what: what the file is, for the error: `the schema`.
        patience: told what is being read.

    Raises:
        ConfigError: it can't be read, is larger, or isn't an ordinary file.
    """
    patience.doing(f"reading {what} {path}")
    return read_bounded(full(path, what), limit, what)


def text_of(content: bytes, name: str) -> str:
    """Decode what was read as text for a model.

    Raises:
        ConfigError: it isn't UTF-8, or contains a NUL.
    """
    from rung.parsing import decode

    text = decode(content, name)
    at = content.find(b"\0")
    if at >= 0:
        raise ConfigError(
            f"{name} contains a NUL (byte {at}), so it is not text, or not in UTF-8",
            hint="name a text file, or convert it to UTF-8",
        )
    return text


def _may_be_read(fd: int) -> bool:
    """Whether a descriptor is open for reading. `nohup` and some services give a process one that isn't."""
    if sys.platform == "win32":
        return True
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_WRONLY


def _drained(fd: int, name: str, what: str) -> bytes:
    content = bytearray()
    while True:
        try:
            piece = os.read(fd, _CHUNK)
        except BlockingIOError:  # another process that shares it made it non-blocking
            select.select([fd], [], [])
            continue
        if not piece:
            return bytes(content)
        content += piece
        demand_size(name, len(content), PROMPT_MOST, what)
