"""From an answer's text to JSON, in time that grows with its length only."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from rung.contract.bounds import DEEPEST_ANSWER, MOST_VALUES, is_deeper
from rung.types import Issue, IssueCode

_MESSAGE_LIMIT = 300
_MOST_DIGITS = 4300
"""Digits of a whole number, as many as Python itself reads: reading takes time that grows with their square."""
_FENCE = "```"
_OPENING = re.compile(r"[\w-]*+[^\S\n]*+\n")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Rejected(Exception):
    """The text is not a value of the kind."""

    def __init__(self, *issues: Issue) -> None:
        super().__init__(f"{len(issues)} issues")
        self.issues = issues


def cut(message: str, limit: int = _MESSAGE_LIMIT) -> str:
    """A message that is no longer than `limit` characters."""
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


def parse(text: str) -> Any:
    """JSON, bare or in one code fence.

    Raises:
        Rejected: it isn't JSON, or has more values, levels or digits than are read.
    """
    if not text.strip():
        raise Rejected(Issue("", "the answer is empty", IssueCode.EMPTY))
    if text.count("[") + text.count("{") + text.count(",") > MOST_VALUES:
        raise Rejected(Issue("", f"the answer holds more than {MOST_VALUES:,} values", IssueCode.TOO_LONG))
    try:
        value = json.loads(unfenced(text), parse_constant=_constant, parse_float=_float, parse_int=_int)
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


def unfenced(text: str) -> str:
    """What stands in a code fence where the text is one; otherwise the text."""
    bare = text.strip()
    if not bare.startswith(_FENCE) or not bare.endswith(_FENCE) or len(bare) < 2 * len(_FENCE):
        return text
    inner = bare[len(_FENCE) : -len(_FENCE)]
    opening = _OPENING.match(inner)
    return inner[opening.end() :].strip() if opening else text


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
