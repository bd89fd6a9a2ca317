"""The preparation of one call, which another thread can end, even if a template computes for ever."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_AGAIN = 0.2
"""Seconds after which code that is still running is cut again."""


class Dropped(Exception):
    """Nobody waits for the call any more."""


class Overdue(Exception):
    """Somebody else's code took more time than it was given."""


class _Cut(BaseException):
    """Raised in the middle of somebody else's code, which could catch an `Exception`."""


class Errand:
    """What is done for one call, on one thread, before it can be decoded.

    Python code can be ended at any of its steps, native code can't be ended. So code that tokenizes long texts calls
    `check` between two of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dropped = False
        self._runs = 0
        self._running: int | None = None

    def drop(self) -> None:
        """End it soon, from any thread: nobody waits for the call any more."""
        with self._lock:
            self._dropped = True
            self._cut(self._runs)

    def check(self) -> None:
        """Go on only if somebody waits.

        Raises:
            Dropped: nobody does.
        """
        if self._dropped:
            raise Dropped

    def foreign(self, work: Callable[[], T], most: float) -> T:
        """Run Python code that isn't ours and may never end.

        Args:
            work: the code.
            most: seconds that it gets.

        Raises:
            Dropped: nobody waits for its result any more.
            Overdue: it took longer.
        """
        self._runs += 1
        over = threading.Event()
        # Started before anything can be cut, and told afterwards: a cut in the middle of Python's own locks breaks
        # them.
        threading.Thread(target=self._ring, args=(self._runs, most, over), name="rung-alarm", daemon=True).start()
        try:
            return self._run(work)
        finally:
            over.set()

    def _run(self, work: Callable[[], T]) -> T:
        try:
            try:
                with self._lock:
                    self._running = threading.get_ident()
                self.check()
                return work()
            finally:
                self._settle()
        except _Cut:
            self._settle()
        raise Dropped if self._dropped else Overdue

    def _ring(self, run: int, most: float, over: threading.Event) -> None:
        # A cut that hits a finalizer is swallowed there, so it is repeated until it is noticed.
        while not over.wait(most):
            with self._lock:
                if not over.is_set():
                    self._cut(run)
            most = _AGAIN

    def _cut(self, run: int) -> None:
        """Raise `_Cut` in the thread. With the lock held."""
        if self._running is not None and run == self._runs:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._running), ctypes.py_object(_Cut))

    def _settle(self) -> None:
        """From here on nothing is raised, not even a cut that was sent a moment ago and hasn't arrived."""
        with self._lock:
            self._running = None
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(threading.get_ident()), None)
