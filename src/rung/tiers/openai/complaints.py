"""What an endpoint says is wrong, in whatever form its error has.

Nothing of its text gets into a message, since it may repeat the prompt or the key. A message has only error codes from
a known set, names of fields that were sent, and numbers. The endpoint's own words are kept separately, for whoever asks
for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CODES = frozenset(
    {
        "billing_hard_limit_reached",
        "billing_not_active",
        "content_filter",
        "content_policy_violation",
        "context_length_exceeded",
        "exceed_context_size_error",
        "insufficient_quota",
        "integer_above_max_value",
        "integer_below_min_value",
        "invalid_api_key",
        "invalid_json_schema",
        "invalid_organization",
        "invalid_request_error",
        "invalid_type",
        "invalid_value",
        "missing_required_parameter",
        "model_not_found",
        "not_found_error",
        "overloaded_error",
        "permission_denied_error",
        "rate_limit_error",
        "rate_limit_exceeded",
        "requests",
        "server_error",
        "string_above_max_length",
        "tokens",
        "unknown_parameter",
        "unsupported_country_region_territory",
        "unsupported_parameter",
        "unsupported_value",
    }
)
"""Error codes that a message may repeat."""

_STATUS = {
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "deadline_exceeded": 504,
    "insufficient_quota": 429,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "invalid_api_key": 401,
    "invalid_argument": 400,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found": 404,
    "not_found_error": 404,
    "overloaded": 503,
    "overloaded_error": 503,
    "permission_denied": 403,
    "permission_denied_error": 403,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "resource_exhausted": 429,
    "server_error": 500,
    "server_overloaded": 503,
    "service_unavailable": 503,
    "too_many_requests": 429,
    "unauthenticated": 401,
    "unavailable": 503,
}
"""The status that an error without one stands for, by its code."""

_TEXTS = ("message", "msg", "error", "detail", "details", "errors", "description", "reason", "title", "raw", "metadata")
_NAMES = ("param", "parameter", "field", "loc", "path")
_DEEPEST = 5
"""Levels of an error that are read. FastAPI's errors, wrapped by a proxy, have four."""
_MOST = 40
"""Parts of an error that are read. Real ones have a handful."""
_LONGEST = 4000
"""Characters of an error's text that are read. A person is shown fewer."""
_AGAIN = re.compile(
    r"(?:again|retry|wait)\D{0,20}?(\d{1,6}(?:\.\d{1,6})?)\s*(ms|milliseconds?|m(?:in(?:utes?)?)?|s|seconds?)\b"
)
_UNITS = {"ms": 0.001, "m": 60.0, "s": 1.0}


class Complained(Exception):
    """A response with HTTP 200 that contains an error instead of an answer.

    Args:
        body: body of the response, as parsed JSON.
    """

    def __init__(self, body: object) -> None:
        super().__init__("an error in the place of an answer")
        self.body = body


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error of an endpoint.

    Args:
        status: the HTTP status in the error; `None` if there is none.
        codes: its codes that are in `CODES`.
        names: names of fields that it calls wrong, as paths with dots.
        text: the endpoint's own words.
        wait: seconds after which it wants to be asked again.
        tokens: tokens of the prompt and of the context, if it has fields for these counts.
    """

    status: int | None = None
    codes: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    text: str = field(default="", repr=False)
    wait: float | None = None
    tokens: tuple[int, int] | None = None

    @property
    def said(self) -> str:
        """The known codes as a clause."""
        return f" ({', '.join(sorted(self.codes))})" if self.codes else ""


def read(body: object) -> Complaint:
    """The complaint in the body of an error.

    Args:
        body: parsed JSON, or text.
    """
    tables = list(_tables(body))
    words = {str(table[key]) for table in tables for key in ("code", "type", "status") if _is_word(table.get(key))}
    numbers = (_status(table.get(key)) for table in tables for key in ("code", "status", "status_code"))
    by_word = (_STATUS.get(word.lower()) for word in sorted(words))
    text = " ".join(dict.fromkeys(_texts(body)))[:_LONGEST]
    return Complaint(
        status=next((status for status in (*numbers, *by_word) if status is not None), None),
        codes=frozenset(words & CODES),
        names=frozenset(name for table in tables for key in _NAMES for name in _name(table.get(key))),
        text=text,
        wait=next((wait for wait in (*map(_wait, tables), _asked(text)) if wait is not None), None),
        tokens=next((found for found in map(_counted, tables) if found is not None), None),
    )


def _tables(body: object, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    if depth > _DEEPEST:
        return
    if isinstance(body, Mapping):
        yield body
        for key in _TEXTS:
            yield from _tables(body.get(key), depth + 1)
    elif isinstance(body, list):
        for part in body[:_MOST]:
            yield from _tables(part, depth + 1)


def _texts(body: object, depth: int = 0) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(body, str):
        if body.strip():
            yield body.strip()[:_LONGEST]
    elif isinstance(body, Mapping):
        for key in _TEXTS:
            yield from _texts(body.get(key), depth + 1)
    elif isinstance(body, list):
        for part in body[:_MOST]:
            yield from _texts(part, depth + 1)


def _name(said: object) -> Iterator[str]:
    """A field as a path: `body.stream_options` from FastAPI, `messages[0].role` from OpenAI."""
    parts = said if isinstance(said, Sequence) and not isinstance(said, str) else [said]
    if not all(isinstance(part, (str, int)) and not isinstance(part, bool) for part in parts):
        return
    path = re.sub(r"\[[\"']?([^\]\"']*)[\"']?\]", r".\1", ".".join(str(part) for part in parts)).strip(".")
    path = path.removeprefix("$.").removeprefix("body.")
    if path and len(path) <= 200:
        yield path


def _is_word(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 60


def _status(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599 else None


def _wait(table: Mapping[str, Any]) -> float | None:
    for key, unit in (("retry_after", 1.0), ("retry_after_ms", 0.001), ("retryDelay", 1.0), ("retry_after_seconds", 1)):
        value = table.get(key)
        if isinstance(value, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?s?", value):
            value = float(value.removesuffix("s"))
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1e9:
            return float(value) * unit
    return None


def _asked(text: str) -> float | None:
    """Seconds that a sentence asks to wait, such as "Please try again in 20s"."""
    found = _AGAIN.search(text.lower())
    if found is None:
        return None
    unit = found[2]
    return float(found[1]) * _UNITS["ms" if unit.startswith(("ms", "milli")) else unit[0]]


def _counted(table: Mapping[str, Any]) -> tuple[int, int] | None:
    """The two counts that llama.cpp's server reports."""
    length, context = table.get("n_prompt_tokens"), table.get("n_ctx")
    if isinstance(length, int) and isinstance(context, int) and length > 0 and context > 0:
        return length, context
    return None
