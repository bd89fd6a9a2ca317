"""Sharing the numbers of a step out over threads, where that is faster.

numpy and llama.cpp let go of the interpreter while they compute, so several threads do get on at once. But handing out
takes time too, and where llama.cpp's own threads still wait in a loop for the next step, there is no free core. So both
ways are timed, and the faster one is taken.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

MOST = 7
"""Helpers beside the loop's own thread. Each item also takes some microseconds of the interpreter, which only one
thread has at a time, so more of them gain nothing."""

_LEAST = 4
"""Items that are worth handing out: with fewer, a helper wakes up when there is nothing left."""

_NEW = 0.2
_AGAIN = 64
"""The slower way is tried again this often, once in so many times. What else the machine does may have changed."""


class Crew:
    """Does the same to many things, on the caller's thread and some helpers.

    Args:
        helpers: number of threads beside the caller's; 0 does everything on that.
        spawn: starts a thread with that name. It is called at once: threads that are started after llama.cpp was loaded
            share one core.
    """

    def __init__(self, helpers: int, spawn: Callable[[Callable[[], None], str], None]) -> None:
        self._helpers = min(helpers, MOST)
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._done: SimpleQueue[None] = SimpleQueue()
        self._took: dict[tuple[int, bool], float] = {}
        self._turns = itertools.count(1)
        for _ in range(self._helpers):
            spawn(self._help, "rung-rows")

    def each(self, work: Callable[[T], None], items: Sequence[T]) -> None:
        """Do something to each of the items, in any order.

        Args:
            work: what is done. It raises nothing, and may be called on several threads at once.
            items: the things.
        """
        count = len(items)
        shared = bool(self._helpers) and count >= _LEAST and self._shares(count)
        began = time.perf_counter()
        if shared:
            self._share(work, items)
        else:
            for item in items:
                work(item)
        if count >= _LEAST:
            seconds = time.perf_counter() - began
            before = self._took.get((count, shared), seconds)
            self._took[count, shared] = before + _NEW * (seconds - before)

    def _shares(self, count: int) -> bool:
        alone, shared = self._took.get((count, False)), self._took.get((count, True))
        if alone is None or shared is None:
            return alone is not None
        return (shared < alone) != (next(self._turns) % _AGAIN == 0)

    def _share(self, work: Callable[[T], None], items: Sequence[T]) -> None:
        turns = itertools.count()

        def some() -> None:
            # whoever is free takes the next one, so a helper that gets no core holds up one item at most
            while (at := next(turns)) < len(items):
                work(items[at])

        helpers = min(self._helpers, len(items) - 1)
        for _ in range(helpers):
            self._work.put(some)
        some()
        for _ in range(helpers):
            self._done.get()

    def _help(self) -> None:
        while True:
            self._work.get()()
            self._done.put(None)
