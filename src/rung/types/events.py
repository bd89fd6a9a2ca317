"""What a user interface or a ledger is told while a request runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rung.types.call import Issue
from rung.types.request import Request
from rung.types.result import Attempt, Outcome
from rung.types.zone import Zone


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """A tier is about to be given the call."""

    number: int
    tier: str
    zone: Zone


@dataclass(frozen=True, slots=True)
class Provisional:
    """Unvalidated text, where the caller opted in. It may be withdrawn."""

    number: int
    tier: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Erase what this attempt showed."""

    number: int
    tier: str
    reason: str
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt is over, whatever came of it; a skipped tier is one too."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Accepted:
    """An answer passed validation."""

    tier: str
    value: Any = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of every request."""

    request: Request
    outcome: Outcome[Any]


Event = AttemptStarted | Provisional | Withdrawn | AttemptEnded | Accepted | Finished
