"""Showing on a terminal what a tier is writing, before it is checked, and removing it again.

A draft is drawn on stderr below the cursor, which stays where it was. So whatever happens to the terminal meanwhile
(a new width, keys that are pressed, the end of the program), all below the cursor is the draft, and nothing above it
is.
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
"""Seconds between two redraws: as often as a reader can follow, and few enough bytes for a slow connection."""
_FLASH = 0.15
"""Seconds from the first word of a draft to its first drawing. An answer that is complete by then shows no draft."""
_GIVE_UP = 0.5
"""Seconds that Ctrl-C waits for a redraw in progress. A terminal may have stopped reading."""
_ERASE = "\r\x1b[J\r"
_REST_OF_ROW, _REST_OF_SCREEN = "\x1b[K", "\x1b[J"
_CUT, _WRAP = "\x1b[?7l", "\x1b[?7h"
"""Turns line wrap off, so that text which the terminal draws wider than `screen` counts is cut and stays one row."""
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


def can_be_shown(output: Output) -> bool:
    """Whether a draft can be drawn on the screen and removed again, and a person reads there.

    If stdout is a pipe, another program such as a pager may control the screen. Windows consoles are excluded, because
    they are untested.
    """
    steered = sys.platform != "win32" and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
    return steered and not output.json and is_terminal(sys.stdout) and is_terminal(sys.stderr)


class Drafts:
    """The draft on the screen. Before there is one, it shows which tier is at work.

    Args:
        output: where to say that a draft was withdrawn.
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
        self._from = 0.0  # when the draft may first be painted
        self._painted: object = None

    def show(self, event: Event) -> None:
        """Follow the request."""
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
        """Clear the screen below the cursor, and draw nothing more."""
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
        """The rows to draw: a heading that says it is a draft, and as much of its end as fits."""
        columns = max(1, size.columns - 1)
        text = self._encodable(plain(self._text.strip("\r\n")))
        rows, longer = screen.last_rows(text, columns, max(0, size.lines - 2))
        head = f"unchecked draft of {line(self._tier)} (attempt {self._attempt}){', its end' if longer else ''}:"
        return [
            screen.fitted(self._encodable(head), columns),
            *(f"{_DIM}{row}{_PLAIN}" if self._dims else row for row in rows),
        ]

    def _encodable(self, text: str) -> str:
        """A text with characters that stderr's encoding lacks written as escapes, so that its cells can be counted."""
        return text.encode(self._encoding, "backslashreplace").decode(self._encoding)
