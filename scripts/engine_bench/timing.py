"""One answer, timed by whoever asked for it. Standard library only: every party's interpreter imports it."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """How long an answer took, as its reader saw it.

    Args:
        first: the first piece of its text, which belongs to the prefill.
        rest: what came after it.
        ttft: seconds from asking to the first piece.
        seconds: from the first piece to the last.
    """

    first: str
    rest: str
    ttft: float
    seconds: float

    @property
    def text(self) -> str:
        """The answer."""
        return self.first + self.rest


class Clock:
    """Stamps the pieces of one answer; made when it is asked for."""

    def __init__(self) -> None:
        self._began = self._first = self._last = time.perf_counter()
        self._pieces: list[str] = []

    def piece(self, text: str) -> None:
        """A piece has come; it may be empty, for half a character."""
        self._last = time.perf_counter()
        if not self._pieces:
            self._first = self._last
        self._pieces.append(text)

    def stop(self) -> Timing:
        """The answer is over."""
        first, rest = "".join(self._pieces[:1]), "".join(self._pieces[1:])
        return Timing(first, rest, self._first - self._began, self._last - self._first)
