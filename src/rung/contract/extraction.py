"""Extracting the one JSON value from a text with something around it: a fence, prose, a byte order mark, an end token.

Models that decode without a constraint often answer like that, and the value is right all the same. Only a whole value
that stands alone is taken. A part of a broken value never is, nor is one of several that differ. The time grows
linearly with the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

Loads = Callable[[str, int], tuple[Any, int]]
"""Reads one JSON value at an offset. Returns it and the offset of its end, or raises `ValueError`."""

FENCE = "```"
_OPENING = re.compile(r"[^\S\n]*+[\w+#.-]*+[^\S\n]*+(?:\n|(?=[\[{\"]))")
_FENCE_LINE = re.compile(r"[ \t]{0,8}(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^`\r\n]*\r?\n?\Z")
"""A line that opens or closes a block, as in CommonMark (section 4.5), but with more indentation, as in a list."""
_BRACKET = re.compile(r"[\[{]")
_BEGINS = re.compile(r'\{\s*+["}]|\[\s*+(?:["\[{]|-?\d+\s*+[,\].eE]|(?:true|false|null)\b)')
"""The beginning of a JSON value. If that value is broken, no smaller value is looked for inside it."""
_END_TOKEN = re.compile(r"(?:<\|[^|<>\s]{1,40}\|>|</s>|<eos>|<end_of_turn>|<｜[^｜\n]{1,40}｜>|\[/INST\])\s*\Z")
_MOST_END_TOKENS = 8
_MOST_VALUES = 20
"""How often the same value may occur in a text and still count as the one that it holds."""
_MARKS = "\ufeff\u200b\u2060"
"""Invisible characters: a byte order mark and zero-width spaces."""
_DECORATION = "`*_\"'“”‘’«»„ \t\r\n"


class Several(ValueError):
    """A text holds more than one JSON value."""


def trimmed(text: str) -> str:
    """A text without what doesn't belong to it at either end: white space, a byte order mark, a model's end tokens."""
    text = text.strip().strip(_MARKS).strip()
    for _ in range(_MOST_END_TOKENS):
        found = _END_TOKEN.search(text, max(0, len(text) - 100))
        if found is None or not found.start():
            break
        text = text[: found.start()].rstrip()
    return text.removeprefix("<s>").lstrip() if "</s>" not in text else text


def unfenced(text: str) -> str | None:
    """The content of a text's only code fence; `None` if there is no fence, or more than one."""
    if text.count(FENCE) != 2:
        return None
    inner = text.split(FENCE)[1]
    opening = _OPENING.match(inner)
    return inner[opening.end() if opening else 0 :].strip()


def only_block(text: str) -> tuple[str, str] | None:
    """The code and the language of a text's only fenced block; `None` if there is no block, or more than one.

    The language is empty if the block names none. A block that is never closed extends to the end.
    """
    blocks: list[tuple[list[str], str]] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        marks = _FENCE_LINE.match(line)
        if fence and marks and marks[1].startswith(fence) and not marks[2]:
            fence = ""
        elif fence:
            blocks[-1][0].append(line)
        elif marks:
            fence = marks[1]
            blocks.append(([], marks[2].lower()))
    if len(blocks) != 1:
        return None
    lines, language = blocks[0]
    return "".join(lines), language


def undecorated(text: str) -> str:
    """A short answer without quotes, backticks and asterisks around it, and without a full stop at its end."""
    bare = text.strip(_DECORATION)
    return bare.rstrip(".!。").strip(_DECORATION) if bare else text


def extracted(text: str, loads: Loads, *, objects: bool) -> Any:
    """The one value in brackets in a text.

    Args:
        text: with something around the value.
        loads: reads a value.
        objects: whether the value must be an object, so that lists in the prose (a reference like `[1]`) don't count.

    Raises:
        Several: there are several, and they differ.
        LookupError: there is no value, or a broken one.
    """
    found: list[Any] = []
    for value in _values(text, loads):
        if isinstance(value, dict) or not objects:
            found.append(value)
            if value != found[0] or len(found) > _MOST_VALUES:
                raise Several("it holds several JSON values, and only one is allowed")
    if not found:
        raise LookupError
    return found[0]


def _values(text: str, loads: Loads) -> Iterator[Any]:
    at = 0
    while bracket := _BRACKET.search(text, at):
        at = bracket.start()
        if not _BEGINS.match(text, at):
            at += 1
            continue
        try:
            value, at = loads(text, at)
        except (ValueError, RecursionError):
            raise LookupError from None
        yield value


def decoder(
    parse_float: Callable[[str], Any], parse_int: Callable[[str], Any], constant: Callable[[str], Any]
) -> Loads:
    """A reader of JSON whose strings may contain raw line breaks and tabs, as small models write them.

    Args:
        parse_float: turns the digits of a number into a value.
        parse_int: the same for whole numbers.
        constant: handles `NaN` and `Infinity`.
    """
    made = json.JSONDecoder(parse_float=parse_float, parse_int=parse_int, parse_constant=constant, strict=False)

    def loads(text: str, at: int) -> tuple[Any, int]:
        return made.raw_decode(text, at)

    return loads
