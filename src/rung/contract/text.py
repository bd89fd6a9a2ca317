"""Checks of plain text: what is wrong with an answer whatever was asked."""

from __future__ import annotations

import re

from rung.contract import control_tokens
from rung.types import Issue, IssueCode

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)', re.DOTALL)
"""A JSON string, or the beginning of one at the end of a text: what fails at the end would be tried from each quote."""
_BETWEEN = re.compile(r"[\s{}\[\],:]")
_LOOKED_AT = 3000
"""Characters at the end of an answer in which a repetition is looked for."""
_ECHO_AT_LEAST = 24  # characters: a shorter prompt may rightly be the whole answer
_LOOP_AT_LEAST, _LOOP_TIMES = 300, 12
"""Characters that a repetition at the end of a whole answer must fill, and its times: no refrain comes as often."""
_STUCK_TIMES = 6
"""The same of an answer that goes on and on, beside the characters that the caller asks for."""
_CIRCLE_LOOKED_AT = 9000
"""Characters at the end of JSON that is still coming in which repeated elements are looked for."""
_CIRCLE_AT_LEAST, _CIRCLE_TIMES = 1000, 40
"""Characters and times of elements that are the same, texts in them included: no list of answers says so rightly."""
_CIRCLE_OF_NUMBERS = 8000
"""The same characters for elements of numbers, truth values and nulls: a picture's zeros may rightly go on for long."""


def text_issues(text: str, prompt: str, *, instructed: bool = False) -> tuple[Issue, ...]:
    """What is wrong with a plain-text answer, as far as it is surely wrong.

    Args:
        text: the answer.
        prompt: the user's last turn, which an answer shouldn't be.
        instructed: whether something else than that turn says what to do with it: then the same text may be the answer,
            because there was nothing to correct.
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
    """Whether the end of a text is one unit over and over.

    A unit without a letter or digit (a ruler, a table's frame) isn't a loop.

    Args:
        text: an answer, or its beginning.
        at_least: characters that the repetition must fill, up to 3,000.
        times: that the unit must be there.
    """
    unit = _unit(text.rstrip()[-_LOOKED_AT:], at_least, times)
    return any(c.isalnum() for c in unit)


def stuck(text: str, at_least: int) -> bool:
    """Whether the end of plain text that is still coming is one unit over and over; as `loops`."""
    return loops(text, at_least, _STUCK_TIMES)


def circles(text: str) -> bool:
    """Whether the end of JSON that is still coming is the same elements over and over."""
    tail = text[-_CIRCLE_LOOKED_AT:]
    unit = _unit(tail, _CIRCLE_AT_LEAST, _CIRCLE_TIMES)
    if unit.count("{") != unit.count("}") or unit.count("[") != unit.count("]"):
        return False  # what closes many levels
    if "{" not in unit and '":' in unit:
        return False  # no list
    if '"' in unit:
        return any(c.isalnum() for c in unit)
    return bool(unit) and "," in unit and bool(_unit(tail, _CIRCLE_OF_NUMBERS, _CIRCLE_TIMES))


def _unit(tail: str, at_least: int, times: int) -> str:
    """The shortest unit of which so many times, and so many characters, stand at the end of a text; empty if none."""
    # Where the tail has period p, it equals itself shifted by p; the shortest such p over a window is its unit.
    for period in range(1, len(tail) // times + 1):
        span = max(at_least, period * times)
        if span > len(tail):
            break
        window = tail[-span:]
        if window[period:] == window[:-period]:
            return window[:period]
    return ""


def unfinished_value(text: str) -> str:
    """The end of the scalar at the end of the beginning of a JSON text, as far as it came; empty between two values."""
    tail = Tail(structured=True)
    tail.add(text)
    return tail.text


class Tail:
    """The end of an answer as it comes, in which a repetition shows. Each character is read once.

    Args:
        structured: whether the answer is JSON, of which only the scalar at its end counts.
    """

    def __init__(self, *, structured: bool) -> None:
        self.text = ""
        self._structured = structured
        self._in_string = self._is_escaped = False

    def add(self, text: str) -> None:
        """Take the next piece in."""
        if self._structured:
            text = self._scalar(text)
        self.text = (self.text + text)[-_CIRCLE_LOOKED_AT:]

    def _scalar(self, text: str) -> str:
        """What of a piece belongs to the scalar at its end; what came before is forgotten where that began in it."""
        if self._in_string:
            # the piece as if its string had begun in it
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
            self._is_escaped = end < len(opened)  # a backslash without what it escapes
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
