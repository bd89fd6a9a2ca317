"""How many threads decode: one for each core that no other program keeps busy, checked again and again.

A step waits for its slowest thread. On a core that is shared with another program, a thread gets half the time or less.
So one thread too few is faster than one too many.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

EVERY = 0.5
"""Seconds between two checks: long enough for the kernel's clock ticks of 10 ms to mean something."""

_BUSY = 0.4
"""Share of a core that others may use before it no longer counts as free."""


class Threads(Protocol):
    """Says how many threads the next step should have."""

    def now(self) -> int:
        """The number, at least 1. It is asked for before each step, so it must be quick."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the number that the person named.

    Args:
        count: at least 1.
    """

    count: int

    def now(self) -> int:
        """That number."""
        return self.count


@dataclass(frozen=True, slots=True)
class ProcessorLoad:
    """Processor time since some moment in the past, in seconds of one core.

    Args:
        all: time that every process got on the cores that this one may use.
        own: time that this process got.
    """

    all: float
    own: float


class Free:
    """One thread for each core that other programs leave free.

    Make it before llama.cpp is loaded. Under `OMP_PROC_BIND` llama.cpp ties the loading thread to a single core, and
    then the question which cores this process may use has the wrong answer.

    Args:
        most: number on a quiet machine.
        load: returns the processor time so far.
        clock: returns seconds.
    """

    def __init__(
        self, most: int, load: Callable[[], ProcessorLoad] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = self._count = most
        self._load = load or meter()
        self._clock = clock
        self._at = clock()
        self._seen = self._load()

    def anew(self) -> None:
        """Forget what was measured: a host that has just started kept a core busy until now, and waits from now on."""
        self._count, self._at, self._seen = self._most, self._clock(), self._load()

    def now(self) -> int:
        """The last answer, or a new one if that is older than half a second."""
        at = self._clock()
        if at - self._at >= EVERY:
            seen = self._load()
            taken = (seen.all - self._seen.all) - (seen.own - self._seen.own)
            busy = int(max(0.0, taken / (at - self._at)) + 1 - _BUSY)
            self._count = max(1, self._most - busy)
            self._at, self._seen = at, seen
        return self._count


def free_cores() -> int:
    """Physical cores that this process may run on.

    Ask before llama.cpp is loaded: under `OMP_PROC_BIND` it ties the loading thread to a single core.
    """
    import psutil

    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


def sample(most: int, seconds: float = EVERY) -> int:
    """How many cores are free, measured for `seconds`.

    Args:
        most: number on a quiet machine.
        seconds: at least `EVERY`.
    """
    threads = Free(most)
    time.sleep(seconds)
    return threads.now()


def meter() -> Callable[[], ProcessorLoad]:
    """A function that tells how much time the cores of this process have given, and how much of it was its own."""
    import psutil

    cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else None

    def read() -> ProcessorLoad:
        each = psutil.cpu_times(percpu=True)
        mine = each if cores is None else [each[core] for core in cores if core < len(each)]
        # `guest` is part of `user` already. `steal` is another machine's, and fewer threads would not give it back.
        return ProcessorLoad(sum(t.user + t.system + getattr(t, "nice", 0.0) for t in mine), time.process_time())

    return read
