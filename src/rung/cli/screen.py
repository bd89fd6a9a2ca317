"""Laying text out for a terminal: how many of its cells a text takes, and how it breaks into rows.

Terminals differ in the width of emoji, flags and joined pictures. The widest that any of them draws is counted, so a
row never runs past the edge.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata

_USUAL = os.terminal_size((80, 24))
_ZWJ = "\u200d"
_VARIATIONS = range(0xFE00, 0xFE10)
_SKIN = range(0x1F3FB, 0x1F400)
_PICTURES = range(0x1F000, 0x1FB00)
"""Emoji, playing cards and the letters of flags, including code points that this Python's Unicode doesn't know yet."""


def size() -> os.terminal_size:
    """Columns and lines of the terminal on stderr; the usual ones if it doesn't say."""
    try:
        found = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return _USUAL
    return os.terminal_size((found.columns or _USUAL.columns, found.lines or _USUAL.lines))


def cells(text: str) -> int:
    """The most cells of a row that a text takes, without tabs and line breaks."""
    return len(text) if text.isascii() else sum(map(_width, text))


def fitted(text: str, columns: int) -> str:
    """A line cut to a number of columns, with `…` at its end if it was longer.

    Args:
        text: without line breaks.
        columns: of the row; less than one counts as one.
    """
    columns = max(1, columns)
    if cells(text) <= columns:
        return text
    kept = ""
    for unit in _units(text):
        if cells(kept) + cells(unit) > columns - 1:
            break
        kept += unit
    return f"{kept}…"


def wrapped(line: str, columns: int) -> list[str]:
    """A line broken into rows, between words if it has several. An empty line is one row.

    Args:
        line: without line breaks.
        columns: of a row.
    """
    rows, row, used = [], "", 0
    for word in re.findall(r"\S+\s*|\s+", line.expandtabs(4)):
        wide = cells(word.rstrip())
        if used + wide > columns and wide <= columns:
            rows.append(row)
            row, used = "", 0
        if used + wide <= columns:
            row, used = row + word, used + cells(word)
            continue
        for unit in _units(word):  # a word longer than a row, such as a sentence in a script without spaces
            if used + cells(unit) > columns:
                rows.append(row)
                row, used = "", 0
            row, used = row + unit, used + cells(unit)
    return [kept.rstrip() for kept in (*rows, row)]


def last_rows(text: str, columns: int, most: int) -> tuple[list[str], bool]:
    """The last rows of a text, and whether there are others before them.

    Args:
        text: any number of lines.
        columns: of a row.
        most: the most rows to return.
    """
    rows: list[str] = []
    lines = text.split("\n")
    while lines and len(rows) <= most:
        rows = [*wrapped(lines.pop(), columns), *rows]
    return rows[-most:] if most else [], len(rows) > most


def _units(text: str) -> list[str]:
    """Characters, each with what belongs to it: accents, and the parts of a joined emoji."""
    units: list[str] = []
    for character in text:
        joins = not _width(character) or ord(character) in _VARIATIONS or ord(character) in _SKIN
        if units and (joins or units[-1].endswith(_ZWJ)):
            units[-1] += character
        else:
            units.append(character)
    return units


def _width(character: str) -> int:
    code = ord(character)
    if code < 0x300:
        return 1
    if code in _VARIATIONS:
        return 1  # after a narrow sign it may select its wide picture
    if code in _PICTURES or unicodedata.east_asian_width(character) in "WF":
        return 2
    return 0 if unicodedata.category(character) in ("Mn", "Me", "Cf") else 1
