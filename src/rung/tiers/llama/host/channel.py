"""A host's hold on a worker process: the streams of frames, and how to end it. One kind is a child with three pipes.
The other is a process that an earlier host left behind, with a socket.
"""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Protocol

from rung import frozen
from rung.tiers.llama.flag import FLAG
from rung.tiers.llama.host import system
from rung.tiers.llama.host.environment import environment

if TYPE_CHECKING:
    import socket

PYTHON = "RUNG_WORKER_PYTHON"


def interpreter(python: str | None = None) -> str | None:
    """The Python that a person chose for workers; `None` is the host's or, where the host is frozen, the app itself.

    Args:
        python: the tier's setting.
    """
    return python or os.environ.get(PYTHON)


class Channel(Protocol):
    """A worker process, and the streams to it.

    `source` has its frames, `errors` what it and its libraries print. `fresh` says whether it has yet to be told what
    to load.
    """

    pid: int
    source: IO[bytes]
    errors: IO[bytes]
    fresh: bool

    def send(self, data: bytes) -> None:
        """Send bytes of frames.

        Raises:
            OSError: nobody reads.
        """

    def hang_up(self) -> None:
        """Send nothing more. Raises nothing."""

    def end(self, patience: float) -> int | None:
        """Wait until the process has ended, and kill it if it doesn't. Returns its exit code; `None` if only its parent
        learns that.

        Args:
            patience: seconds that it gets to end by itself.
        """

    def kill(self) -> None:
        """Kill the process."""

    def let_go(self) -> None:
        """Leave the process to itself."""


class ChildChannel:
    """A worker that this process started.

    Args:
        python: the worker's interpreter; `None` takes this one or, in a frozen app, the app itself.

    Raises:
        NotFreezable: the app is frozen, and has not called `freeze_support`.
        OSError: it can't be started.
    """

    fresh = True

    def __init__(self, python: str | None) -> None:
        self._child = subprocess.Popen(
            [*frozen.command(frozen.WORKER, python), FLAG, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            **system.own_group(),
        )
        system.tie(self._child)
        if self._child.stdin is None or self._child.stdout is None or self._child.stderr is None:
            raise AssertionError("a child with three pipes has them")
        self._sink, self.source, self.errors = self._child.stdin, self._child.stdout, self._child.stderr
        self.pid = self._child.pid

    def send(self, data: bytes) -> None:
        """Send bytes of frames."""
        self._sink.write(data)
        self._sink.flush()

    def hang_up(self) -> None:
        """Close its standard input."""
        with suppress(OSError):
            self._sink.close()

    def end(self, patience: float) -> int:
        """Wait until it has ended, and kill it if it doesn't. Returns its exit code."""
        try:
            return self._child.wait(patience)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._child.wait()

    def kill(self) -> None:
        """Kill it."""
        self._child.kill()

    def let_go(self) -> None:
        """Leave it to itself. If this process is still there at its end, it is reaped."""
        threading.Thread(target=self._child.wait, name="rung-reaper", daemon=True).start()


class SocketChannel:
    """A worker that an earlier host left behind.

    Args:
        sock: the connection.
        source: its frames.
        errors: what it prints.
        pid: its process id.

    Raises:
        psutil.Error: there is no such process.
    """

    fresh = False

    def __init__(self, sock: socket.socket, source: IO[bytes], errors: IO[bytes], pid: int) -> None:
        import psutil

        self.pid, self.source, self.errors = pid, source, errors
        self._sock = sock
        # it knows the process by its start, too, so that another one of the same number isn't killed
        self._process = psutil.Process(pid)

    def send(self, data: bytes) -> None:
        """Send bytes of frames."""
        self._sock.sendall(data)

    def hang_up(self) -> None:
        """Close this direction."""
        import socket  # here, because most hosts have none and need not wait for it

        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def end(self, patience: float) -> None:
        """Wait until it has ended, and kill it if it doesn't."""
        import psutil

        try:
            self._process.wait(patience)
        except psutil.TimeoutExpired:
            self.kill()
        self._sock.close()

    def kill(self) -> None:
        """Kill it."""
        import psutil

        with suppress(psutil.NoSuchProcess):
            self._process.kill()

    def let_go(self) -> None:
        """Leave it to itself."""
        self._sock.close()
