"""Ctrl-C at any moment: exit 130, nothing left running, no traceback. A server ends as it would by itself instead.

The work runs on a separate thread, and the main thread only waits. So a signal never raises in the middle of any code.
It cancels whatever asked for that, and then the process ends, whatever the work is doing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NoReturn

from rung import programs
from rung.cli.codes import Exit

if TYPE_CHECKING:
    from rung.limits import Cancel

_GRACE = 3.0
"""Seconds that the work has to end by itself. It needs about 0.2."""
_TICK = 0.1
"""Seconds between two wake-ups of the main thread. On Windows no signal interrupts a wait. Elsewhere one that comes
just before the wait, while another thread gets its turn, doesn't either."""


class Interrupts:
    """The callbacks for Ctrl-C."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._set = False
        self._finishes: Callable[[], None] | None = None
        self.keeps_code = False

    @property
    def finishes(self) -> bool:
        """Whether the work ends in its own way."""
        return self._finishes is not None

    def finish(self, callback: Callable[[], None], *, keeps_code: bool = False) -> None:
        """Let the work end in its own way at Ctrl-C or SIGTERM, however long that takes. A second one stops it at once.

        Args:
            callback: tells the work to end, for example after the step that it is at. It must be quick.
            keeps_code: whether the exit code is then the work's own, and not that of an interrupted command.
        """
        with self._lock:
            self._finishes = callback
            self.keeps_code = keeps_code
            now = self._set
        if now:
            callback()

    def on(self, callback: Callable[[], None]) -> None:
        """Call `callback` at Ctrl-C, or at once if that has already happened.

        Args:
            callback: must be quick. The process waits a little for what it stops.
        """
        with self._lock:
            self._callbacks.append(callback)
            now = self._set
        if now:
            callback()

    def cancel(self) -> Cancel:
        """A flag that Ctrl-C sets."""
        from rung.limits import Cancel

        cancel = Cancel()
        self.on(cancel.set)
        return cancel

    def step(self) -> bool:
        """Tell the work to end in its own way; whether it does so."""
        with self._lock:
            finishes = self._finishes
            self._set = self._set or finishes is not None
        if finishes is not None:
            finishes()
        return finishes is not None

    def tell(self) -> bool:
        """Call all callbacks. Returns whether there were any."""
        with self._lock:
            self._set = True
            callbacks = tuple(self._callbacks)
        for callback in callbacks:
            callback()
        return bool(callbacks)


def run(work: Callable[[Interrupts], int]) -> int:
    """Do the work and return its exit code, unless Ctrl-C ends the process first.

    Args:
        work: returns an exit code.
    """
    news: SimpleQueue[int | None] = SimpleQueue()  # a code, or `None` for Ctrl-C; `put` is safe in a signal handler
    interrupts = Interrupts()
    _on_signal(lambda: news.put(None))
    _on_termination(interrupts, lambda: news.put(None))

    def thread() -> None:
        code = 1
        try:
            code = work(interrupts)
        finally:
            news.put(code)

    threading.Thread(target=thread, name="rung-command", daemon=True).start()
    code = _next(news)
    if code is None and interrupts.step():
        code = _next(news)
        if code is not None and not interrupts.keeps_code:
            _end()
    if code is None:
        if interrupts.tell():
            _wait(news)
        _end()
    _on_signal(lambda: os._exit(Exit.INTERRUPTED))  # nor may the interpreter's exit print a traceback
    return code


def _on_signal(react: Callable[[], None]) -> None:
    # A program that a script started in the background ignores Ctrl-C, as it should.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: react())


def _on_termination(interrupts: Interrupts, react: Callable[[], None]) -> None:
    """SIGTERM is Ctrl-C to work that ends in its own way, and the end of any other."""

    def handle(number: int, frame: object) -> None:
        if interrupts.finishes:
            react()
        else:
            programs.stop_all()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, handle)


def _next(news: SimpleQueue[int | None]) -> int | None:
    while True:
        try:
            return news.get(timeout=_TICK)
        except Empty:
            continue


def _wait(news: SimpleQueue[int | None]) -> None:
    """Wait until the work ends, the grace period is over, or Ctrl-C comes again."""
    try:
        news.get(timeout=_GRACE)
    except Empty:
        pass


def _end() -> NoReturn:
    # the thread that waits for a program may still be about to stop it
    programs.stop_all()
    try:
        os.write(2, b"interrupted\n")
    except OSError:
        pass
    # Not `sys.exit`: the work's thread may be anywhere, and the interpreter would wait for the threads that it started.
    os._exit(Exit.INTERRUPTED)
