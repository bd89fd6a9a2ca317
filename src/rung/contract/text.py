"""Checks of plain text: what is wrong with an answer whatever was asked."""

from __future__ import annotations

import re

from rung.types import Issue

_CONTROL = re.compile(
    r"<\|[A-Za-z_][\w▁ -]{0,40}\|>|<(?:start|end)_of_turn>|\[/?INST\]|<<SYS>>|<｜[^｜\n]{1,40}｜>|</?think>"
    r"|\A\s*<s>|</s>\s*\Z"  # only at the ends: in the middle it is HTML
)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_ECHO_AT_LEAST = 24  # characters: a shorter prompt may rightly be the whole answer
_LOOP_AT_LEAST = 160  # characters that a repetition must fill
_LOOP_TIMES = 4


def text_issues(text: str, prompt: str) -> tuple[Issue, ...]:
    """What is wrong with a plain-text answer.

    Args:
        text: the answer.
        prompt: the user's last turn, which an answer shouldn't begin with.
    """
    if not text.strip():
        return (Issue("", "the answer is empty", "empty"),)
    issues = []
    leaked = next((m.group().strip() for m in _CONTROL.finditer(text) if m.group().strip() not in prompt), None)
    if leaked is not None:
        issues.append(Issue("", f"the answer holds the control token {leaked}", "control_tokens"))
    if loops(text):
        issues.append(Issue("", "the answer repeats itself without end", "looping"))
    if _squeeze(prompt) and len(prompt) >= _ECHO_AT_LEAST and _squeeze(text).startswith(_squeeze(prompt)):
        issues.append(Issue("", "the answer repeats the prompt", "echo"))
    return tuple(issues)


def loops(text: str, at_least: int = _LOOP_AT_LEAST) -> bool:
    """Whether the end of a text is one unit over and over, at least four times.

    A unit without a letter or digit (a ruler, a table's frame) is no loop.

    Args:
        text: an answer, or its beginning.
        at_least: characters that the repetition must fill, up to 2,000.
    """
    tail = text.rstrip()[-2000:]
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
    """The scalar at the end of the beginning of a JSON text, as far as it came; empty between two values."""
    rest = _STRING.sub("", text)
    string = rest.find('"')
    return rest[string + 1 :] if string >= 0 else re.split(r"[\s{}\[\],:]", rest)[-1]


def _squeeze(text: str) -> str:
    return " ".join(text.split()).casefold()
