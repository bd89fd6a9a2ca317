"""One key at a time from a terminal, or one letter a line from a pipe."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rung.console import is_terminal
from rung.errors import Cancelled, ConfigError
from rung.limits import Cancel, Deadline

_TICK = 0.1
"""Seconds between two checks for an interrupt."""
_LONGEST = 100
"""Bytes of a line, which should have one letter."""


class Keys(Protocol):
    """Where answers come from."""

    terminal: bool

    def next(self, ask: Callable[[], None]) -> str | None:
        """The next key, in lower case; `None` at the end of input.

        Args:
            ask: shows the question. On a terminal, keys pressed before it are dropped, because they answered another
                question.

        Raises:
            Cancelled: the command was interrupted.
        """
        ...


@contextmanager
def keys(cancel: Cancel) -> Iterator[Keys]:
    """The keys of the person at stdin. The end of the block restores the terminal.

    Args:
        cancel: ends the wait.

    Raises:
        ConfigError: the person can't see the questions.
    """
    if not is_terminal(sys.stdin):
        yield _Lines(cancel)
        return
    if not is_terminal(sys.stderr):
        raise ConfigError("the questions are shown on stderr, which is not a terminal", hint="leave stderr alone")
    if sys.platform == "win32":
        yield _Console(cancel)
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        # keys come at once and aren't echoed; Ctrl-C is still a signal
        tty.setcbreak(fd)
        yield _Terminal(fd, cancel)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


class _Terminal:
    terminal = True

    def __init__(self, fd: int, cancel: Cancel) -> None:
        self._fd, self._cancel = fd, cancel

    def next(self, ask: Callable[[], None]) -> str | None:
        import select

        if sys.platform != "win32":
            import termios

            termios.tcflush(self._fd, termios.TCIFLUSH)
        ask()
        while not select.select([self._fd], [], [], _TICK)[0]:
            _go_on(self._cancel)
        pressed = os.read(self._fd, 1)
        # Ctrl-D, or the input has ended
        return None if pressed in (b"", b"\x04") else pressed.decode("ascii", "replace").lower()


class _Console:
    """The console of Windows."""

    terminal = True

    def __init__(self, cancel: Cancel) -> None:
        self._cancel = cancel

    def next(self, ask: Callable[[], None]) -> str | None:
        import msvcrt

        waiting, read = getattr(msvcrt, "kbhit"), getattr(msvcrt, "getwch")  # noqa: B009  typed for Windows alone
        while waiting():
            read()
        ask()
        while not waiting():
            _go_on(self._cancel)
            time.sleep(_TICK)
        pressed = str(read())
        if pressed == "\x03":
            raise Cancelled("interrupted")
        return None if pressed in ("\x04", "\x1a") else pressed.lower()


class _Lines:
    terminal = False

    def __init__(self, cancel: Cancel) -> None:
        self._cancel = cancel
        self._left = b""

    def next(self, ask: Callable[[], None]) -> str | None:
        from rung import threads

        ask()
        while True:
            line = threads.run(self._line, Deadline(), self._cancel)
            if line is None:
                return None
            if line.strip():
                return line.strip().decode("utf-8", "replace").lower()

    def _line(self) -> bytes | None:
        """The next line; `None` at the end. Avoids `sys.stdin`, whose lock the interpreter's exit waits for."""
        while b"\n" not in self._left and len(self._left) <= _LONGEST:
            piece = b"" if sys.stdin is None else os.read(sys.stdin.fileno(), _LONGEST)
            if not piece:
                break
            self._left += piece
        if not self._left:
            return None
        line, _, self._left = self._left.partition(b"\n")
        return line + b"\n"


def _go_on(cancel: Cancel) -> None:
    if cancel.is_set():
        raise Cancelled("interrupted")
