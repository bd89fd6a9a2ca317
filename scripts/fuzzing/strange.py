"""Text and JSON that programs trip over."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

LONGEST = 100_000
"""Characters of a text that mutations may reach; what is longer is made by `times` of a case."""

WORDS = (
    "\0", "\x01", "\x1b[31m", "\x7f", "\x85", "\xa0", "\u200b", "\u2028", "\u2029", "\u202e", "\ufeff", "\ufffd",
    "\ud800", "\udc00", "\udfff\ud800", "é", "e\u0301", "城市", "😀", "👩‍👩‍👧", "ß", "İ", "ﬁ", "\r\n", "\r", "\n\n\n",
    "\t", "\\", "\\\\", '"', "'", "`", "```", "```json\n", "\n```", "~~~", "<think>", "</think>", "<|im_end|>", "</s>",
    "[INST]", "{", "}", "[", "]", "(", ")", ",", ":", "=", "#", "//", "/*", "*/", "<!--", "&", "%", "%s", "{n}", "$",
    "${x}", "~", "null", "true", "false", "None", "NaN", "Infinity", "-Infinity", "nan", "inf", "-0", "0", "-1",
    "1e999", "-1e999", "1e-999", "1e400", "0.1", "0x10", "1_000", "1,000", "00", "01", "+1", ".5", "5.", "2147483648",
    "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551616", "1" + "0" * 400, "9" * 5000,
    "0." + "3" * 400, "1979-05-27T07:32:00Z", "0000-00-00", "9999-12-31T23:59:60Z", "2026-02-30", "P1D",
    "../../etc/passwd", "/dev/null", "http://example.org/x", "file:///etc/passwd", "__class__", "__proto__", "$ref",
    "constructor", "", " ",
)  # fmt: skip
_NUMBER = re.compile(r"-?\d[\d.eE+-]*")
_OPENING = ("[", "{", "(", '{"a":', '[{"a":[', "<div>", "((", "[[", "-", "!", "{a=", "$defs/")


@contextmanager
def deeply() -> Iterator[None]:
    """Let JSON be read and written that is nested more deeply than Python allows otherwise."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def mutated(dice: random.Random, text: str, words: Sequence[str] = (), *, most: int = 5) -> str:
    """The text with up to `most` things done to it, and often none.

    Args:
        dice: decide.
        text: a good one.
        words: that mean something where the text goes.
        most: changes.
    """
    for _ in range(dice.choice((0, 1, 1, 2, 3, most))):
        text = dice.choice(_CHANGES)(dice, text, words or WORDS)[:LONGEST]
    return text


def mutated_bytes(dice: random.Random, data: bytes, words: Sequence[bytes] = (), *, most: int = 5) -> bytes:
    """The same for bytes, with bits turned over and numbers in binary put in."""
    changed = bytearray(data)
    for _ in range(dice.choice((0, 1, 1, 2, 3, most))):
        at = dice.randrange(len(changed) + 1)
        end = min(len(changed), at + dice.choice((1, 1, 2, 8, 64, 1024)))
        match dice.randrange(7):
            case 0 if at < len(changed):
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                del changed[at:end]
            case 2:
                changed[at:at] = changed[at:end] * dice.choice((1, 2, 50))
            case 3:
                changed[at:end] = dice.randbytes(end - at)
            case 4:
                changed[at:at] = dice.choice(words or (b"\0", b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"))
            case 5:
                changed[at : at + 8] = dice.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)).to_bytes(8, "little")
            case _:
                del changed[at:]
    return bytes(changed[:LONGEST])


def _span(dice: random.Random, text: str) -> tuple[int, int]:
    at = dice.randrange(len(text) + 1)
    return at, min(len(text), at + dice.choice((1, 1, 3, 10, 100, 1000)))


def _cut(dice: random.Random, text: str, _words: Sequence[str]) -> str:
    at, end = _span(dice, text)
    return text[:at] + text[end:]


def _end(dice: random.Random, text: str, _words: Sequence[str]) -> str:
    return text[: dice.randrange(len(text) + 1)]


def _double(dice: random.Random, text: str, _words: Sequence[str]) -> str:
    at, end = _span(dice, text)
    return text[:at] + text[at:end] * dice.choice((2, 2, 3, 40, 2000)) + text[end:]


def _put(dice: random.Random, text: str, words: Sequence[str]) -> str:
    at = dice.randrange(len(text) + 1)
    return text[:at] + _word(dice, words) + text[at:]


def _replace(dice: random.Random, text: str, words: Sequence[str]) -> str:
    at, end = _span(dice, text)
    return text[:at] + _word(dice, words) + text[end:]


