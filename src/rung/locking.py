"""One at a time among processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rung.errors import Cancelled

if TYPE_CHECKING:
    from rung.limits import Cancel

_LOOK_EVERY = 0.1
"""Seconds between two tries to get a lock that somebody else holds. Neither a person nor a disk notices."""


@contextmanager
def locked(
    path: Path,
    *,
    cancel: Cancel | None = None,
    patience: float | None = None,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold the lock that the file `path` stands for. The system releases it when this process ends, however it ends.

    Args:
        path: the lock's file. It is made if it isn't there, and never removed: else two processes could hold two locks.
        cancel: ends the wait.
        patience: longest wait in seconds; `None` waits as long as it takes.
        waiting: called once if somebody else holds the lock.

    Raises:
        Cancelled: `cancel` was set.
        TimeoutError: somebody else held it for longer than `patience`.
        OSError: the file can't be opened.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, mode=0o600, preserve_lock_file=True, poll_interval=_LOOK_EVERY, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        waiting()
        try:
            lock.acquire(-1 if patience is None else patience, cancel_check=None if cancel is None else cancel.is_set)
        except Timeout:
            if cancel is not None and cancel.is_set():
                raise Cancelled("cancelled while waiting for another process that changes the same files") from None
            raise TimeoutError(f"another process holds {path}") from None
    try:
        yield
    finally:
        lock.release()
