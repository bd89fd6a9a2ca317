"""Which tier is at work, on one line of a terminal that is gone again when there is something to say."""

from __future__ import annotations

from typing import Self

from rung.console import write
from rung.types import AttemptEnded, AttemptStarted, Event
from rung.visible import line


class ClimbProgress:
    """The line.

    Args:
        shown: whether anybody reads along.
    """

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._width = 0

    def show(self, event: Event) -> None:
        """Follow what happens."""
        if isinstance(event, AttemptStarted):
            self.draw(f"{event.tier} is answering (attempt {event.number}) …")
        elif isinstance(event, AttemptEnded):
            self.draw("")

    def draw(self, text: str) -> None:
        """Put another text on the line; an empty one clears it."""
        if self._shown:
            shown = line(text)
            # overwritten with blanks and not erased by a control sequence, which not every console knows
            write(f"\r{' ' * self._width}\r{shown}")
            self._width = len(shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            self.draw("")
