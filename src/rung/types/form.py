"""The form in which a tier is asked: how the prompt is put, and what the answer looks like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Place = Literal["system", "before", "after", "nowhere"]
"""Where a tier is told what the answer must be: in the system turn, in the user's turn before or after the prompt, or
nowhere, where only decoding holds it to that."""

Shown = Literal["none", "fixed", "similar"]
"""Which examples a tier is shown: none, the same ones each time, or those most like the prompt."""


Absent = Literal["omitted", "null"]
"""How an object says that the prompt doesn't mention an optional field: it has no such field, or null stands there."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt that was answered well.

    Args:
        asked: text of the user's turn.
        answer: the value, as JSON has it.
    """

    asked: str = field(repr=False)
    answer: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class PromptForm:
    """How a tier is asked. The one with nothing set is rung's own.

    Args:
        wrap: whether a choice or a text that matches a pattern is written as JSON, `{"value": ...}`.
        place: where the tier is told what the answer must be.
        wording: how it is told, with the options, the schema or the pattern in braces; empty takes rung's own words.
        examples: which examples come before the prompt, as turns of their own.
        reason: whether an object begins with a short `reason`, which isn't part of the value.
        absent: how an optional field is written that the prompt doesn't mention. A null isn't part of the value.
    """

    wrap: bool = False
    place: Place = "system"
    wording: str = ""
    examples: Shown = "none"
    reason: bool = False
    absent: Absent = "omitted"


@dataclass(frozen=True, slots=True)
class FormInForce:
    """The form in which a tier of a task is asked, and its examples.

    Args:
        form: of the prompt.
        sha256: of the form and of all examples that it may show.
        pick: the examples for a prompt's text, the most similar one last.
        notes: sentences for the trace.
    """

    form: PromptForm
    sha256: str
    pick: Callable[[str], Sequence[Example]] = field(default=lambda _: (), repr=False)
    notes: tuple[str, ...] = ()
