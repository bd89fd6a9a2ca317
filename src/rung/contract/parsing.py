"""Parsing an answer's text to JSON, in time that grows linearly with its length."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from rung.contract.bounds import DEEPEST_ANSWER, MOST_VALUES, is_deeper
from rung.contract.extraction import FENCE, Loads, decoder, extracted, trimmed, undecorated, unfenced
from rung.types import Issue, IssueCode

_MESSAGE_LIMIT = 300
_MOST_DIGITS = 4300
"""Digits of a whole number, as many as Python itself reads. The time to read one grows with the square of this."""
_FLOAT_DIGITS = 15
"""Decimal digits that a float always preserves (IEEE 754 double precision)."""
_SCALAR = re.compile(r"-?\d{1,400}(?:\.\d{1,400})?(?:[eE][+-]?\d{1,10})?|true|false|null")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Rejected(Exception):
    """The text isn't a value of the wanted kind."""

    def __init__(self, *issues: Issue) -> None:
        super().__init__(f"{len(issues)} issues")
        self.issues = issues


def cut(message: str, limit: int = _MESSAGE_LIMIT) -> str:
    """A message, cut to at most `limit` characters."""
    return message if len(message) <= limit else message[: limit - 1] + "…"


def shown(value: Any, limit: int = 100) -> str:
    """A value as JSON, cut to about `limit` characters without writing all of it."""
    parts, length = [], 0
    for part in _pieces(value, limit):
        parts.append(part)
        length += len(part)
        if length > limit:
            break
    return cut("".join(parts), limit)


def _pieces(value: Any, limit: int) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for number, (key, inner) in enumerate(value.items()):
            yield f"{', ' if number else ''}{json.dumps(key[:limit], ensure_ascii=False)}: "
            yield from _pieces(inner, limit)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, inner in enumerate(value):
            yield ", " if number else ""
            yield from _pieces(inner, limit)
        yield "]"
    else:
        yield json.dumps(value[: limit + 1] if isinstance(value, str) else value, ensure_ascii=False)


def parse(text: str, *, objects: bool = False, exact: bool = False) -> Any:
    """The JSON of an answer: all of the text, or the one value in a text with something around it.

    Args:
        text: the answer.
        objects: whether the value must be an object.
        exact: whether a number with more digits than a float preserves stays text.

    Raises:
        Rejected: it isn't JSON, has several values, or more values, levels or digits than are read.
    """
    if not text.strip():
        raise Rejected(Issue("", "the answer is empty", IssueCode.EMPTY))
    if text.count("[") + text.count("{") + text.count(",") > MOST_VALUES:
        raise Rejected(Issue("", f"the answer holds more than {MOST_VALUES:,} values", IssueCode.TOO_LONG))
    try:
        value = _found(text, decoder(_exact if exact else _float, _int, _constant), objects=objects)
        if is_deeper(value, DEEPEST_ANSWER):
            raise RecursionError
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Rejected(Issue("", f"the answer is not JSON: {error.msg} at {where}", IssueCode.SCHEMA)) from None
    except RecursionError:
        raise Rejected(Issue("", "the answer is nested too deeply", IssueCode.SCHEMA)) from None
    except UnicodeEncodeError:
        raise Rejected(
            Issue("", "the answer holds half of a surrogate pair, which isn't text", IssueCode.SURROGATES)
        ) from None
    except ValueError as error:
        raise Rejected(Issue("", f"the answer is not JSON: {cut(str(error))}", IssueCode.SCHEMA)) from None
    return value


def _found(text: str, loads: Loads, *, objects: bool) -> Any:
    bare = trimmed(text)
    try:
        return _whole(bare, loads)
    except ValueError as error:
        fault = error
    inner = unfenced(bare)
    if inner is not None:
        try:
            return _whole(inner, loads)
        except ValueError as error:
            fault = error if bare.startswith(FENCE) else fault
    if not isinstance(fault, json.JSONDecodeError):
        raise fault  # it is JSON, but goes beyond a bound
    try:
        return extracted(bare if inner is None else inner, loads, objects=objects)
    except LookupError:
        pass
    if not objects and _SCALAR.fullmatch(short := undecorated(bare)):
        return _whole(short, loads)
    raise fault


def _whole(text: str, loads: Loads) -> Any:
    """The value that all of a text is."""
    value, end = loads(text, 0)
    if end < len(text.rstrip()):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def _exact(digits: str) -> float | str:
    """A number, or its digits if a float would lose some of them."""
    number = _float(digits)
    mantissa = digits.lower().partition("e")[0]
    return digits if sum(c.isdigit() for c in mantissa) > _FLOAT_DIGITS else number


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {cut(digits, 40)} is too large")
    return number


def _int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits):,} digits is too large")
    return int(digits)
