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
    """A tier is about to get the call."""

    number: int
    tier: str
    zone: Zone


@dataclass(frozen=True, slots=True)
class Provisional:
    """Unvalidated text, if the caller opted in. It may be withdrawn.

    Args:
        number: the attempt's.
        tier: the tier's name.
        text: the next piece of the answer; empty while the model thinks.
        reasoning: the next piece of a thought that isn't part of the answer.
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
    """An attempt is over, with whatever result. A skipped tier counts, too."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Accepted:
    """An answer passed validation."""

    tier: str
    value: Any = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Toss:
    """A random draw, made before a request is answered, of whether it gets a shadow.

    Args:
        chance: probability of a shadow.
        fell: whether the request gets one. Then its answer is also compared with the next tier's.
        key: names the draw, so that its result can be reported later.
    """

    chance: float
    fell: bool
    key: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of every request.

    Args:
        request: what was asked.
        outcome: the result, with every attempt.
        form: sha256 of the kind of request: contract, template, sampling, cap. Nothing of what was asked is in it.
        toss: the draw for a shadow; `None` if there was none.
    """

    request: Request
    outcome: Outcome[Any]
    form: str = ""
    toss: Toss | None = None


@dataclass(frozen=True, slots=True)
class Shadowed:
    """The result of a shadow. Observers get it after `Finished`, or never. No stream has it.

    Args:
        toss: the draw.
        against: the tier that the ladder's answer was compared with.
        agrees: whether that tier gives the same answer by itself; `None` if the shadow was dropped.
        reason: why it was dropped, or why no tier had to be asked; empty otherwise.
        attempts: that tier's attempts. Their cost isn't part of the request's outcome.
    """

    toss: Toss
    against: str
    agrees: bool | None
    reason: str = ""
    attempts: tuple[Attempt, ...] = field(default=(), repr=False)


Event = AttemptStarted | Preparing | Provisional | Withdrawn | AttemptEnded | Accepted | Finished | Shadowed
