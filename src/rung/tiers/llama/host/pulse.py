"""Whether a worker still lives: it gives a sign each second, from a thread that native code doesn't hold up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rung.tiers.llama import frames

_LOOK = 0.5
"""Seconds between two looks."""

_LOOK_AT_LOAD = 0.2
"""The same while it loads: a caller with a short deadline has to see that the load gets on."""

_STOPPED = 4.0
"""Seconds without a sign after which a worker is given up that the system shows as stopped (SIGSTOP)."""

_SILENCE = 30.0
"""Seconds without a sign after which any worker is given up: ten times what the longest call takes that lets no other
thread of it have a turn (making a grammar of a large vocabulary on a busy machine)."""

_LOADING = 300.0
"""The same while it starts, when libraries come from a slow disk."""

_STUCK = 60.0
"""Seconds that it may go on with what it was told to leave: a step ends after the operation that it is at."""

_MISSED = 1.5 * frames.BEAT
"""Seconds after a sign by which another would have come."""


class Pulse:
    """Watches one worker process.

    Silence is counted in looks, not on the clock. A host that was stopped itself, or a machine that slept, finds all
    clocks far ahead, and the signs of life unread.

    Args:
        pid: of the worker.
        lost: is told when the worker is to be given up: what it did, as a clause that goes after its name, and from
            which instant of `time.monotonic` on it can't have heard any call.
        loads: is told how far the load is, in [0, 1), whenever it has got on.
    """

    def __init__(self, pid: int, lost: Callable[[str, float], None], loads: Callable[[float], None]) -> None:
        self._pid = pid
        self._lost = lost
        self._loads = loads
        self._signs = 0
        self._heard_at = time.monotonic()
        self._stuck = 0.0
        self._loaded = False
        self._over = threading.Event()

    def heard(self, frame: frames.Frame) -> None:
        """A frame came from the worker."""
        self._signs += 1
        self._heard_at = time.monotonic()
        if isinstance(frame, frames.Beat):
            self._stuck = frame.stuck
        elif isinstance(frame, frames.Loaded):
            self._loaded = True

    def end(self) -> None:
        """Watch no longer."""
        self._over.set()

    def watch(self) -> None:
        """Look until the end, or until the worker is lost."""
        known, silent, done = -1, 0.0, 0.0
        while not self._over.wait(look := _LOOK if self._loaded else _LOOK_AT_LOAD):
            if not self._loaded and (now := self._load_done()) > done:
                done = now
                self._loads(done)
            if self._signs != known:
                known, silent = self._signs, 0.0
                if self._stuck > _STUCK:
                    self._lost(f"went on for {_STUCK:g} s with what it was told to leave", self._heard_at - self._stuck)
                    return
                continue
            silent += look
            if silent >= _STOPPED and self._is_stopped():
                # No call does that to a worker, so none of them can be blamed, and all can be asked again.
                self._lost("was stopped and gave no sign of life", float("-inf"))
                return
            most = _SILENCE if self._loaded else _LOADING
            if silent >= most:
                self._lost(f"gave no sign of life for {most:g} s", self._heard_at + _MISSED)
                return

    def _load_done(self) -> float:
        """How far the load is, by the memory and the time of a processor that the worker has taken so far.

        It grows towards 1. Where the end is nobody can tell: starting Python and importing libraries is a part of it,
        and llama.cpp calls a file loaded that it has only mapped.
        """
        import psutil

        try:
            process = psutil.Process(self._pid)
            times, held = process.cpu_times(), process.memory_info().rss
        except psutil.Error:
            return 0.0
        return 1 - 1 / (1 + round(times.user + times.system, 1) + held / 2**30)

    def _is_stopped(self) -> bool:
        import psutil

        try:
            return bool(psutil.Process(self._pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False
