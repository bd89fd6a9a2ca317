"""How long one tier may keep the others waiting: a deadline within which some tier still answers.

`timeout` is one deadline for all tiers. So if a later tier may still be asked, a tier that shows no progress has only
its share: the time that is left, divided by the number of tiers that may still be asked, itself included. Each sign of
progress gives it a new share of the time that is left then. A share never cuts a working tier short.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from rung.engine import gate
from rung.engine.plan import Plan
from rung.engine.record import Record
from rung.errors import TierStalled, TierTimeout
from rung.limits import Deadline
from rung.tier import Rung
from rung.types import Delta

_UNSTREAMED = 2
"""Number of shares where an answer will come in one piece. Nothing of it can be seen before, so it gets half of the
time that is left."""

_LEAST = 0.35
"""Seconds of the shortest share. On a busy machine a connection and a first token take that long. Where less than twice
that is left, the tier that has begun gets all of it, because the next one would come too late."""


@dataclass(slots=True)
class _Turn:
    """What changes in an attempt's deadline.

    Args:
        tiers: how many may still be asked, this one included.
        since: instant of the last progress, on the clock of `time.monotonic`.
        share: seconds from then on; `None` if nobody waits for the tier, or there is no deadline.
        seen: how much was done of the work before the first token.
    """

    tiers: int
    since: float = 0.0
    share: float | None = None
    seen: float | None = None


class MovingDeadline(Deadline):
    """The deadline of one attempt. It moves on as the tier shows that it is working.

    Args:
        whole: the deadline of the request.
        limit: when the tier has used up its own `max_seconds`.
        tiers: how many may still be asked, this one included.
    """

    __slots__ = ("_limit", "_turn", "_whole")
    _whole: Deadline
    _limit: Deadline
    _turn: _Turn

    def __init__(self, whole: Deadline, limit: Deadline, tiers: int) -> None:
        super().__init__(whole.at)
        for name, value in (("_whole", whole), ("_limit", limit), ("_turn", _Turn(tiers))):
            object.__setattr__(self, name, value)  # a deadline is frozen: only what this one points to changes
        self._renew()

    def take(self, delta: Delta) -> None:
        """Look at what the tier gave. A load or prefill that moves on is progress, and so is a thought or a token."""
        turn = self._turn
        moved = delta.progress is not None and delta.progress != turn.seen
        if moved:
            turn.seen = delta.progress
        if not delta.streams:
            turn.tiers = min(turn.tiers, _UNSTREAMED)
        if moved or not delta.streams or delta.text or delta.reasoning or delta.tokens or delta.finish:
            self._renew()

    @property
    def silent(self) -> float:
        """Seconds since the last progress."""
        return time.monotonic() - self._turn.since

    def remaining(self) -> float | None:
        """Seconds left as things stand, never below zero; `None` if nothing limits the attempt."""
        ends = [deadline.at for deadline in (self._whole, self._limit) if deadline.at is not None]
        if self._turn.share is not None:
            ends.append(self._turn.since + self._turn.share)
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    @property
    def passed(self) -> bool:
        """Whether the tier has to stop."""
        return self.remaining() == 0.0

    @property
    def used_up(self) -> bool:
        """Whether the tier has used up its own `max_seconds`, even if it is still making progress."""
        return self._whole.passed or self._limit.passed

    def _renew(self) -> None:
        left = self._whole.remaining()
        self._turn.since = time.monotonic()
        shared = left is not None and self._turn.tiers > 1 and left >= 2 * _LEAST
        self._turn.share = max(_LEAST, left / self._turn.tiers) if shared and left is not None else None


def waiting(plan: Plan, record: Record, rung: Rung) -> int:
    """How many tiers after a rung may still be asked, as far as that is known beforehand.

    Args:
        plan: the run.
        record: what was tried so far.
        rung: the tier that is asked now.
    """
    broken = plan.paid_after == "local_answers" and bool(gate.silent_before(plan, record, rung))
    behind = plan.rungs[plan.rungs.index(rung) + 1 :]
    return sum(r.tier.zone <= plan.reach and not (broken and r.prices is not None and r.prices.priced) for r in behind)


def stalled(
    error: TierTimeout, rung: Rung, whole: Deadline, limit: Deadline, patience: MovingDeadline | None
) -> TierTimeout:
    """The timeout of a tier that was given up for the sake of others, reported as such. Any other timeout is unchanged.

    Args:
        error: what the tier raised.
        rung: the tier with its settings.
        whole: the deadline of the request.
        limit: when the tier has used up its own `max_seconds`.
        patience: the attempt's deadline; `None` if the attempt didn't get so far.
    """
    if whole.passed or not (limit.passed or (patience is not None and patience.passed)):
        return error
    name, silent = rung.tier.name, 0.0 if patience is None else patience.silent
    if limit.passed:
        message, hint = f"tier {name!r} took longer than its max_seconds = {rung.max_seconds:g}", "raise max_seconds"
    else:
        message = f"tier {name!r} showed no progress for {silent:.1f} s, its share of the time that was left"
        hint = "allow the request more seconds"
    given_up = TierStalled(message, silent=silent, hint=hint, billed=error.billed)
    given_up.sent, given_up.said = error.sent, error.said
    return given_up
