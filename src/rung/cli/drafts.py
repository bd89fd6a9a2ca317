"""What a tier is writing, shown on a terminal while nobody has checked it yet, and taken away again.

A draft stands on stderr below the cursor, which stays at its first place. So whatever becomes of the terminal
meanwhile, another width, keys that are pressed, the end of the program, all below the cursor is the draft, and nothing
above it is.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Self

from rung.cli import screen
from rung.cli.progress import ClimbProgress
from rung.cli.report import withdrawn
from rung.console import is_terminal, write
from rung.types import AttemptEnded, AttemptStarted, Event, Provisional, Reason, Verdict
from rung.visible import line, plain

if TYPE_CHECKING:
    from rung.cli.output import Output

_EVERY = 0.1
"""Seconds between two pictures: as often as a reader can follow, and few enough bytes for a slow connection."""
_FLASH = 0.15
"""Seconds between the first word of a draft and its first picture: an answer that is there by then has no draft."""
_GIVE_UP = 0.5
"""Seconds that Ctrl-C waits for a picture that is being written: a terminal may take nothing at all."""
_ERASE = "\r\x1b[J\r"
_REST_OF_ROW, _REST_OF_SCREEN = "\x1b[K", "\x1b[J"
_CUT, _WRAP = "\x1b[?7l", "\x1b[?7h"
"""What a terminal draws wider than `screen` counts is cut off, so that a row is one row."""
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


def can_be_shown(output: Output) -> bool:
    """Whether a draft can be put on the screen and taken away again, and a person reads there.

    With stdout in a pipe somebody else may own the screen, as a pager does. Windows' consoles are left out: nobody
    could try them.
    """
    steered = sys.platform != "win32" and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
    return steered and not output.json and is_terminal(sys.stdout) and is_terminal(sys.stderr)


class Drafts:
    """The draft on the screen; before there is one, who is at work.

    Args:
        output: where it is said that a draft was withdrawn.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._dims = not os.environ.get("NO_COLOR")
        self._encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        self._before = ClimbProgress(shown=True)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._painter = threading.Thread(target=self._paint_on, name="rung-drafts", daemon=True)
        self._tier, self._attempt = "", 0
        self._text = ""
        self._from = 0.0  # when the draft may be painted
        self._painted: object = None

    def show(self, event: Event) -> None:
        """Follow what happens."""
        with self._lock:
            if self._over.is_set():
                return
            if isinstance(event, AttemptStarted):
                self._tier, self._attempt = event.tier, event.number
                self._before.show(event)
            elif isinstance(event, Provisional):
                self._from = self._from if self._text else time.monotonic() + _FLASH
                self._text += event.text
            elif isinstance(event, AttemptEnded):
                attempt, seen = event.attempt, bool(self._text.strip())
                self._erase()
                if seen and attempt.verdict is not Verdict.ACCEPT and attempt.reason != Reason.CANCELLED:
                    rows = screen.wrapped(line(withdrawn(attempt)), screen.size().columns - 1)
                    self._output.say("\n".join(rows))

    def close(self) -> None:
        """Take away what is on the screen, and put nothing there any more."""
        self._over.set()
        if self._lock.acquire(timeout=_GIVE_UP):
            try:
                self._erase()
            finally:
                self._lock.release()

    def __enter__(self) -> Self:
        self._painter.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _paint_on(self) -> None:
        while not self._over.wait(_EVERY):
            with self._lock:
                if not self._over.is_set() and self._text.strip() and time.monotonic() >= self._from:
                    self._paint()

    def _erase(self) -> None:
        if self._painted is not None:
            write(_ERASE)
        else:
            self._before.draw("")
        self._text, self._painted = "", None

    def _paint(self) -> None:
        size = screen.size()
        state = (len(self._text), size)
        if state == self._painted:
            return
        if self._painted is None:
            self._before.draw("")
        rows = self._rows(size)
        drawn = f"{_REST_OF_ROW}\n".join(rows)
        up = f"\x1b[{len(rows) - 1}A" if len(rows) > 1 else ""
        write(f"\r{_CUT}{drawn}{_WRAP}{_REST_OF_SCREEN}{up}\r")
        self._painted = state

    def _rows(self, size: os.terminal_size) -> list[str]:
        """The rows of the picture: that it is a draft, and the end of it as far as there is room."""
        columns = max(1, size.columns - 1)
        text = self._encodable(plain(self._text.strip("\r\n")))
        rows, longer = screen.last_rows(text, columns, max(0, size.lines - 2))
        head = f"unchecked draft of {line(self._tier)} (attempt {self._attempt}){', its end' if longer else ''}:"
        return [
            screen.fitted(self._encodable(head), columns),
            *(f"{_DIM}{row}{_PLAIN}" if self._dims else row for row in rows),
        ]

    def _encodable(self, text: str) -> str:
        """A text with what stderr's encoding doesn't have written as it will be, so that its cells can be counted."""
        return text.encode(self._encoding, "backslashreplace").decode(self._encoding)
