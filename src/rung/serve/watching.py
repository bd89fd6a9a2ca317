"""Ending a server when the app that started it is gone."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import IO

import psutil

from rung.errors import ConfigError

_LOOK_EVERY = 0.25
"""Seconds between two checks of the parent: the server ends within two seconds of it. A check costs almost nothing."""


def parent(pid: int, stop: Callable[[], None]) -> None:
    """Call `stop` once a process is gone.

    Args:
        pid: of the app itself, not of a launcher that started it.
        stop: called from another thread.

    Raises:
        ConfigError: there is no such process.
    """
    try:
        watched = psutil.Process(pid)
    except psutil.Error:
        raise ConfigError(f"--parent-pid {pid} is not a running process") from None

    def watch() -> None:
        while watched.is_running() and watched.status() != psutil.STATUS_ZOMBIE:
            threading.Event().wait(_LOOK_EVERY)
        stop()

    def guarded() -> None:
        try:
            watch()
        except psutil.Error:  # the process ended between two checks
            stop()

    threading.Thread(target=guarded, name="rung-parent", daemon=True).start()


def end_of(stream: IO[bytes], stop: Callable[[], None]) -> None:
    """Call `stop` at the end of a stream.

    Args:
        stream: its contents are ignored.
        stop: called from another thread.
    """

    def watch() -> None:
        try:
            while os.read(stream.fileno(), 4096):
                pass
        except OSError:
            pass
        stop()

    threading.Thread(target=watch, name="rung-stdin", daemon=True).start()
