"""Checks of plain text: what is wrong with an answer whatever was asked."""

from __future__ import annotations

import re

from rung.types import Issue

_CONTROL = re.compile(
    r"<\|[A-Za-z_][\w▁ -]{0,40}\|>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]|<<SYS>>|<｜[^｜\n]{1,40}｜>|</?think>"
)
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
    leaked = _CONTROL.search(text)
    if leaked and leaked.group() not in prompt:
        issues.append(Issue("", f"the answer holds the control token {leaked.group()}", "control_tokens"))
    if loops(text):
        issues.append(Issue("", "the answer repeats itself without end", "looping"))
    if _squeeze(prompt) and len(prompt) >= _ECHO_AT_LEAST and _squeeze(text).startswith(_squeeze(prompt)):
        issues.append(Issue("", "the answer repeats the prompt", "echo"))
    return tuple(issues)


def loops(text: str) -> bool:
    """Whether the end of a text is one unit over and over: at least four times, over at least 160 characters.

    A unit without a letter or digit (a ruler, a table's frame) is no loop.
    """
    tail = text.rstrip()[-2000:]
    # Where the tail has period p, it equals itself shifted by p; the shortest such p over a window is its unit.
    for period in range(1, len(tail) // _LOOP_TIMES + 1):
        span = max(_LOOP_AT_LEAST, period * _LOOP_TIMES)
        if span > len(tail):
            break
        window = tail[-span:]
        if window[period:] == window[:-period]:
            return any(c.isalnum() for c in window[:period])
    return False


def _squeeze(text: str) -> str:
    return " ".join(text.split()).casefold()
