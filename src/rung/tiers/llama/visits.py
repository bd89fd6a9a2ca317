"""What is said to a worker that lingers before it has a host again: one `Visit`, and its answer, each a line of JSON.

A visit that takes the worker over brings a descriptor along, for what native libraries print. `frames` follow then.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from rung.tiers.llama.rendezvous import connect, sockets

Wish = Literal["take", "look", "leave", "leave if idle"]

_LONGEST = 16 * 1024
"""Bytes of a line: more than the longest path takes."""


_PATIENCE = 5.0
"""Seconds to wait for the end of a worker that was told to leave: a tenth is enough, except on a busy machine."""


class NotAVisit(Exception):
    """The other side sent something else."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What somebody wants of a worker that lingers.

    Args:
        wish: to have it, to know what it is, or to end it: at once or, if a command has it, behind that command or not
            at all.
        key: hash of all that the worker has to be made of.
    """

    wish: Wish
    key: str = ""


@dataclass(frozen=True, slots=True)
class Lingering:
    """What a worker that lingers says of itself.

    Args:
        pid: its process id.
        model: the model's name in its file.
        path: of the model's file.
        left: seconds until it ends if nobody needs it; `None` while a command has it.
        leaves: whether it ends, at once or behind that command.
    """

    pid: int
    model: str
    path: str
    left: float | None
    leaves: bool = False


def lingering() -> tuple[Lingering, ...]:
    """The workers of this user that linger, or that were taken over and may linger again."""
    return tuple(answer for path in sockets() if (answer := _ask(path, "look")) is not None)


def dismiss(*, idle: bool = False) -> tuple[Lingering, ...]:
    """End them, and wait until those are gone that no command has. Returns those that end.

    Args:
        idle: whether to leave alone those that a command has. Otherwise they end together with that command.
    """
    import psutil

    answers = [_ask(path, "leave if idle" if idle else "leave") for path in sockets()]
    found = tuple(answer for answer in answers if answer is not None and answer.leaves)
    ending = []
    for worker in found:
        with suppress(psutil.Error):
            if worker.left is not None:
                ending.append(psutil.Process(worker.pid))
    psutil.wait_procs(ending, timeout=_PATIENCE)
    return found


def _ask(path: Path, wish: Wish) -> Lingering | None:
    """What the worker behind a socket answers; `None` if there is none, or it says nothing."""
    with suppress(OSError, NotAVisit), connect(path) as sock:
        send(sock, Visit(wish))
        line, _ = _line(sock)
        said = _values(line)
        pid, left = said.get("pid"), said.get("left")
        if isinstance(pid, int):
            seconds = float(left) if isinstance(left, int | float) else None
            return Lingering(
                pid, str(said.get("model")), str(said.get("path")), seconds, leaves=bool(said.get("leaves"))
            )
    return None


def send(sock: socket.socket, said: Visit | Lingering, descriptors: Sequence[int] = ()) -> None:
    """Say it.

    Args:
        sock: connected to the other side.
        said: what.
        descriptors: what goes with it.

    Raises:
        OSError: nobody listens.
    """
    line = json.dumps(asdict(said)).encode() + b"\n"
    sent = socket.send_fds(sock, [line], list(descriptors)) if descriptors else 0
    # Even nothing more to send is an error to a socket whose other side has answered and closed by now.
    if rest := line[sent:]:
        sock.sendall(rest)


def receive(sock: socket.socket) -> tuple[Visit, tuple[int, ...]]:
    """The visit, and what came with it, which the caller has to close.

    Raises:
        NotAVisit: it is something else.
        OSError: nothing came in time.
    """
    line, descriptors = _line(sock)
    try:
        said = _values(line)
        wish, key = said.get("wish"), said.get("key")
        if wish not in get_args(Wish) or not isinstance(key, str):
            raise NotAVisit
        return Visit(cast("Wish", wish), key), descriptors
    except NotAVisit:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def _line(sock: socket.socket) -> tuple[bytes, tuple[int, ...]]:
    """One line, and the descriptors that came with it. Nothing is read of what follows."""
    line, descriptors = b"", []
    try:
        while not line.endswith(b"\n"):
            data, more, *_ = socket.recv_fds(sock, 1 if line else 4096, 1)
            descriptors += more
            line += data
            if not data or len(line) > _LONGEST:
                raise NotAVisit
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return line, tuple(descriptors)


def _values(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        raise NotAVisit from None
    if not isinstance(said, dict):
        raise NotAVisit
    return said