def _repeat(dice: random.Random, text: str, words: Sequence[str]) -> str:
    at = dice.randrange(len(text) + 1)
    return text[:at] + _word(dice, words) * dice.choice((5, 100, 1000, 20_000)) + text[at:]


def _nest(dice: random.Random, text: str, _words: Sequence[str]) -> str:
    at = dice.randrange(len(text) + 1)
    opening, depth = dice.choice(_OPENING), dice.choice((3, 50, 200, 1000, 3000, 20_000))
    closing = "".join({"{": "}", "[": "]", "(": ")"}.get(c, "") for c in reversed(opening))
    inner = dice.choice(("", "1", text[at : at + 20]))
    return text[:at] + opening * depth + inner + closing * dice.choice((0, depth, depth)) + text[at:]


def _number(dice: random.Random, text: str, _words: Sequence[str]) -> str:
    found = list(_NUMBER.finditer(text))
    if not found:
        return text
    it = dice.choice(found)
    return text[: it.start()] + number(dice) + text[it.end() :]


def _letter(dice: random.Random, text: str, _words: Sequence[str]) -> str:
    if not text:
        return text
    at = dice.randrange(len(text))
    point = dice.choice((ord(text[at]) ^ (1 << dice.randrange(7)), dice.randrange(128), dice.randrange(0x110000)))
    return text[:at] + chr(point) + text[at + 1 :]


def _swap(dice: random.Random, text: str, _words: Sequence[str]) -> str:
    a, b, c = sorted(dice.randrange(len(text) + 1) for _ in range(3))
    return text[:a] + text[b:c] + text[a:b] + text[c:]


_CHANGES: tuple[Callable[[random.Random, str, Sequence[str]], str], ...] = (
    _cut, _end, _double, _put, _put, _replace, _replace, _repeat, _nest, _number, _number, _letter, _swap,
)  # fmt: skip


def _word(dice: random.Random, words: Sequence[str]) -> str:
    return dice.choice(words if dice.random() < 0.6 else WORDS)


def number(dice: random.Random) -> str:
    """A number as somebody may write it."""
    return dice.choice(
        (
            str(dice.randint(-3, 20)),
            str(dice.choice((2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1))),
            repr(dice.uniform(-1e6, 1e6)),
            f"{dice.randint(1, 9)}e{dice.choice((-400, -320, -5, 5, 300, 308, 309, 400, 99999, 10**12))}",
            "9" * dice.choice((30, 400, 4299, 4301, 20_000)),
            "0." + "0" * dice.choice((20, 400)) + "1",
            "-0.0",
        )
    )


def value(dice: random.Random, depth: int = 3) -> Any:
    """Any JSON value."""
    kind = dice.randrange(9 if depth > 0 else 6)
    match kind:
        case 0:
            return dice.choice((None, True, False))
        case 1 | 2:
            return dice.choice((0, 1, -1, 7, 2**53, 2**63, 2**64, 10**40, 0.5, -1.5, 1e308, 5e-324))
        case 3 | 4:
            return dice.choice(WORDS)
        case 5:
            return "".join(dice.choice(WORDS)[:3] for _ in range(dice.randint(0, 5)))
        case 6 | 7:
            return [value(dice, depth - 1) for _ in range(dice.choice((0, 1, 2, 3, 3, 30)))]
        case _:
            return {dice.choice(WORDS)[:8]: value(dice, depth - 1) for _ in range(dice.choice((0, 1, 2, 4)))}


def changed(dice: random.Random, found: Any, depth: int = 3) -> Any:
    """A JSON value with one of the values in it replaced by any other, dropped, or put elsewhere."""
    if isinstance(found, dict) and found and dice.random() < 0.85:
        key = dice.choice(list(found))
        match dice.randrange(8):
            case 0:
                return {k: v for k, v in found.items() if k != key}
            case 1:
                return {**found, dice.choice(WORDS)[:8]: value(dice, depth - 1)}
            case 2:
                return {**found, key: found[dice.choice(list(found))]}
            case _:
                return {**found, key: changed(dice, found[key], depth - 1)}
    if isinstance(found, list) and found and dice.random() < 0.85:
        at = dice.randrange(len(found))
        match dice.randrange(6):
            case 0:
                return found[:at] + found[at + 1 :]
            case 1:
                return found * dice.choice((2, 50))
            case _:
                return [*found[:at], changed(dice, found[at], depth - 1), *found[at + 1 :]]
    return value(dice, depth)


def dumped(dice: random.Random, found: Any) -> str:
    """A JSON text of a value, in one of its spellings."""
    return json.dumps(
        found,
        ensure_ascii=dice.random() < 0.5,
        indent=dice.choice((None, None, None, 2)),
        separators=dice.choice((None, (",", ":"))),
    )
