"""Whether a worker is still alive. It gives a sign each second, from a thread that native code doesn't hold up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rung.tiers.llama import frames

_LOOK = 0.5
"""Seconds between two looks."""

_LOOK_AT_LOAD = 0.2
"""Seconds between two looks while it loads. A caller with a short deadline has to see that the load makes progress."""

_STOPPED = 4.0
"""Seconds without a sign after which a worker is given up if the system shows it as stopped (SIGSTOP)."""

_SILENCE = 30.0
"""Seconds without a sign after which any worker is given up: ten times as long as the longest call that lets no other
of its threads run (making a grammar for a large vocabulary on a busy machine)."""

_LOADING = 300.0
"""Seconds without a sign that are allowed at the start, when libraries may come from a slow disk."""

_STUCK = 60.0
"""Seconds that it may go on with what it was told to leave. A step only ends after its current operation."""

_MISSED = 1.5 * frames.BEAT
"""Seconds after a sign by which the next one should have come."""


class Pulse:
    """Watches one worker process.

    Silence is counted in looks, not on the clock. A host that was itself stopped, or a machine that slept, finds all
    clocks far ahead, and the signs of life unread.

    Args:
        pid: process id of the worker.
        lost: called when the worker is to be given up, with what it did (a clause that follows its name) and the time
            (on the clock of `time.monotonic`) from which on it can't have heard any call.
        loads: called whenever the load has made progress, with how much of it is done, in [0, 1), and the most bytes of
            memory that the worker has held.
    """

    def __init__(self, pid: int, lost: Callable[[str, float], None], loads: Callable[[float, int], None]) -> None:
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
        """Stop watching."""
        self._over.set()

    def watch(self) -> None:
        """Look until the end, or until the worker is lost."""
        known, silent, done, most_held = -1, 0.0, 0.0, 0
        while not self._over.wait(look := _LOOK if self._loaded else _LOOK_AT_LOAD):
            if not self._loaded:
                now, held = self._load_done()
                if now > done:
                    done, most_held = now, max(held, most_held)
                    self._loads(done, most_held)
            if self._signs != known:
                known, silent = self._signs, 0.0
                if self._stuck > _STUCK:
                    self._lost(f"went on for {_STUCK:g} s with what it was told to leave", self._heard_at - self._stuck)
                    return
                continue
            silent += look
            if silent >= _STOPPED and self._is_stopped():
                # No call can do that to a worker, so none of them is to blame, and all can be asked again.
                self._lost("was stopped and gave no sign of life", float("-inf"))
                return
            most = _SILENCE if self._loaded else _LOADING
            if silent >= most:
                self._lost(f"gave no sign of life for {most:g} s", self._heard_at + _MISSED)
                return

    def _load_done(self) -> tuple[float, int]:
        """How much of the load is done, estimated from the memory and processor time that the worker has taken so far,
        and that memory in bytes.

        It grows towards 1. Nobody can tell where the end is: starting Python and importing libraries is a part of it,
        and llama.cpp calls a file loaded that it has only mapped.
        """
        import psutil

        try:
            process = psutil.Process(self._pid)
            times, held = process.cpu_times(), process.memory_info().rss
        except psutil.Error:
            return 0.0, 0
        return 1 - 1 / (1 + round(times.user + times.system, 1) + held / 2**30), held

    def _is_stopped(self) -> bool:
        import psutil

        try:
            return bool(psutil.Process(self._pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False
