"""Commands in processes of their own that are forked from an interpreter with its imports behind it.

A new interpreter spends nearly all of a short command's time on importing. See `warm_server` for what is forked.
"""

from __future__ import annotations

import io
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

SERVER = Path(__file__).with_name("warm_server.py")
RESIDENT = Path(__file__).with_name("resident.py")
HANGS = 120.0
"""Seconds after which a command counts as hanging; each takes less than one."""
PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL


class Forked:
    """A command that runs, as `subprocess.Popen` shows one.

    `stdin`, `stdout` and `stderr` are `None` where they are no pipes.
    """

    def __init__(self, status: int, pipes: Sequence[io.FileIO | None], args: Sequence[str]) -> None:
        self._status = status
        self.stdin, self.stdout, self.stderr = pipes
        self.args = args
        told = b""
        while not told.endswith(b" "):
            piece = os.read(status, 1)
            assert piece, "the warm interpreter has ended"
            told += piece
        self.pid = int(told)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, `None` while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float = HANGS) -> int:
        """The exit code, once it has ended."""
        if self.returncode is None:
            if not _ready(self._status, timeout):
                raise subprocess.TimeoutExpired([*self.args], timeout)
            self.returncode = int(os.read(self._status, 16))
            os.close(self._status)
        return self.returncode

    def communicate(self, content: bytes = b"", timeout: float = HANGS) -> tuple[bytes, bytes]:
        """Write `content` to its stdin, read what it says to the end, and wait."""
        said: dict[Any, bytearray] = {pipe: bytearray() for pipe in (self.stdout, self.stderr) if pipe is not None}
        until = time.monotonic() + timeout
        if not _converse(self.stdin, content, said, until):
            raise subprocess.TimeoutExpired([*self.args], timeout)
        self.wait(max(0.0, until - time.monotonic()))
        out, err = (bytes(said.get(pipe, b"")) for pipe in (self.stdout, self.stderr))
        return out, err

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        self.wait()


class Warm:
    """The interpreter that commands are forked from. It ends with the block.

    Args:
        env: its environment. What an interpreter reads of it at its start holds for each command: `PYTHONPATH`,
            `PYTHONWARNINGS`, the locale.
        modules: imported beforehand. None that reads the environment meanwhile, which is the command's own.
        options: of the interpreter.
        ready: Python that is run once, behind the imports.
    """

    def __init__(
        self, env: Mapping[str, str], modules: Sequence[str], options: Sequence[str] = (), ready: str = ""
    ) -> None:
        self._resident: tuple[socket.socket, Forked] | None = None
        self._orders, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *options, str(SERVER), str(theirs.fileno()), ready, *modules],
                env={**env},
                stdin=DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str],
        module: str = "",
        code: str = "",
        stdin: int | IO[bytes] = PIPE,
        stdout: int | IO[bytes] = PIPE,
        stderr: int | IO[bytes] = PIPE,
        session: bool = False,
        here: bool = False,
    ) -> Forked:
        """Start a command.

        Args:
            arguments: `sys.argv` of it; without `module` and `code` the first is the program.
            folder: where it works.
            env: its environment.
            module: is run as `python -m` does.
            code: is run as `python -c` does.
            stdin: `PIPE`, `DEVNULL`, or a file or descriptor, which stays open here; as `stdout` and `stderr`.
            session: whether it begins a session of its own, with the terminal on stdout, if there is one.
            here: whether it is run by an interpreter that stays, which `resident` is, instead of a process of its own.
                The module is rung, and the command before has ended.
        """
        wanted = [it if isinstance(it, int) else it.fileno() for it in (stdin, stdout, stderr)]
        pipes = [os.pipe() if it == PIPE else None for it in wanted]
        opened = [os.open(os.devnull, os.O_RDWR) if it == DEVNULL else None for it in wanted]
        theirs = [pair[number > 0] if pair else None for number, pair in enumerate(pipes)]
        ours = [io.FileIO(pair[number == 0], "w" if number == 0 else "r") if pair else None
                for number, pair in enumerate(pipes)]  # fmt: skip
        given = [next(it for it in three if it is not None) for three in zip(theirs, opened, wanted, strict=True)]
        order_read, order_write = os.pipe()
        status_read, status_write = os.pipe()
        orders = self._residents() if here else self._orders
        socket.send_fds(orders, [b"x"], [order_read, status_write, *given])
        for descriptor in (order_read, status_write, *theirs, *opened):
            if descriptor is not None:
                os.close(descriptor)
        order = {"arguments": [*arguments], "folder": str(folder), "env": {**env}, "module": module, "code": code}
        with os.fdopen(order_write, "wb") as file:
            file.write(json.dumps({**order, "session": session}).encode())
        return Forked(status_read, ours, arguments)

    def _residents(self) -> socket.socket:
        """Where the interpreter that stays takes its orders. One that was killed is made anew."""
        if self._resident is None or self._resident[1].poll() is not None:
            if self._resident is not None:
                self._resident[0].close()
            ours, theirs = socket.socketpair()
            with theirs:
                process = self.start(
                    [str(RESIDENT)],
                    folder=RESIDENT.parent,
                    env={**os.environ},
                    stdin=theirs.fileno(),
                    stdout=DEVNULL,
                    stderr=2,
                )
            self._resident = ours, process
        return self._resident[0]

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *_: object) -> None:
        if self._resident is not None:
            orders, process = self._resident
            orders.close()
            process.wait()
        self._orders.close()
        self._process.wait(HANGS)


def _ready(descriptor: int, timeout: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(timeout))


def _converse(stdin: io.FileIO | None, content: bytes, said: Mapping[io.FileIO, bytearray], until: float) -> bool:
    """Write `content`, and read each pipe to its end; whether that came in time."""
    left = memoryview(content)
    with selectors.DefaultSelector() as selector:
        if stdin is not None and not stdin.closed:
            os.set_blocking(stdin.fileno(), False)
            selector.register(stdin, selectors.EVENT_WRITE)
        for pipe in said:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, until - time.monotonic()))
            if not ready:
                return False
            for key, _ in ready:
                if key.fileobj is stdin:
                    left = _written(key.fd, left)
                    if not left:
                        selector.unregister(stdin)
                        stdin.close()
                elif piece := os.read(key.fd, 1 << 16):
                    said[key.fileobj].extend(piece)  # type: ignore[index]
                else:
                    selector.unregister(key.fileobj)
    return True


def _written(descriptor: int, left: memoryview) -> memoryview:
    """Write what a pipe takes; what is left. Nothing where its reader has gone."""
    try:
        return left[os.write(descriptor, left) :] if left else left
    except BrokenPipeError:
        return left[:0]
