"""What was found on this machine, one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        topic: what was looked at, in a word.
        level: a `problem` keeps something from working. A `note` costs speed or may surprise.
        text: what was found, in a clause.
        hint: the command or setting that helps; empty if nothing is wrong.
    """

    topic: str
    level: Level
    text: str
    hint: str = ""
