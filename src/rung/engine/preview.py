"""What a request would send beyond this machine, found out without sending it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rung.engine.loop import run
from rung.engine.plan import Plan
from rung.errors import TierError, Unsupported
from rung.tier import Outgoing, Quotes, Shows, Tier
from rung.types import Call, Delta, Finished, Hop, Outcome, Zone


@dataclass(frozen=True, slots=True)
class Preview:
    """What would leave this machine.

    Args:
        outgoing: the first request to each tier beyond it, in order.
        outcome: of the local tiers, which were really asked: what a tier beyond is told depends on them.
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
        replace(rung, tier=_Noting(rung.tier, noted)) if rung.tier.zone > Zone.HOST else rung for rung in plan.rungs
    )
    harmless = replace(plan, rungs=rungs, consent=_yes, purse=None, observers=())
    for event in run(harmless):
        if isinstance(event, Finished):
            return Preview(tuple(noted), event.outcome)
    raise AssertionError("a run ends with Finished")


def _yes(hop: Hop) -> bool:
    return True


class _Noting:
    """Stands for a tier, and fails every call after noting what it would have sent."""

    def __init__(self, tier: Tier, noted: list[Outgoing]) -> None:
        self.name, self.zone = tier.name, tier.zone
        self._tier, self._noted = tier, noted
        if isinstance(tier, Quotes):
            self.quote = tier.quote  # and no method of its own: a tier without one must stay one without

    def stream(self, call: Call) -> Iterator[Delta]:
        """Note what the call would send."""
        if not isinstance(self._tier, Shows):
            raise Unsupported(f"tier {self.name!r} doesn't tell what it sends")
        self._noted.append(self._tier.outgoing(call))
        raise TierError("this was shown and not sent")

    def close(self) -> None:
        """Nothing is held."""
