"""TOML and JSON that somebody else wrote. Whatever is wrong with it becomes one sentence, at little cost.

With a file of a mebibyte, a parser of the standard library can be made to work for hours (a dotted key of many parts),
to end in a `RecursionError` (deep nesting) or to accept what the format doesn't have (`NaN`). So the text is scanned
once before a parser gets it, in a time that grows only in proportion to its length.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from typing import Any

from rung.errors import ConfigError

_DEEPEST = 64
"""Levels of a TOML document, and parts of a dotted key. A `rung.toml` has three."""
_DEEPEST_JSON = 500
"""Levels of a JSON document: fewer than half of Python's default limit on recursion, which other code shares."""
_LARGEST = 1 << 63
"""Bound that TOML sets on whole numbers, in both directions."""

# One token after another. Each alternative takes what it has begun, closed or not, so that nothing is scanned twice.
_TOML_TOKEN = re.compile(
    r'(?P<text>"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5}|\Z)'
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]|\\[^\n])*+"?'
    r"|'[^'\n]*+'?)"
    r"|(?P<comment>#[^\n]*+)|(?P<space>[ \t]++)|(?P<word>[\w+:-]++)|(?P<dot>\.)"
    r"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<other>.)",
    re.DOTALL,
)
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', re.DOTALL)
_ESCAPE = re.compile(r"Unescaped|hex value|Unicode scalar")
"""Messages of tomllib about a Windows path in double quotes."""
_ESCAPED = "\b\t\n\f\r\x1b"
_DRIVE = re.compile(rf"[A-Za-z]:[\\{_ESCAPED}]")
_PATH = re.compile(rf"[\w.:\\ {_ESCAPED}-]{{1,500}}")
_SUFFIXES = (".gguf", ".toml", ".jinja", ".pem")
_MARKS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


def decode(content: bytes, where: str) -> str:
    """Bytes as text. A byte order mark, which some editors write, is removed.

    Args:
        content: bytes as they were read.
        where: the source of the bytes, for the error.

    Raises:
        ConfigError: it is not UTF-8.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            raise ConfigError(f"{where} is not valid UTF-8: it is {encoding}", hint="save it as UTF-8")
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{where} is not valid UTF-8: byte {error.start}",
            hint="save it as UTF-8, for example with `iconv -f latin1 -t utf-8`",
        ) from None


def parse_toml(content: bytes, where: str) -> dict[str, Any]:
    """A TOML document.

    Args:
        content: bytes of the file.
        where: the file, for the error.

    Raises:
        ConfigError: it is not UTF-8 or not TOML, is nested absurdly deep, or holds a number that TOML doesn't have.
    """
    text = decode(content, where)
    _look_over(text.replace("\r\n", "\n"), where)
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise _too_deep(where, _DEEPEST) from None
    except ValueError as error:  # also for numbers for which tomllib has no error of its own
        message = str(error)
        hint = "write a path with backslashes in single quotes" if _ESCAPE.search(message) else ""
        raise ConfigError(f"{where} is not valid TOML: {message[:1].lower()}{message[1:]}", hint=hint) from None
    _demand_small(values, where)
    _refuse_escaped_paths(values, where)
    return values


def _refuse_escaped_paths(values: Any, where: str) -> None:
    """Refuse a Windows path in double quotes that happens to consist of valid escapes: `C:\\temp` contains a tab."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and _is_escaped_path(value):
            raise ConfigError(
                f"{where} has a path with a control character in it, {_shown(value)}",
                hint="write a path with backslashes in single quotes",
            )
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _is_escaped_path(value: str) -> bool:
    """Whether a text looks like a Windows path in which `\\t`, `\\n` and the like were read as escapes."""
    if not any(letter in value for letter in _ESCAPED) or not _PATH.fullmatch(value):
        return False
    return _DRIVE.match(value) is not None or value.endswith(_SUFFIXES)


def _shown(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:60] + "…")


def parse_json(content: bytes, where: str) -> Any:
    """A JSON document, read strictly: repeated keys, and numbers that JSON doesn't have, are errors.

    Args:
        content: bytes of the file.
        where: the file, for the error.

    Raises:
        ConfigError: it is not UTF-8 or not JSON, is nested absurdly deep, or has a key twice in one object.
    """
    text = decode(content, where)
    if _depth(text) > _DEEPEST_JSON:
        raise _too_deep(where, _DEEPEST_JSON)

    def unknown(word: str) -> Any:
        raise ConfigError(f"{where} is not valid JSON: it holds {word}, which JSON doesn't have")

    def finite(digits: str) -> float:
        number = float(digits)
        return number if math.isfinite(number) else unknown("a number that is too large to be kept")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise ConfigError(f"{where}: one object has the key {key[:80]!r} twice", hint="remove one of them")
        return found

    try:
        return json.loads(text, parse_constant=unknown, parse_float=finite, object_pairs_hook=unique)
    except RecursionError:
        raise _too_deep(where, _DEEPEST_JSON) from None
    except ValueError as error:  # also for numbers with too many digits
        message = str(error)
        raise ConfigError(f"{where} is not valid JSON: {message[:1].lower()}{message[1:]}") from None


def _look_over(text: str, where: str) -> None:
    """Refuse a TOML document that is nested absurdly deep, or has a key of absurdly many parts."""
    depth = parts = 0
    for token in _TOML_TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "dot":
            parts += 1
        elif kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(0, depth - 1)
        if kind not in ("dot", "word", "text", "space"):
            parts = 0
        if depth > _DEEPEST or parts > _DEEPEST:
            raise _too_deep(where, _DEEPEST)


def _depth(text: str) -> int:
    deepest = depth = 0
    for token in _JSON_TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in "]}":
            depth -= 1
    return deepest


def _demand_small(values: dict[str, Any], where: str) -> None:
    """Refuse whole numbers that TOML doesn't have."""
    left: list[tuple[str, Any]] = list(values.items())
    while left:
        key, value = left.pop()
        if isinstance(value, dict):
            left += value.items()
        elif isinstance(value, list):
            left += ((key, item) for item in value)
        elif isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
            raise ConfigError(f"{where}: {key!r} is a number of more than 64 bits", hint="write a smaller one")


def _too_deep(where: str, most: int) -> ConfigError:
    return ConfigError(f"{where} is nested more than {most} levels deep", hint="check that it is the right file")
