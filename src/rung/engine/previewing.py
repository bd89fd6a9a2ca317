"""What a request would send beyond this machine. It is found out without sending it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rung.consent import always
from rung.engine.loop import run
from rung.engine.plan import Plan
from rung.errors import TierError, Unsupported
from rung.tier import Outgoing, Rung
from rung.types import Call, Delta, Finished, Outcome, Zone


@dataclass(frozen=True, slots=True)
class Preview:
    """What would leave this machine.

    Args:
        outgoing: the first request to each tier beyond this machine, in order.
        outcome: outcome of the local tiers. They were really asked, because what a tier beyond is told depends on them.
    """

    outgoing: tuple[Outgoing, ...]
    outcome: Outcome[object]


def preview(plan: Plan) -> Preview:
    """Run the plan with every tier beyond this machine replaced by one that only notes what it would send.

    Nobody is asked for consent, nothing is reserved and no observer is told, because nothing goes out.

    Args:
        plan: the run.
    """
    noted: list[Outgoing] = []
    rungs = tuple(
        replace(rung, tier=_Noting(rung, noted)) if rung.tier.zone > Zone.HOST else rung for rung in plan.rungs
    )
    harmless = replace(plan, rungs=rungs, consent=always, purse=None, observers=(), shadows=None)
    for event in run(harmless):
        if isinstance(event, Finished):
            return Preview(tuple(noted), event.outcome)
    raise AssertionError("a run ends with Finished")


class _Noting:
    """Stands in for a tier. It fails every call, after noting what the tier would have sent."""

    def __init__(self, rung: Rung, noted: list[Outgoing]) -> None:
        self.name, self.zone = rung.tier.name, rung.tier.zone
        self._shows, self._noted = rung.shows, noted
        if rung.quotes is not None:
            self.quote = rung.quotes.quote  # only here, so that a tier that doesn't quote has none

    def stream(self, call: Call) -> Iterator[Delta]:
        """Note what the call would send."""
        if self._shows is None:
            raise Unsupported(f"tier {self.name!r} doesn't tell what it sends")
        self._noted.append(self._shows.outgoing(call))
        raise TierError("this was shown and not sent")

    def close(self) -> None:
        """Nothing is held."""
