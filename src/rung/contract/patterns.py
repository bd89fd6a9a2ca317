"""Regular expressions that can be stopped.

Python's `re` can't be interrupted, and blocks the interpreter while it matches. So a pattern of a JSON Schema runs on
Rust's linear-time engine if that supports it and the text is short enough. Everything else runs on the `regex`
package, which has a timeout and lets other threads run.
"""

from __future__ import annotations

import functools
import re
import sys
from typing import Any

from rung import threads
from rung.contract.bounds import CheckOverdue, Undecided, Watch
from rung.contract.parsing import cut
from rung.errors import ContractError

_AT_ONCE = 0.02
"""Seconds that a pattern gets on the calling thread. Only a match that takes longer is worth a thread of its own."""

_SIZES = tuple(1 << k for k in range(12, 24, 2))
"""Size limits of a compiled pattern in bytes. The smallest limit that a pattern fits bounds its time per character."""

_MOST_WORK = 1 << 30
"""Size limit of the pattern times bytes of the text, for one call of Rust's engine, which can't be interrupted. It
bounds a call to 0.3 s. Most texts need far less, but one that grows the automaton with every character needs all of
it."""

_MOST_STATES = 20_000
"""Largest pattern that `regex` compiles, in states with repetitions written out. Each state costs time and memory."""

_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
_REPEAT = re.compile(r"\{(\d*)(?:,(\d*))?\}")
_TOKEN = re.compile(
    r"\\(?:[pP]\{[^}]*\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|c[A-Za-z]|k<\w+>|.)|\(\?P?<(?![=!])|\(\?[aimsux]+(?:-[imsx]+)?[:)]|\[\^?\]?|.",
    re.DOTALL,
)
_SPACE = r"\s\x1c-\x1f"
_WORD = r"\p{L}\p{N}_"
_BOUND = f"(?:(?<=[{_WORD}])(?![{_WORD}])|(?<![{_WORD}])(?=[{_WORD}]))"
_INSIDE = "" if sys.version_info >= (3, 14) else r"(?!\A\Z)"  # an empty text has no inside there
_INSIDE += f"(?:(?<=[{_WORD}])(?=[{_WORD}])|(?<![{_WORD}])(?![{_WORD}]))"

_PYTHON = {"\\s": f"[{_SPACE}]", "\\S": f"[^{_SPACE}]", "\\w": f"[{_WORD}]", "\\W": f"[^{_WORD}]"}
"""Classes that `re` and `regex` define differently: `re` has no marks in words, and has control characters in space."""

_HELD_BY_PYTHON = {"\\w": _PYTHON["\\w"], "\\W": _PYTHON["\\W"], "\\D": r"\P{Nd}", "\\Z": "$"}
_RUST_WORD = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d"
_HELD_BY_RUST = {"\\w": f"[{_RUST_WORD}]", "\\W": f"[^{_RUST_WORD}]", "\\D": r"\P{Nd}"}
"""The classes of Python's `re` and of Rust's `regex`, in terms that JSON Schema's patterns share."""

_ECMA_SPACE = r"\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_ECMA = {
    "\\d": "[0-9]",
    "\\D": "[^0-9]",
    "\\w": "[A-Za-z0-9_]",
    "\\W": "[^A-Za-z0-9_]",
    "\\s": f"[{_ECMA_SPACE}]",
    "\\S": f"[^{_ECMA_SPACE}]",
}
"""The classes of ECMA-262, which JSON Schema's patterns are written in."""


class Whole:
    """Whether a compiled pattern matches all of a text, as `re.fullmatch` decides, in bounded time.

    Args:
        pattern: for `str`, without flags.

    Raises:
        ContractError: `regex` doesn't support it.
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = _compiled(_python(pattern.pattern), pattern.pattern)

    def __call__(self, text: str, watch: Watch) -> bool:
        """Whether it matches. Raises what `Watch.look` raises."""
        return timed(self._pattern.fullmatch, text, watch)


class Beginning:
    """Whether a compiled pattern matches at the beginning of a text, as `re.match` decides, in bounded time.

    Args:
        pattern: for `str`.

    Raises:
        ContractError: `regex` doesn't support it.
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        letters = "".join(letter for letter, flag in _FLAGS.items() if pattern.flags & flag)
        translated = _python(pattern.pattern)
        self._pattern = _compiled(f"(?{letters}-f:{translated})" if letters else translated, pattern.pattern)

    def __call__(self, text: str, watch: Watch) -> bool:
        """Whether it matches. Raises what `Watch.look` raises."""
        return timed(self._pattern.match, text, watch)


