"""Checks of plain text for faults that no prompt asks for."""

from __future__ import annotations

import re

from rung.contract import control_tokens
from rung.types import Issue, IssueCode

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)', re.DOTALL)
"""A JSON string, or the beginning of one at the end of a text. If an open string failed to match, each quote in it
would be tried again."""
_BETWEEN = re.compile(r"[\s{}\[\],:]")
_LOOKED_AT = 3000
"""Characters at the end of an answer that are searched for a repetition."""
_ECHO_AT_LEAST = 24  # characters: to repeat a shorter prompt may be the right answer
_LOOP_AT_LEAST, _LOOP_TIMES = 300, 12
"""Characters and times of a repetition that make the end of a whole answer a loop. No refrain comes as often."""
_STUCK_TIMES = 6
"""Times of a repetition in an answer that is still coming. The caller says how many characters."""
_CIRCLE_LOOKED_AT = 9000
"""Characters at the end of JSON that is still coming that are searched for repeated elements."""
_CIRCLE_AT_LEAST, _CIRCLE_TIMES = 1000, 40
"""Characters and times of equal elements that contain texts. No correct list repeats itself as much."""
_CIRCLE_OF_NUMBERS = 8000
"""Characters of equal elements that are all numbers, truth values and nulls. The zeros of a picture may go on long."""


def text_issues(text: str, prompt: str, *, instructed: bool = False) -> tuple[Issue, ...]:
    """The certain faults of a plain-text answer.

    Args:
        text: the answer.
        prompt: the user's last turn, which an answer shouldn't repeat.
        instructed: whether something besides that turn says what to do with it. Then repeating it may be the right
            answer, because there was nothing to correct.
    """
    if not text.strip():
        return (Issue("", "the answer is empty", IssueCode.EMPTY),)
    issues = []
    leaked = control_tokens.leaked(text, prompt)
    if leaked is not None:
        issues.append(Issue("", f"the answer holds the control token {leaked}", IssueCode.CONTROL_TOKENS))
    if loops(text):
        issues.append(Issue("", "the answer repeats itself without end", IssueCode.LOOPING))
    if not instructed and len(prompt) >= _ECHO_AT_LEAST and _squeeze(text) == _squeeze(prompt):
        issues.append(Issue("", "the answer repeats the prompt", IssueCode.ECHO))
    return tuple(issues)


def loops(text: str, at_least: int = _LOOP_AT_LEAST, times: int = _LOOP_TIMES) -> bool:
    """Whether a text ends in one unit, repeated over and over.

    A unit without a letter or digit (a ruler, a table's frame) isn't a loop.

    Args:
        text: an answer, or its beginning.
        at_least: characters that the repetition must fill, up to 3,000.
        times: how often the unit must occur.
    """
    unit = _unit(text.rstrip()[-_LOOKED_AT:], at_least, times)
    return any(c.isalnum() for c in unit)


def stuck(text: str, at_least: int) -> bool:
    """The same as `loops` for plain text that is still coming."""
    return loops(text, at_least, _STUCK_TIMES)


def circles(text: str) -> bool:
    """Whether JSON that is still coming ends in the same elements over and over."""
    tail = text[-_CIRCLE_LOOKED_AT:]
    unit = _unit(tail, _CIRCLE_AT_LEAST, _CIRCLE_TIMES)
    if unit.count("{") != unit.count("}") or unit.count("[") != unit.count("]"):
        return False  # closing brackets of many levels
    if "{" not in unit and '":' in unit:
        return False  # not a list
    if '"' in unit:
        return any(c.isalnum() for c in unit)
    return bool(unit) and "," in unit and bool(_unit(tail, _CIRCLE_OF_NUMBERS, _CIRCLE_TIMES))


def _unit(tail: str, at_least: int, times: int) -> str:
    """The shortest unit that ends a text at least `times` times, over `at_least` characters; empty if there is none."""
    # A tail with period p equals itself shifted by p. The shortest such p over a window is the length of its unit.
    for period in range(1, len(tail) // times + 1):
        span = max(at_least, period * times)
        if span > len(tail):
            break
        window = tail[-span:]
        if window[period:] == window[:-period]:
            return window[:period]
    return ""


def unfinished_value(text: str) -> str:
    """The unfinished scalar that a partial JSON text ends in; empty if it ends between two values."""
    tail = Tail(structured=True)
    tail.add(text)
    return tail.text


class Tail:
    """The end of an answer that is still coming, to search for a repetition. Each character is read once.

    Args:
        structured: whether the answer is JSON. Then only the scalar at its end counts.
    """

    def __init__(self, *, structured: bool) -> None:
        self.text = ""
        self._structured = structured
        self._in_string = self._is_escaped = False

    def add(self, text: str) -> None:
        """Take the next piece."""
        if self._structured:
            text = self._scalar(text)
        self.text = (self.text + text)[-_CIRCLE_LOOKED_AT:]

    def _scalar(self, text: str) -> str:
        """The part of a piece that belongs to the scalar at its end. Forgets earlier text if the scalar began here."""
        if self._in_string:
            # as if the string had begun in this piece
            opened = f'"{chr(92) if self._is_escaped else ""}{text}'
            skipped = len(opened) - len(text)
        else:
            opened, skipped = text, 0
        end, begun = 0, None
        for string in _STRING.finditer(opened):
            end = string.end()
            begun = None if string[1] else string.start()
        if begun is not None:
            continues = self._in_string and begun == 0
            self._in_string = True
            self._is_escaped = end < len(opened)  # a backslash at the very end escapes the next piece
            if not continues:
                self.text = ""
            return opened[skipped if continues else begun + 1 :]
        was_in_string, self._in_string, self._is_escaped = self._in_string, False, False
        rest = opened[end:]
        parts = _BETWEEN.split(rest[-2 * _LOOKED_AT :])
        if end or was_in_string or len(parts) > 1:
            self.text = ""
        return parts[-1]


def _squeeze(text: str) -> str:
    return " ".join(text.split()).casefold()
