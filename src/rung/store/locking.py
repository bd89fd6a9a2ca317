"""A lock between processes. What differs by system is in this file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rung.errors import Cancelled
from rung.limits import Cancel

if sys.platform == "win32":
    import msvcrt

    def _take(fd: int) -> bool:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _give(fd: int) -> None:
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _take(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _give(fd: int) -> None:
        # Closing would not do: a process forked meanwhile has the same open file.
        fcntl.flock(fd, fcntl.LOCK_UN)


@contextmanager
def locked(path: Path, *, cancel: Cancel, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock that the file `path` stands for; the system gives it back when this process ends, however it ends.

    Args:
        path: made if it isn't there, and left there: taking it away would let two processes hold two locks.
        cancel: ends the wait.
        waiting: called once if somebody else holds the lock.

    Raises:
        Cancelled: while waiting.
    """
    with path.open("ab") as file:
        if not _take(file.fileno()):
            waiting()
            while not _take(file.fileno()):
                if cancel.wait(0.1):
                    raise Cancelled("cancelled while waiting for another process that changes the same model")
        try:
            yield
        finally:
            _give(file.fileno())
