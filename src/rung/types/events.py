"""What a user interface or a ledger is told while a request runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rung.types.call import Issue
from rung.types.preparing import Preparing
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
    """Unvalidated text, where the caller opted in. It may be withdrawn.

    Args:
        number: the attempt's.
        tier: the tier's name.
        text: what the answer grows by; empty while the model thinks.
        reasoning: what a thought that is no part of the answer grows by.
    """

    number: int
    tier: str
    text: str = field(repr=False)
    reasoning: str = field(default="", repr=False)


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
class Toss:
    """A coin that was tossed before a request was answered.

    Args:
        chance: probability with which it falls.
        fell: whether it did; then the answer is also held against the next tier's.
        key: names the toss, so that what comes of it can be told later.
    """

    chance: float
    fell: bool
    key: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of every request.

    Args:
        request: what was asked.
        outcome: everything that came of it.
        form: sha256 of what kind of request it was: contract, template, sampling, cap; nothing of what was asked.
        toss: the coin; `None` where none was tossed.
    """

    request: Request
    outcome: Outcome[Any]
    form: str = ""
    toss: Toss | None = None


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What came of a shadow. Observers are told after `Finished`, or never; no stream has it.

    Args:
        toss: the coin that fell for it.
        against: the tier that the ladder's answer was held against.
        agrees: whether that tier says the same by itself; `None` where the shadow was dropped.
        reason: why it was dropped, or why nobody had to be asked; empty otherwise.
        attempts: of that tier. Their cost is no part of the request's outcome.
    """

    toss: Toss
    against: str
    agrees: bool | None
    reason: str = ""
    attempts: tuple[Attempt, ...] = field(default=(), repr=False)


Event = AttemptStarted | Preparing | Provisional | Withdrawn | AttemptEnded | Accepted | Finished | Shadowed
