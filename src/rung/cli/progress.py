"""Which tier is at work, and its progress: one line of a terminal that is cleared before anything else is written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rung.cli import screen
from rung.console import write
from rung.types import AttemptEnded, AttemptStarted, Event
from rung.visible import line

if TYPE_CHECKING:
    from rung.cli.output import Output
    from rung.learn.evaluating import EvalProgress

_EVERY = 60.0
"""Seconds between two lines of progress if stderr is a file."""


class ClimbProgress:
    """The progress line.

    Args:
        shown: whether a person reads it.
    """

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._width = 0

    def show(self, event: Event) -> None:
        """Follow the request."""
        if isinstance(event, AttemptStarted):
            self.draw(f"{event.tier} is answering (attempt {event.number}) …")
        elif isinstance(event, AttemptEnded):
            self.draw("")

    def draw(self, text: str) -> None:
        """Replace the text of the line. An empty text clears it."""
        if self._shown:
            shown = screen.fitted(line(text), screen.size().columns - 1)
            # Overwritten with blanks, because not every console knows the control sequence that erases. The cursor
            # returns to the beginning of the line, where it stays if the terminal wraps the line anew for a new width.
            write(f"\r{' ' * self._width}\r{shown}\r" if shown else f"\r{' ' * self._width}\r")
            self._width = screen.cells(shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            self.draw("")


class EvalLine:
    """The progress of an evaluation: one line of a terminal, or a line a minute in a file.

    Args:
        output: where to show it.
        rows: number of rows.
    """

    def __init__(self, output: Output, rows: int) -> None:
        self._output, self._rows = output, rows
        self._line = ClimbProgress(output.talks)
        self._told = time.monotonic()

    def show(self, progress: EvalProgress) -> None:
        """Follow the evaluation."""
        what = f"{progress.tier} in the ladder" if progress.whole else progress.tier
        left = progress.left(self._rows)
        said = f"{what}: {progress.done:,} of {self._rows:,} rows"
        if left is not None and progress.done < self._rows and progress.fresh:
            said += f", about {duration(left)} left for this tier"
        if self._output.talks:
            self._line.draw(said)
        elif time.monotonic() - self._told >= _EVERY:
            self._told = time.monotonic()
            self._output.say(said)

    def clear(self) -> None:
        """Clear the line before something else is written."""
        self._line.draw("")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()


def duration(seconds: float) -> str:
    """A time in words."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
