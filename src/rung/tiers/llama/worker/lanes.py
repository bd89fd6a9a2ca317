"""Where a worker prepares calls: template, tokens, grammar. A long call never holds up a short one, and a call that
nobody wants any more holds up nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from rung.tiers.llama.opening import Ready
from rung.tiers.llama.worker.calls import Calls
from rung.tiers.llama.worker.errand import Errand

if TYPE_CHECKING:
    # which a worker imports while its model is being loaded
    from rung.tiers.llama.frames import Ask, Count

    Task = Ask | Count | Ready

LONG = 64 * 1024
"""Characters from which a prompt counts as long: a tokenizer takes some tenths of a second, and more on a busy
machine."""

_MOST_LEFT_BEHIND = 2
"""Threads that may go on with calls that nobody wants, since a tokenizer can't be stopped. More of them would take the
cores that decode."""


class Lane:
    """Prepares calls one after another, on a thread of its own.

    Args:
        name: of the thread.
        calls: which requests are alive.
        prepare: does the work for one call. It raises nothing.
        spawn: starts a thread with that name.
    """

    def __init__(
        self,
        name: str,
        calls: Calls,
        prepare: Callable[[Task, Errand], None],
        spawn: Callable[[Callable[[], None], str], None],
    ) -> None:
        self._name = name
        self._calls = calls
        self._prepare = prepare
        self._spawn = spawn
        self._inbox: SimpleQueue[Task] = SimpleQueue()
        self._lock = threading.Lock()
        self._current: tuple[int, Errand] | None = None
        self._threads = 0
        self._left_behind = 0
        self._stuck_since: float | None = None
        self._start()

    def put(self, task: Task) -> None:
        """Prepare this call when its turn comes."""
        self._inbox.put(task)

    def drop(self, request: int) -> None:
        """Nobody waits for this call any more. If it is being prepared, another thread takes over the calls behind it.

        Args:
            request: the request. It is no longer among those that are alive, so it won't be begun either.
        """
        with self._lock:
            if self._current is None or self._current[0] != request:
                return
            self._current[1].drop()
            if self._left_behind < _MOST_LEFT_BEHIND:
                self._left_behind += 1
                self._current = None
                self._start()
            elif self._stuck_since is None:
                self._stuck_since = time.monotonic()

    @property
    def quiet(self) -> bool:
        """Whether it prepares nothing, and has left nothing behind that goes on."""
        with self._lock:
            return self._current is None and not self._left_behind and self._inbox.empty()

    def stuck(self) -> float:
        """Seconds for which a call that nobody wants has held it up; 0 if none does."""
        with self._lock:
            return 0.0 if self._stuck_since is None else time.monotonic() - self._stuck_since

    def _start(self) -> None:
        self._threads += 1
        thread = self._threads
        self._spawn(lambda: self._work(thread), self._name)

    def _work(self, thread: int) -> None:
        while True:
            task = self._inbox.get()
            errand = Errand()
            with self._lock:
                self._current = task.id, errand
            if task.id in self._calls:
                self._prepare(task, errand)
            with self._lock:
                if thread != self._threads:
                    self._left_behind -= 1
                    return
                self._current = self._stuck_since = None


def is_long(task: Task) -> bool:
    """Whether preparing a task may take long, judging by the length of its texts."""
    if isinstance(task, Ready):
        return False
    return sum(len(m.text) + sum(len(call.arguments) for call in m.tool_calls) for m in task.messages) >= LONG
