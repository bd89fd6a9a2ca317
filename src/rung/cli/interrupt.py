"""Ctrl-C at any moment: exit 130, nothing left running, no traceback. A server ends as it would by itself instead.

The work runs on a thread of its own, and the main thread only waits. So a signal never raises in the middle of
somebody's code: it cancels what has asked to be cancelled, and then the process ends whatever the work is doing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NoReturn

from rung.cli.codes import Exit

if TYPE_CHECKING:
    from rung.limits import Cancel

_GRACE = 3.0
"""Seconds for the work to end by itself; it needs about 0.2."""
_TICK = 0.1
"""Seconds after which the main thread looks up. On Windows no signal interrupts a wait; elsewhere one that comes just
before the wait begins, as while another thread is given its turn, doesn't."""


class Interrupts:
    """Who wants to know of Ctrl-C."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._set = False
        self.patient = False

    def ends_itself(self, stop: Callable[[], None]) -> None:
        """At Ctrl-C or SIGTERM, call `stop` and wait for the work's own end and exit code. A second one ends at once.

        Args:
            stop: must be quick.
        """
        self.patient = True
        self.on(stop)

    def on(self, callback: Callable[[], None]) -> None:
        """Call `callback` at Ctrl-C, at once if that has been.

        Args:
            callback: must be quick; the process waits a little for what it stops.
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

    def tell(self) -> bool:
        """Tell everybody; whether there was anybody."""
        with self._lock:
            self._set = True
            callbacks = tuple(self._callbacks)
        for callback in callbacks:
            callback()
        return bool(callbacks)


def run(work: Callable[[Interrupts], int]) -> int:
    """Do the work; its exit code, unless Ctrl-C ends the process first.

    Args:
        work: returns an exit code.
    """
    news: SimpleQueue[int | None] = SimpleQueue()  # a code, or `None` for Ctrl-C; putting is safe in a signal handler
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
    if code is None:
        if interrupts.tell():
            code = _wait(news, None if interrupts.patient else _GRACE)
        if code is None or not interrupts.patient:
            _end()
    _on_signal(lambda: os._exit(Exit.INTERRUPTED))  # the interpreter's own end must not print a traceback either
    return code


def _on_signal(react: Callable[[], None]) -> None:
    # A program started in the background of a script ignores Ctrl-C, and should.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: react())


def _next(news: SimpleQueue[int | None]) -> int | None:
    while True:
        try:
            return news.get(timeout=_TICK)
        except Empty:
            continue


def _on_termination(interrupts: Interrupts, react: Callable[[], None]) -> None:
    """SIGTERM is Ctrl-C to a command that ends by itself, and the end of any other."""

    def handle(number: int, frame: object) -> None:
        if interrupts.patient:
            react()
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, handle)


def _wait(news: SimpleQueue[int | None], seconds: float | None) -> int | None:
    """The work's exit code, once it ends; `None` where the time is over, or Ctrl-C comes again."""
    if seconds is None:
        return _next(news)
    try:
        return news.get(timeout=seconds)
    except Empty:
        return None


def _end() -> NoReturn:
    try:
        os.write(2, b"interrupted\n")
    except OSError:
        pass
    # Not `sys.exit`: the work's thread may be anywhere, and the interpreter would wait for what it left behind.
    os._exit(Exit.INTERRUPTED)
