"""Which requests somebody still waits for, known to all threads of a worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence


class Calls:
    """Which requests somebody still waits for; shared by the threads of a worker.

    `abort` stops the running step. It is set once the model is loaded. Before that there are no steps.
    """

    def __init__(self) -> None:
        self.abort: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._live: dict[int, int] = {}
        self._running: frozenset[int] = frozenset()
        self._aborted_at: float | None = None

    def add(self, request: int, answers: int = 1) -> None:
        """A request for so many answers came in."""
        with self._lock:
            self._live[request] = answers

    def done(self, request: int) -> None:
        """One of the answers is complete."""
        with self._lock:
            self._live[request] = left = self._live.get(request, 1) - 1
            if not left:
                del self._live[request]

    def drop(self, request: int) -> None:
        """Nobody waits any more. A step that now works for nobody is stopped. Other steps just end."""
        with self._lock:
            self._live.pop(request, None)
            if self.abort is not None and self._running and self._running.isdisjoint(self._live):
                self.abort()
                if self._aborted_at is None:
                    self._aborted_at = time.monotonic()

    def live(self) -> tuple[int, ...]:
        """The requests that somebody waits for."""
        with self._lock:
            return tuple(self._live)

    def stuck(self) -> float:
        """Seconds for which a step has gone on after it was told to stop; 0 if there is no such step."""
        with self._lock:
            return 0.0 if self._aborted_at is None else time.monotonic() - self._aborted_at

    def __contains__(self, request: int) -> bool:
        with self._lock:
            return request in self._live

    def __len__(self) -> int:
        """How many requests are alive."""
        with self._lock:
            return len(self._live)

    def start(self, requests: Sequence[int], resume: Callable[[], None]) -> bool:
        """A step begins for these requests; `False` if nobody waits for any of them.

        Args:
            requests: requests whose tokens are in the step.
            resume: takes back an earlier abort, before anybody can ask for the next one.
        """
        with self._lock:
            resume()
            self._aborted_at = None
            self._running = frozenset(requests)
            return not self._running.isdisjoint(self._live)

    def stop(self) -> None:
        """The step is over."""
        with self._lock:
            self._running = frozenset()
            self._aborted_at = None
