"""Bounds on the work that an answer may cause: its size, its nesting, its time. No bound depends on the answer."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

from rung import threads
from rung.errors import Cancelled
from rung.limits import Cancel, Deadline
from rung.types import Issue, IssueCode

T = TypeVar("T")

LONGEST_ANSWER = 4_000_000
"""Characters of the longest answer that is read: a million tokens of four characters, more than any model writes.
Parsing takes up to 30 times as much memory for a moment, and Python's parser can't be interrupted."""

MOST_VALUES = 500_000
"""Lists, objects and items of the largest answer that is parsed, counted by their brackets and commas. Each becomes a
Python object. Without a bound, a long answer of empty lists would take far more memory than its text."""

DEEPEST_ANSWER = 200
"""Levels of lists and objects in an answer. Pydantic's parser takes as many."""

MOST_ISSUES = 50
"""Issues that are reported of one answer. A repair is told ten of them; the rest is for people."""

LONGEST_CHECK = 30.0
"""Seconds that a schema or a pattern may take for one answer if nobody set a deadline."""

_LOOK_EVERY = 64


class CheckOverdue(Exception):
    """A check has been running for `LONGEST_CHECK` seconds."""


class Undecided(Exception):
    """A value can't be checked in bounded time. The message is a clause that says which value."""


class Watch:
    """Ends work between its steps: at the deadline, when cancelled, and after `LONGEST_CHECK` seconds.

    Args:
        deadline: of the request.
        cancel: of the request.
    """

    def __init__(self, deadline: Deadline, cancel: Cancel) -> None:
        self.deadline, self.cancel = deadline, cancel
        self._end = time.monotonic() + LONGEST_CHECK
        self._steps = 0

    def step(self) -> None:
        """Count a short step, and look at the clock now and then. Raises what `look` raises."""
        self._steps += 1
        if self._steps % _LOOK_EVERY == 0:
            self.look()

    def look(self) -> None:
        """Look at the clock and the flag.

        Raises:
            Abandoned: the deadline passed.
            CheckOverdue: the work took longer than `LONGEST_CHECK`.
            Cancelled: the flag was set.
        """
        if self.cancel.is_set():
            raise Cancelled("the caller cancelled")
        if self.deadline.passed:
            raise threads.Abandoned
        if time.monotonic() > self._end:
            raise CheckOverdue

    @property
    def remaining(self) -> float:
        """Seconds until the work is ended."""
        left = max(0.0, self._end - time.monotonic())
        at = self.deadline.remaining()
        return left if at is None else min(left, at)


def is_too_long(characters: int) -> bool:
    """Whether an answer of this many characters is refused unread, so that its stream can be ended."""
    return characters > LONGEST_ANSWER


def too_long(text: str) -> Issue:
    """The issue of an answer that is refused unread because it is too long."""
    return Issue(
        "", f"the answer has {len(text):,} characters; at most {LONGEST_ANSWER:,} are read", IssueCode.TOO_LONG
    )


def is_text(text: str) -> bool:
    """Whether a string can be written as UTF-8. Half of a surrogate pair can't be, and libraries fail on it."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_deeper(value: Any, levels: int) -> bool:
    """Whether a value nests lists and objects more than `levels` deep."""
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for outer in level
            if isinstance(outer, (list, dict))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(inner, (list, dict)) for inner in level)


def unrolled(work: Generator[Generator[Any, Any, Any], Any, T]) -> T:
    """The result of a recursion that is written as generators, so that it needs no stack of the interpreter.

    Args:
        work: yields a generator for each recursive call, and is sent the result of that call.
    """
    stack: list[Generator[Any, Any, Any]] = [work]
    result: Any = None
    while stack:
        try:
            stack.append(stack[-1].send(result))
            result = None
        except StopIteration as stop:
            stack.pop()
            result = stop.value
    return result  # type: ignore[no-any-return]  # the last result is that of `work`
