"""What llama.cpp reports, of which only the cause of a failure is kept."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from typing import Any

from rung.tiers.llama.binding import llama
from rung.tiers.llama.worker import system

_ERROR, _CONTINUES = 4, 5
"""llama.cpp's levels of what is an error, and of what goes on with the line before."""


class Log:
    """The last messages of llama.cpp, which would otherwise write them to standard error.

    Args:
        lines: number of lines that are kept.
    """

    def __init__(self, lines: int = 12) -> None:
        self._lines: deque[str] = deque(maxlen=lines)
        self._keep = False
        # ctypes frees a callback that nobody holds, and llama.cpp would then call into nothing.
        self._callback = llama.llama_log_callback(self._hear)
        self._deaf = system.ignoring(llama.llama_log_callback)
        self._set(self._callback)

    def _set(self, callback: Any) -> None:
        llama.llama_log_set(callback, ctypes.c_void_p(0))

    def made(self, make: Callable[[], Any]) -> Any:
        """What llama.cpp makes, or nothing. Only if that fails is it made once more, with an ear for the reason.

        While it works, llama.cpp reports a hundred lines or more, and would wait for this interpreter at each.

        Args:
            make: calls llama.cpp.
        """
        self._set(self._deaf)
        try:
            made = make()
        finally:
            self._set(self._callback)
        return made or make()

    def _hear(self, level: int, text: bytes, _: Any) -> None:
        if level != _CONTINUES:
            self._keep = level >= _ERROR
        line = text.decode("utf-8", "replace").strip()
        if self._keep and line:
            self._lines.append(line)

    def cause(self) -> str:
        """The first error since this was last called. Later errors are only its consequences."""
        lines = list(self._lines)
        self._lines.clear()
        return lines[0].rpartition("error loading model: ")[2] if lines else ""
