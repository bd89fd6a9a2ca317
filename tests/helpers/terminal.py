"""A pseudo-terminal with a command at its other end."""

from __future__ import annotations

import os
import select
import subprocess
import time
from typing import Protocol

from helpers.warm import Forked

PATIENCE = 120
"""Seconds without a word after which a command counts as hanging."""


class Starts(Protocol):
    """Something that can be started on a terminal."""

    def start(
        self, *arguments: str, stdin: int, stdout: int, stderr: int, session: bool, **env: str
    ) -> Forked | subprocess.Popen[bytes]:
        """Start it in a session of its own, with the terminal that is on stdout; the process."""
        ...


class Session:
    """A command on a terminal of its own: `screen` is all that it wrote there.

    Args:
        program: what is started.
        arguments: of the command.
        stdin: where it is not the terminal.
        stderr: where it is not the terminal.
        columns: of the terminal.
        lines: of the terminal.
        env: variables beside those of the person.
    """

    def __init__(
        self,
        program: Starts,
        *arguments: str,
        stdin: int | None = None,
        stderr: int | None = None,
        columns: int = 80,
        lines: int = 24,
        **env: str,
    ) -> None:
        import termios

        self._master, slave = os.openpty()
        termios.tcsetwinsize(slave, (lines, columns))
        self.screen = b""
        self._process = program.start(
            *arguments,
            stdin=slave if stdin is None else stdin,
            stdout=slave,
            stderr=slave if stderr is None else stderr,
            session=True,
            **{"TERM": "xterm", **env},
        )
        os.close(slave)

    @property
    def pid(self) -> int:
        """The command's process."""
        return self._process.pid

    def until(self, text: bytes) -> None:
        """Read on until `text` has appeared, anew."""
        began, seen = time.monotonic(), len(self.screen)
        while text not in self.screen[seen:]:
            assert time.monotonic() - began < PATIENCE, self.screen
            self._read()

    def type(self, text: bytes) -> None:
        """Press keys."""
        os.write(self._master, text)

    def shown(self, text: bytes) -> str:
        """What the terminal shows of the line with `text`: on each of its places what was written last."""
        line = next(line for line in self.screen.split(b"\n") if text in line)
        places: list[str] = []
        for part in line.decode().rstrip("\r").split("\r"):
            places[: len(part)] = part
        return "".join(places).strip()

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        os.close(self._master)
        return self._process.wait(timeout=PATIENCE)

    def kill(self) -> None:
        """End it where it still runs."""
        self._process.kill()

    def _read(self) -> bool:
        assert select.select([self._master], [], [], PATIENCE)[0], self.screen
        try:
            piece = os.read(self._master, 4096)
        except OSError:  # what Linux says when the other end is closed
            piece = b""
        self.screen += piece
        return bool(piece)


def take_terminal() -> None:
    """Make the terminal on stdout the session's own, so that /dev/tty is there and Ctrl-C reaches the command."""
    import fcntl
    import termios

    fcntl.ioctl(1, termios.TIOCSCTTY, 0)
