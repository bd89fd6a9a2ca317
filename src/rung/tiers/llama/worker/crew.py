"""Sharing the answers of a step out over threads, where that is faster.

numpy, llama.cpp and llguidance let go of the interpreter while they compute, so several threads get on at once. But
handing out takes time too, and where llama.cpp's own threads still wait in a loop for the next step, there is no free
core. So both ways are timed, and the faster one is taken.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

MOST = 3
"""Helpers beside the loop's own thread. Each item also takes some microseconds of the interpreter, which only one
thread has at a time. Beside a GPU, 64 rows took 10.3 ms alone, 6.0 with three helpers, and 9.4 with seven."""

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
        self._took: dict[tuple[int, bool], float] = {}
        self._turns = itertools.count(1)
        for _ in range(self._helpers):
            spawn(self._help, "rung-crew")

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
        finished: SimpleQueue[None] = SimpleQueue()

        def some() -> None:
            # whoever is free takes the next one
            while (at := next(turns)) < len(items):
                work(items[at])
                finished.put(None)

        for _ in range(min(self._helpers, len(items) - 1)):
            self._work.put(some)
        some()
        # Items are waited for, not helpers: one that gets no core before everything is done isn't needed.
        for _ in items:
            finished.get()

    def _help(self) -> None:
        while True:
            self._work.get()()
