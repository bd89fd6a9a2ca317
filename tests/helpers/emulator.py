"""A terminal that draws: what a person sees of a command, cell by cell."""

from __future__ import annotations

import termios
import time
import unicodedata
from collections.abc import Callable
from typing import Any

import pyte
from wcwidth import wcwidth

from helpers.terminal import PATIENCE, Session, Starts


class Screen(pyte.Screen):
    """pyte's, with two things as terminals do them: a joiner is no reason to drop what follows it, and a screen with
    fewer lines loses those below the cursor first."""

    def draw(self, data: str) -> None:
        super().draw("".join(c for c in data if wcwidth(c) > 0 or unicodedata.combining(c)))

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        lines, columns = lines or self.lines, columns or self.columns
        lost = max(0, self.cursor.y - lines + 1)
        rows = [dict(self.buffer[y + lost]) for y in range(self.lines - lost)][:lines]
        self._become(rows, lines, columns)
        self.cursor.y -= lost

    def _become(self, rows: list[dict[int, Any]], lines: int, columns: int) -> None:
        self.buffer.clear()
        for y, row in enumerate(rows):
            for x, cell in row.items():
                if x < columns:
                    self.buffer[y][x] = cell
        self.lines, self.columns = lines, columns


class Reflowing(Screen):
    """A terminal that breaks lines anew for another width, as most of today's do."""

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        lines, columns = lines or self.lines, columns or self.columns
        rows: list[dict[int, Any]] = []
        at = 0
        for y in range(self.lines):
            if y == self.cursor.y:
                at = len(rows) + self.cursor.x // columns
            row = self.buffer[y]
            used = max((x for x, cell in row.items() if cell.data != " "), default=0) + 1
            rows += [
                {x - first: row[x] for x in row if first <= x < first + columns} for first in range(0, used, columns)
            ]
        lost = max(0, at - lines + 1)
        self._become(rows[lost : lost + lines], lines, columns)
        self.cursor.y, self.cursor.x = at - lost, self.cursor.x % columns


class Seen(Session):
    """A command on a terminal that draws.

    Args:
        program: what is started.
        arguments: of the command.
        above: lines that stand on the screen already.
        kind: of the terminal.
        columns: of the terminal.
        lines: of the terminal.
        options: as for `Session`.
    """

    def __init__(
        self,
        program: Starts,
        *arguments: str,
        above: tuple[str, ...] = (),
        kind: type[Screen] = Screen,
        columns: int = 80,
        lines: int = 24,
        **options: Any,
    ) -> None:
        self.terminal = kind(columns, lines)
        self._stream = pyte.ByteStream(self.terminal)
        for line in above:
            self._stream.feed(f"{line}\r\n".encode())
        super().__init__(program, *arguments, columns=columns, lines=lines, **options)

    @property
    def rows(self) -> list[str]:
        """What stands on the screen, without the empty rows at its end."""
        rows = [row.rstrip() for row in self.terminal.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def see(self, what: str | Callable[[list[str]], bool]) -> list[str]:
        """Read on until a text stands on the screen, or until `what` is true of its rows; the rows then."""
        is_there = (lambda rows: any(what in row for row in rows)) if isinstance(what, str) else what
        began = time.monotonic()
        while not is_there(self.rows):
            assert time.monotonic() - began < PATIENCE, self.rows
            assert self._read(), self.rows
        return self.rows

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size. It has drawn all that was read until then."""
        termios.tcsetwinsize(self._master, (lines, columns))
        self.terminal.resize(lines, columns)

    def _read(self) -> bool:
        before = len(self.screen)
        more = super()._read()
        self._stream.feed(self.screen[before:])
        return more
