"""Checks of plain text: what is wrong with an answer whatever was asked."""

from __future__ import annotations

import re

from rung.types import Issue, IssueCode

_CONTROL = re.compile(
    r"<\|[A-Za-z_][\w▁ -]{0,40}\|>|<(?:start|end)_of_turn>|\[/?INST\]|<<SYS>>|<｜[^｜\n]{1,40}｜>|</?think>"
    r"|\A\s*<s>|</s>\s*\Z"  # only at the ends: in the middle it is HTML
)
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)', re.DOTALL)
"""A JSON string, or the beginning of one at the end of a text: what fails at the end would be tried from each quote."""
_BETWEEN = re.compile(r"[\s{}\[\],:]")
_LOOKED_AT = 2000
"""Characters at the end of an answer in which a repetition is looked for."""
_ECHO_AT_LEAST = 24  # characters: a shorter prompt may rightly be the whole answer
_LOOP_AT_LEAST = 160  # characters that a repetition must fill
_LOOP_TIMES = 4
_MOST_SEARCHED = 50
"""Control tokens that are looked up in the whole prompt; a prompt's own are known from one reading."""


def text_issues(text: str, prompt: str) -> tuple[Issue, ...]:
    """What is wrong with a plain-text answer.

    Args:
        text: the answer.
        prompt: the user's last turn, which an answer shouldn't begin with.
    """
    if not text.strip():
        return (Issue("", "the answer is empty", IssueCode.EMPTY),)
    issues = []
    leaked = _leaked(text, prompt)
    if leaked is not None:
        issues.append(Issue("", f"the answer holds the control token {leaked}", IssueCode.CONTROL_TOKENS))
    if loops(text):
        issues.append(Issue("", "the answer repeats itself without end", IssueCode.LOOPING))
    asked = _squeeze(prompt)
    if asked and len(prompt) >= _ECHO_AT_LEAST and _squeeze(text).startswith(asked):
        issues.append(Issue("", "the answer repeats the prompt", IssueCode.ECHO))
    return tuple(issues)


def _leaked(text: str, prompt: str) -> str | None:
    """The first control token in a text that isn't in the prompt."""
    quoted = {match.group().strip() for match in _CONTROL.finditer(prompt)}
    searched = 0
    for match in _CONTROL.finditer(text):
        token = match.group().strip()
        if token in quoted:
            continue
        searched += 1
        if searched > _MOST_SEARCHED or token not in prompt:
            return token
        quoted.add(token)
    return None


def loops(text: str, at_least: int = _LOOP_AT_LEAST) -> bool:
    """Whether the end of a text is one unit over and over, at least four times.

    A unit without a letter or digit (a ruler, a table's frame) is no loop.

    Args:
        text: an answer, or its beginning.
        at_least: characters that the repetition must fill, up to 2,000.
    """
    tail = text.rstrip()[-_LOOKED_AT:]
    # Where the tail has period p, it equals itself shifted by p; the shortest such p over a window is its unit.
    for period in range(1, len(tail) // _LOOP_TIMES + 1):
        span = max(at_least, period * _LOOP_TIMES)
        if span > len(tail):
            break
        window = tail[-span:]
        if window[period:] == window[:-period]:
            return any(c.isalnum() for c in window[:period])
    return False


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
        self.text = (self.text + text)[-2 * _LOOKED_AT :]

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
