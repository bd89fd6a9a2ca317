"""The one JSON value in a text that has something around it: a fence, prose, a byte order mark, an end token.

What nobody held to a shape often comes like that, and is right all the same. Only a value that is whole and alone is
taken; a part of a broken one, or one of several that differ, never is. All of it in time that grows with the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

Loads = Callable[[str, int], tuple[Any, int]]
"""Reads one JSON value that begins at a place; gives it and where it ends, or raises `ValueError`."""

FENCE = "```"
_OPENING = re.compile(r"[^\S\n]*+[\w+#.-]*+[^\S\n]*+(?:\n|(?=[\[{\"]))")
_FENCE_LINE = re.compile(r"[ \t]{0,8}(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^`\r\n]*\r?\n?\Z")
"""A line that opens or closes a block, after CommonMark (section 4.5), indented a little more, as in a list."""
_BRACKET = re.compile(r"[\[{]")
_BEGINS = re.compile(r'\{\s*+["}]|\[\s*+(?:["\[{]|-?\d+\s*+[,\].eE]|(?:true|false|null)\b)')
"""What begins like JSON: where that breaks off, it isn't looked for a smaller value inside."""
_END_TOKEN = re.compile(r"(?:<\|[^|<>\s]{1,40}\|>|</s>|<eos>|<end_of_turn>|<｜[^｜\n]{1,40}｜>|\[/INST\])\s*\Z")
_MOST_END_TOKENS = 8
_MOST_VALUES = 20
"""Times that the same value may be repeated in a text and still be the one that it holds."""
_MARKS = "\ufeff\u200b\u2060"
"""Characters that nobody sees: a byte order mark, and spaces without width."""
_DECORATION = "`*_\"'“”‘’«»„ \t\r\n"


class Several(ValueError):
    """A text holds more than one JSON value."""


def trimmed(text: str) -> str:
    """A text without what isn't part of it at its ends: white space, a byte order mark, a model's end tokens."""
    text = text.strip().strip(_MARKS).strip()
    for _ in range(_MOST_END_TOKENS):
        found = _END_TOKEN.search(text, max(0, len(text) - 100))
        if found is None or not found.start():
            break
        text = text[: found.start()].rstrip()
    return text.removeprefix("<s>").lstrip() if "</s>" not in text else text


def unfenced(text: str) -> str | None:
    """What stands in a text's only code fence; `None` where there is none, or more than one."""
    if text.count(FENCE) != 2:
        return None
    inner = text.split(FENCE)[1]
    opening = _OPENING.match(inner)
    return inner[opening.end() if opening else 0 :].strip()


def only_block(text: str) -> tuple[str, str] | None:
    """The code of a text's only fenced block, and its language, empty where it names none; `None` where there is no
    block, or more than one. A block that is never closed goes on to the end.
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
        objects: whether only an object will do, so that lists in the prose (a reference like `[1]`) don't count.

    Raises:
        Several: there are several, and they differ.
        LookupError: there is none, or one that is broken.
    """
    found: list[Any] = []
    for value in _values(text, loads):
        if isinstance(value, dict) or not objects:
            found.append(value)
            if value != found[0] or len(found) > _MOST_VALUES:
                raise Several("it holds several JSON values, and only one may stand there")
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
    """Reads JSON in which a text may hold raw line breaks and tabs, as small models write them.

    Args:
        parse_float: makes a number of its digits.
        parse_int: the same of whole ones.
        constant: takes `NaN` and `Infinity`.
    """
    made = json.JSONDecoder(parse_float=parse_float, parse_int=parse_int, parse_constant=constant, strict=False)

    def loads(text: str, at: int) -> tuple[Any, int]:
        return made.raw_decode(text, at)

    return loads
