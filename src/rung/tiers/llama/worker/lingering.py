"""What keeps a worker without a host: a socket for the next one, and reasons to end.

One thread keeps the socket, from the first time that the worker was left behind to its end. It also answers while a
host has the worker, so that others learn that it is taken.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, NoReturn

from rung.files import fingerprint
from rung.locking import locked
from rung.tiers.llama.headroom import strained
from rung.tiers.llama.rendezvous import connect, listen, own_folder, peer, socket_of, sockets
from rung.tiers.llama.residents import Residents
from rung.tiers.llama.visits import Lingering, NotAVisit, Visit, receive, send
from rung.tiers.llama.worker import system

if TYPE_CHECKING:
    import psutil

_LOOK = 2.0
"""Seconds between two looks for a reason to end. An idle machine has no load by that."""

_PATIENCE = 1.0
"""Seconds that a visitor gets to say what it wants, while others wait."""

_LOCK_PATIENCE = 0.2
"""Seconds to wait for the folder's lock. The host that leaves waits, too."""

_WEDGED = 60
"""Seconds without a look after which the kernel ends the process. A host would have noticed, and there may be none."""

_OURS = ("rung", "llama_cpp", "llguidance")


class MadeOf:
    """The files that a worker is made of: its model, and the modules and libraries that it has loaded by now.

    Args:
        model: path of the model.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        modules = [m for name, m in list(sys.modules.items()) if name.partition(".")[0] in _OURS]
        places = {place for m in modules if (place := getattr(m, "__file__", None))}
        libraries = {str(it) for m in modules if m.__name__ in _OURS for it in _libraries(m.__file__)}
        self._first = {place: fingerprint(place) for place in (model, *places, *libraries)}

    @property
    def model_changed(self) -> bool:
        """Whether the model's file is gone, or another one."""
        return fingerprint(self.model) != self._first[self.model]

    @property
    def changed(self) -> bool:
        """Whether any of the files is gone, or another one."""
        return any(fingerprint(place) != first for place, first in self._first.items())


def _libraries(package: str | None) -> list[Path]:
    return [] if package is None else [*Path(package).parent.glob("lib/*")]


class Vigil:
    """Waits for the next host, and ends the process when there is a reason to.

    Args:
        key: hash of all that the worker is made of, as its first host computed it.
        name: the model's name in its file.
        made_of: files that it is made of.
        spawn: starts a thread with that name.

    Raises:
        OSError: another worker with this key lingers, or the socket can't be made.
    """

    def __init__(self, key: str, name: str, made_of: MadeOf, spawn: Callable[[Callable[[], None], str], None]) -> None:
        self._key = key
        self._name = name
        self._made_of = made_of
        self._path = socket_of(key)
        self._listener = _listen(self._path)
        self._place = _socket_at(self._path)
        self._hosts: SimpleQueue[tuple[socket.socket, int]] = SimpleQueue()
        self._lock = threading.Lock()
        self._until: float | None = None
        self._host: psutil.Process | None = None
        self._leaves = False
        spawn(self._keep, "rung-vigil")

    def begin(self, seconds: float) -> None:
        """From now on, the next host may come.

        Args:
            seconds: how long to wait for it.
        """
        with self._lock:
            self._host, self._until = None, time.monotonic() + seconds
        self._end_if_needless()

    def next_host(self) -> tuple[socket.socket, int]:
        """The next host's connection, and the descriptor for what native libraries print."""
        return self._hosts.get()

    def end(self) -> NoReturn:
        """End the process. Nobody finds it any more."""
        self._hide()
        os._exit(0)

    def _hide(self) -> None:
        with suppress(OSError):
            if _socket_at(self._path) == self._place:
                self._path.unlink()

    def _keep(self) -> None:
        while True:
            system.end_within(_WEDGED)
            left = _LOOK if self._until is None else self._until - time.monotonic()
            # What isn't above 0 would not wait at all, and raise another error.
            self._listener.settimeout(max(0.001, min(_LOOK, left)))
            with suppress(TimeoutError):
                sock, _ = self._listener.accept()
                self._answer(sock)
            self._end_if_needless()

    def _end_if_needless(self) -> None:
        """Look for a reason to end."""
        with self._lock:
            until, host = self._until, self._host
        if until is None:
            # End of file says so first, unless another process holds the same socket.
            if host is not None and not host.is_running():
                self.end()
        elif (
            self._leaves
            or time.monotonic() >= until
            or _socket_at(self._path) != self._place  # as at logout, when the folder goes
            or self._made_of.model_changed
            or strained(Residents().memory())
        ):
            self.end()

    def _answer(self, sock: socket.socket) -> None:
        sock.settimeout(_PATIENCE)
        try:
            visitor = peer(sock)
            visit, descriptors = receive(sock)
        except (OSError, NotAVisit):
            sock.close()
            return
        if visit.wish == "take":
            fits = visit.key == self._key and len(descriptors) == 1 and self._until is not None and not self._leaves
            ends = fits and self._made_of.changed
            if fits and not ends:
                with self._lock:
                    self._until, self._host = None, _process(visitor.pid)
                sock.settimeout(None)
                self._hosts.put((sock, descriptors[0]))
                return
        else:
            said, ends = self._said(visit)
            with suppress(OSError):
                send(sock, said)
        for descriptor in descriptors:
            os.close(descriptor)
        sock.close()
        if ends:
            self.end()

    def _said(self, visit: Visit) -> tuple[Lingering, bool]:
        """What to answer, and whether to end then."""
        idle = self._until is not None
        if visit.wish == "leave" or (visit.wish == "leave if idle" and idle):
            self._leaves = True
            self._hide()
        left = None if self._until is None else max(0.0, self._until - time.monotonic())
        return Lingering(os.getpid(), self._name, self._made_of.model, left, leaves=self._leaves), self._leaves and idle


def _listen(path: Path) -> socket.socket:
    """Listen at a path, once nobody else does. Sockets of workers that were killed are removed.

    Raises:
        OSError: somebody does, or it can't be done.
    """
    folder = own_folder()
    with locked(folder / "lock", patience=_LOCK_PATIENCE):
        for other in sockets():
            try:
                connect(other).close()
            except ConnectionRefusedError:
                other.unlink(missing_ok=True)
            except OSError:
                continue
        return listen(path)


def _socket_at(path: Path) -> tuple[int, int] | None:
    """Which socket is at a path; `None` if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _process(pid: int | None) -> psutil.Process | None:
    import psutil

    if pid is None:
        return None
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None
