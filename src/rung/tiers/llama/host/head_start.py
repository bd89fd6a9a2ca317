"""An interpreter for a worker that starts before anybody has imported what the host needs to speak to it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from rung.tiers.llama.host.channel import ChildChannel

_PATIENCE = 1.0
"""Seconds that an interpreter gets to end that nobody had a model for."""


class HeadStart:
    """Starts a worker's interpreter on a thread of its own, which then does the work of whoever takes it over.

    The two stay together because Linux ends a worker with the *thread* that started it. That thread is `thread`.

    Args:
        name: of the thread.
        python: the worker's interpreter; `None` takes this one or, in a frozen app, the app itself.
    """

    def __init__(self, name: str, python: str | None) -> None:
        self._python = python
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._claimed = threading.Lock()
        self._started: ChildChannel | Exception | None = None
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def claim(self) -> bool:
        """Whether it is still to be had. It is had once."""
        return self._claimed.acquire(blocking=False)

    def keep(self, work: Callable[[], None]) -> None:
        """Have the thread do this work, within which `take` gives the interpreter.

        Args:
            work: the work of whoever claimed it.
        """
        self._work.put(work)

    def take(self) -> ChildChannel:
        """The interpreter. It can be taken once.

        Raises:
            NotFreezable: the app is frozen, and has not called `freeze_support`.
            OSError: it can't be started.
        """
        started, self._started = self._started, None
        if isinstance(started, Exception):
            raise started
        if started is None:
            raise AssertionError("an interpreter is taken once, on its own thread")
        return started

    def drop(self) -> None:
        """Let it end if nobody claimed it."""
        if self.claim():
            self._work.put(None)

    def _run(self) -> None:
        try:
            self._started = ChildChannel(self._python)
        except Exception as error:  # noqa: BLE001  whoever takes it over says what is wrong
            self._started = error
        work = self._work.get()
        if work is not None:
            work()
        if isinstance(self._started, ChildChannel):
            self._started.hang_up()
            self._started.source.close()
            self._started.errors.close()
            self._started.end(_PATIENCE)
