"""Which order is faster: one tier after the other, or each row through all tiers. Both are tried on rows of the job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from rung.batch.working import Job, Order, StepProgress, work
from rung.tiers.llama.headroom import SHARE, free_memory

_TURNS: tuple[Order, ...] = ("tiers", "stream", "stream", "tiers")
"""The trial. Each order has its turn early and late, so that what else the machine does meanwhile slows both."""
_SAMPLE = 3
"""A turn has this many times the rows that are under way together, so that most of them overlap."""
_WORTH = 7
"""A job has to have this many times the rows of the trial. In a shorter one, the choice would save too little."""
_FASTER = 1.1
"""How much faster streaming has to be in the trial: a smaller difference may be chance, and streaming takes more
memory."""
_KEPT = "order"
"""The manifest's name for the rates that were measured."""


@dataclass(frozen=True, slots=True)
class OrderTrial:
    """What was chosen.

    Args:
        order: the order.
        rates: rows a second of each order that was tried, without the loading of models; empty if none was.
        why: why none was tried; empty if they were.
    """

    order: Order
    rates: Mapping[Order, float]
    why: str = ""

    def sentence(self) -> str:
        """The choice, for a person."""
        if self.why:
            return f"tier by tier: {self.why}"
        told = ", ".join(f"{rate:.2g} rows/s by --order {order}" for order, rate in self.rates.items())
        return f"measured: {told}; going on with {self.order}"


def measured(job: Job, tell: Callable[[StepProgress], None]) -> OrderTrial:
    """Try both orders, each twice and on rows of its own, whose answers are kept. Nothing is tried where it can't pay,
    and no job is tried twice.

    Args:
        job: what is to be done.
        tell: called with the progress.

    Raises:
        RungError: what `work` raises.
    """
    count, before = _SAMPLE * job.together, job.manifest.get(_KEPT)
    if before is not None:
        return OrderTrial(faster(before), before)
    if why := _pointless(job, count):
        return OrderTrial("tiers", {}, why)
    done, spent = Counter[Order](), dict.fromkeys(_TURNS, 0.0)
    for order in _TURNS:
        chosen = job.manifest.first(count)
        steps: dict[str, StepProgress] = {}
        for progress in work(replace(job, order=order), chosen):
            steps[progress.tier] = progress
            tell(progress)
        for rung in job.ladder.rungs:
            rung.tier.close()  # the next turn begins with the memory that this one began with
        seconds = sum(step.seconds for step in steps.values())
        if job.stop.is_set() or seconds <= 0:
            return OrderTrial("tiers", {}, "the trial was interrupted")
        done[order] += len(chosen)
        spent[order] += seconds
    rates = {order: done[order] / spent[order] for order in spent}
    with job.manifest.transaction() as connection:
        job.manifest.put(connection, _KEPT, rates)
    return OrderTrial(faster(rates), rates)


def faster(rates: Mapping[Order, float]) -> Order:
    """The order to go on with.

    Args:
        rates: rows a second of both.
    """
    return "stream" if rates["stream"] > _FASTER * rates["tiers"] else "tiers"


def _pointless(job: Job, count: int) -> str:
    """Why nothing is to be tried; empty if it is."""
    if len(job.ladder.rungs) < 2:
        return "there is one tier"
    if job.cluster is not None:
        return "a cluster has a pipeline for each tier"
    if job.manifest.counts().open.get(0, 0) < _WORTH * len(_TURNS) * count:
        return "the job is too short to try"
    needs = [rung.prepares.requirement().memory for rung in job.ladder.rungs if rung.prepares is not None]
    if len(needs) > 1 and (None in needs or sum(it or 0 for it in needs) > SHARE * free_memory().available):
        return "the models don't fit into memory together"
    return ""
