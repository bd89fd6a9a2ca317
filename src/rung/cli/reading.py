"""Reading what a person named, for as long as they gave and no longer, and saying what is waited for."""

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
"""Bytes of one part of a prompt: eight times what the longest context of today holds."""
_CHUNK = 1 << 16
_SILENT = 1.0
"""Seconds until a person is told what is waited for: long enough that an ordinary pipe has ended by then."""


class TimeUp(RungError):
    """The time that the person gave was over before anything was asked."""


class Patience:
    """How long a command prepares, counted from when this is made.

    Args:
        seconds: that the person gave; `None` sets no limit.
        output: where it is said what is waited for.
        cancel: ends it.
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
        """Seconds since then."""
        return time.monotonic() - self._began

    def run(self, prepare: Callable[[], T]) -> T:
        """Call `prepare` on a thread of its own, which is given up when the time is over.

        Args:
            prepare: may block anywhere: in a pipe, in a file system that doesn't answer, in somebody's module.

        Raises:
            TimeUp: the time was over first.
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
        """Say what is being done now, for the error.

        Args:
            what: as in "reading stdin".
            hint: what would make it end, as an imperative clause.
        """
        self._doing, self._hint = what, f"{hint}, or " if hint else ""

    @contextmanager
    def waiting(self, what: str, hint: str) -> Iterator[None]:
        """While something is read that somebody else has to end: tell the person after a second.

        Args:
            what: is read.
            hint: what would make it end, as an imperative clause.
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
    """All of stdin; nothing where it is closed.

    Raises:
        ConfigError: it can't be read, or is longer than any prompt.
    """
    if sys.stdin is None:
        return b""
    try:
        fd = sys.stdin.fileno()
    except (OSError, ValueError):  # a program that has us in it put something else there
        content: bytes = sys.stdin.buffer.read(PROMPT_MOST + 1)
        demand_size("stdin", len(content), PROMPT_MOST, "what is piped in through")
        return content
    with patience.waiting("stdin", "close it, or leave it alone with < /dev/null"):
        try:
            if not _may_be_read(fd):
                return b""
            # Not through `sys.stdin`, whose lock the interpreter would want at its end from a thread that still waits.
            return _drained(fd, "stdin", "what is piped in through")
        except OSError as error:
            raise unreadable("stdin", "what is piped in through", error) from None


def read_file(name: str, patience: Patience) -> bytes:
    """A file that the person at the command line named as a prompt, or a pipe, as a shell makes of `<(command)`.

    Args:
        name: its path.
        patience: for a pipe, which has somebody else at its other end.

    Raises:
        ConfigError: it can't be read, is neither file nor pipe, or is longer than any prompt.
    """
    what = "the file"
    path = full(name, what)
    if str(path) == os.devnull:
        return b""
    patience.doing(f"reading {name}")
    try:
        if not stat.S_ISFIFO(path.stat().st_mode):
            return read_bounded(path, PROMPT_MOST, what)
        with patience.waiting(f"the pipe {name}", "see that its other end is written to and closed"):
            fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            try:
                return _drained(fd, name, what)
            finally:
                os.close(fd)
    except (OSError, ValueError) as error:
        raise unreadable(path, what, error) from None


def read_small(path: Path, limit: int, what: str, patience: Patience) -> bytes:
    """An ordinary file that an option names.

    Args:
        path: as it was written.
        limit: in bytes.
        what: what the file is, for the error: `the schema`.
        patience: is told what is read.

    Raises:
        ConfigError: it can't be read, is larger, or not an ordinary file.
    """
    patience.doing(f"reading {what} {path}")
    return read_bounded(full(path, what), limit, what)


def text_of(content: bytes, name: str) -> str:
    """What was read as text for a model.

    Raises:
        ConfigError: it is not UTF-8, or holds a NUL.
    """
    from rung.parsing import decode

    text = decode(content, name)
    at = content.find(b"\0")
    if at >= 0:
        raise ConfigError(
            f"{name} holds a NUL (byte {at}), so it is not text, or not in UTF-8",
            hint="name a text file, or convert it to UTF-8",
        )
    return text


def _may_be_read(fd: int) -> bool:
    """Whether a descriptor is open for reading: `nohup` and some services put one there that isn't."""
    if sys.platform == "win32":
        return True
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_WRONLY


def _drained(fd: int, name: str, what: str) -> bytes:
    content = bytearray()
    while True:
        try:
            piece = os.read(fd, _CHUNK)
        except BlockingIOError:  # somebody who shares it made it so
            select.select([fd], [], [])
            continue
        if not piece:
            return bytes(content)
        content += piece
        demand_size(name, len(content), PROMPT_MOST, what)