class Search:
    """Whether a pattern of a JSON Schema is found in a text, in bounded time.

    Args:
        pattern: in the syntax of ECMA-262.

    Raises:
        ContractError: it isn't a regular expression, or neither engine supports it.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._linear, self._size = _linear(pattern)
        if self._linear is None:
            self._slow()

    def __call__(self, text: str, watch: Watch) -> bool:
        """Whether it is found.

        Raises:
            Undecided: the text is too long for this pattern.
        """
        watch.step()
        if self._linear is not None and (len(text) * 4 * self._size <= _MOST_WORK or _fits(text, self._size)):
            if len(text) > 1000:
                watch.look()
            found: bool = self._linear.is_valid(text)
            return found
        try:
            slow = self._slow()
        except ContractError:
            raise Undecided(f"a text is too long to be checked against the pattern {cut(self.pattern, 80)}") from None
        return timed(slow.search, text, watch)

    def _slow(self) -> Any:
        return _compiled(_ecma(self.pattern), self.pattern)


def timed(match: Any, text: str, watch: Watch) -> bool:
    """Call a bound method of a compiled `regex` pattern. A slow match moves to a thread, abandoned at the deadline.

    Raises:
        Abandoned, CheckOverdue, Cancelled: as `Watch.look` raises them.
    """
    watch.look()
    try:
        return match(text, timeout=_AT_ONCE) is not None
    except TimeoutError:
        pass

    def go_on() -> bool:
        return match(text, timeout=max(watch.remaining, _AT_ONCE), concurrent=True) is not None

    try:
        return threads.run(go_on, watch.deadline, watch.cancel)
    except TimeoutError:
        watch.look()
        raise CheckOverdue from None


def _fits(text: str, size: int) -> bool:
    return len(text) * size <= _MOST_WORK and len(text.encode()) * size <= _MOST_WORK


def _linear(pattern: str) -> tuple[Any, int]:
    """A validator that searches in linear time, and the size limit that it fits; `None` if Rust's engine can't."""
    from jsonschema_rs import Draft202012Validator, RegexOptions

    for size in _SIZES:
        if size < len(pattern):
            continue
        try:
            return Draft202012Validator({"pattern": pattern}, pattern_options=RegexOptions(size_limit=size)), size
        except ValueError:
            continue
    return None, 0


@functools.lru_cache(64)
def _compiled(translated: str, pattern: str) -> Any:
    import warnings

    import regex

    if len(pattern) > _MOST_STATES or _states(pattern) > _MOST_STATES:
        raise ContractError(
            f"the pattern {cut(pattern, 80)} is too large to be checked", hint="write smaller repetitions"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what the pattern will mean in a later version
            return regex.compile(translated, regex.V1)
    except (regex.error, RecursionError, OverflowError, ValueError, IndexError, KeyError) as error:
        raise ContractError(
            f"the pattern {cut(pattern, 80)} can't be checked: {cut(str(error) or 'it is nested too deeply', 100)}"
        ) from None


def _states(pattern: str) -> int:
    """Roughly how many states a pattern has with its repetitions written out."""
    open_groups, last = [0], 0
    at, in_class = 0, False
    while at < len(pattern):
        letter = pattern[at]
        repeat = _REPEAT.match(pattern, at) if letter == "{" and not in_class else None
        if repeat is not None:
            times = min(int((repeat[2] or repeat[1] or "1")[:9]), _MOST_STATES)
            open_groups[-1] += last * max(times - 1, 0)
            last *= max(times, 1)
            at = repeat.end()
            continue
        if letter == "\\":
            at += 1
        if in_class:
            in_class = letter != "]"
        elif letter == "(":
            open_groups.append(0)
        elif letter == ")" and len(open_groups) > 1:
            last = open_groups.pop() + 1
            open_groups[-1] += last
        elif letter not in "*+?":
            in_class = letter == "["
            last = 1
            open_groups[-1] += 1
        at += 1
        if open_groups[-1] > _MOST_STATES:
            break
    return max(open_groups)


def for_decoder(pattern: str) -> str:
    """A pattern of `re` in the syntax of Rust's engines, with the classes that `re`, and so `Whole`, means.

    Rust's `\\w` includes vowel signs and that of `re` doesn't. Untranslated, what one accepts fails the other.
    """
    return _translated(pattern, {**_PYTHON, "\\Z": "$"})


def for_schema(pattern: str, *, python: bool) -> str:
    r"""A pattern of a pydantic type in terms that mean the same in a JSON Schema, whose own `\w` and `\d` are ASCII.

    `\d` stays: digits of other scripts are right, too, and no answer has to use them.

    Args:
        pattern: as the type has it.
        python: whether Python's `re` reads it. Otherwise Rust's engine does, whose letters include vowel signs.
    """
    return _translated(pattern, _HELD_BY_PYTHON if python else _HELD_BY_RUST)


def _python(pattern: str) -> str:
    """A pattern of `re` in the syntax of `regex`."""
    return _translated(pattern, {**_PYTHON, "\\b": _BOUND, "\\B": _INSIDE})


def _ecma(pattern: str) -> str:
    """A pattern of ECMA-262 in the syntax of `regex`."""
    whole = {"$": r"\Z", ".": r"[^\n\r\u2028\u2029]", "\\/": "/", "\\-": r"\-", "[^]": r"[\s\S]", "(?<": "(?P<"}
    ends = {"\\b": r"(?:(?<=[A-Za-z0-9_])(?![A-Za-z0-9_])|(?<![A-Za-z0-9_])(?=[A-Za-z0-9_]))"}
    return _translated(pattern, {**_ECMA, **whole, **ends, "\\Z": "Z", "\\A": "A"})


def _translated(pattern: str, words: dict[str, str]) -> str:
    """A pattern with some of its tokens replaced, and with everything escaped that is special only to `regex`."""
    written: list[str] = []
    at, in_class = 0, False
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        assert token is not None
        text, at = token[0], token.end()
        if in_class:
            in_class = text != "]"
            # `regex` has nested sets, and operators between them
            text = words.get(text, text) if text.startswith("\\") else f"\\{text}" if text[0] in "[&|~" else text
            if text == "-" and written[-1] == "-":
                text = r"\-"
        elif text.startswith("["):
            if text in words:
                text = words[text]
            else:
                in_class = True
                text = text.replace("]", r"\]")
        elif text == "{" and not _REPEAT.match(pattern, at - 1):
            text = r"\{"  # `regex` reads a{e} as a fuzzy match
        elif text.startswith("(?") and "i" in text.partition("-")[0]:
            text = f"{text[:-1]}{'' if '-' in text else '-'}f{text[-1]}"  # no full case folding: ß isn't ss
        elif text.startswith("\\k<"):
            text = f"(?P={text[3:-1]})"
        elif text in words:
            text = words[text]
        written.append(text)
    return "".join(written)
