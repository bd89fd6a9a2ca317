"""Estimating what a job will take, from a sample of its rows that is really asked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from rung.batch.purse import JobPurse
from rung.batch.schema import ACCEPTED
from rung.batch.working import Job, StepProgress, work
from rung.learn.intervals import Estimate, bootstrap


@dataclass(frozen=True, slots=True)
class TierEstimate:
    """What one tier will take.

    Args:
        tier: its name.
        asked: share of the rows that reach it.
        seconds: time per row of the sample, with as many rows at once as the job runs.
    """

    tier: str
    asked: Estimate
    seconds: float


@dataclass(frozen=True, slots=True)
class JobEstimate:
    """What the rest of a job will take.

    Args:
        rows: sampled rows that the estimate is based on.
        left: rows that are left.
        tiers: what each will take.
        sent_up: share of the rows that the first tier's answer doesn't settle.
        rejected: share of the rows without an accepted answer.
        cost: mean US dollars per row.
        paid: share of the rows that cost anything; `None` if no tier within reach can cost money.
        limit: US dollars that the whole job may cost; `None` without a limit.
    """

    rows: int
    left: int
    tiers: tuple[TierEstimate, ...]
    sent_up: Estimate
    rejected: Estimate
    cost: Estimate
    paid: Estimate | None
    limit: float | None

    def hours(self) -> tuple[float, float, float]:
        """Hours for the rest: the likely value, and the bounds that follow from the intervals of the shares."""

        def sum_of(part: Callable[[Estimate], float | None]) -> float:
            return self.left / 3600 * sum((part(tier.asked) or 0.0) * tier.seconds for tier in self.tiers)

        return sum_of(lambda e: e.value), sum_of(lambda e: e.low), sum_of(lambda e: e.high)

    def dollars(self) -> tuple[float, float, float]:
        """US dollars for the rest: the likely value, and the bounds."""
        value, low, high = self.cost.value or 0.0, self.cost.low, self.cost.high
        return (
            self.left * value,
            self.left * (value if low is None else low),
            self.left * (value if high is None else high),
        )

    def sentences(self) -> list[str]:
        """The estimate as lines for a person."""
        hours, money = self.hours(), self.dollars()
        said = [
            f"from {self.rows:,} rows, for the {self.left:,} that are left (95% intervals):",
            f"  time: {_time(hours[0])} ({_time(hours[1])} to {_time(hours[2])})",
            f"  sent up by the first tier: {_share(self.sent_up)}",
            f"  without an accepted answer: {_share(self.rejected)}",
        ]
        said += [f"  {tier.tier}: {_share(tier.asked)} of the rows, {tier.seconds:.2f} s each" for tier in self.tiers]
        if self.paid is None:
            said.append("  cost: nothing; no tier that may be asked costs money")
        elif self.cost.value:
            said.append(f"  cost: ${money[0]:.2f} (${money[1]:.2f} to ${money[2]:.2f})")
        else:
            high = self.paid.high or 0.0
            said.append(f"  cost: no row of the sample cost anything; up to {high:.0%} of the rows may")
        if self.limit is not None:
            said.append(f"  and never more than ${self.limit:.2f} in all, which --max-cost says")
        return said

    def as_object(self) -> dict[str, Any]:
        """The estimate as an object for `--json`."""
        hours, money = self.hours(), self.dollars()
        return {
            "rows": self.rows,
            "left": self.left,
            "hours": dict(zip(("value", "low", "high"), hours, strict=True)),
            "sent_up": _object(self.sent_up),
            "rejected": _object(self.rejected),
            "cost_usd": dict(zip(("value", "low", "high"), money, strict=True)),
            "tiers": [
                {"tier": tier.tier, "asked": _object(tier.asked), "seconds": tier.seconds} for tier in self.tiers
            ],
        }


def estimate(job: Job, most: int, tell: Callable[[StepProgress], None]) -> JobEstimate | None:
    """Ask a sample, and estimate the rest. `None` if nothing is left to ask.

    The answers to the sample are kept as answers of the job. A hash of the question decides which questions are drawn.

    Args:
        job: what is to be done.
        most: rows of the sample.
        tell: called with the progress.

    Raises:
        RungError: what `work` raises.
    """
    chosen = [it["number"] for it in job.manifest.sample(most)]
    if not chosen:
        return None
    seconds: dict[str, StepProgress] = {}
    for progress in work(job, chosen):
        seconds[progress.tier] = progress
        tell(progress)
    ended = job.manifest.rows(
        "SELECT stage, answer FROM questions WHERE number IN (SELECT value FROM json_each(?)) AND answer IS NOT NULL",
        (json.dumps(chosen),),
    )
    answers = [(it["stage"], json.loads(it["answer"])) for it in ended]
    if not answers:
        return None
    asked = [{attempt["tier"] for attempt in said.get("attempts", []) if attempt["seconds"]} for _, said in answers]
    names = [rung.tier.name for rung in job.ladder.rungs if any(rung.tier.name in tiers for tiers in asked)]
    costs = np.array([said["cost_usd"] or 0.0 for _, said in answers])
    whole = seconds.get("")
    each = whole.seconds / whole.done if whole is not None and whole.done else 0.0
    tiers = tuple(
        TierEstimate(
            name,
            _share_of([name in tiers for tiers in asked]),
            seconds[name].seconds / max(1, seconds[name].done) if name in seconds else each / len(names),
        )
        for name in names
    )
    may_cost = any(rung.may_cost and rung.tier.zone <= job.ladder.reach for rung in job.ladder.rungs)
    purse = job.purse if isinstance(job.purse, JobPurse) else None
    first = job.ladder.rungs[0].tier.name
    open_rows = sum(job.manifest.counts().open.values())
    return JobEstimate(
        rows=len(answers),
        left=open_rows,
        tiers=tiers,
        sent_up=_share_of([said["tier"] != first or stage != ACCEPTED for stage, said in answers]),
        rejected=_share_of([stage != ACCEPTED for stage, _ in answers]),
        cost=bootstrap(lambda drawn: float(drawn.mean()), costs),
        paid=_share_of([cost > 0 for cost in costs]) if may_cost else None,
        limit=None if purse is None or purse.limit is None else float(purse.limit),
    )


def _share_of(hits: list[bool]) -> Estimate:
    """A share with Wilson's 95% interval (Wilson 1927). It needs no library, and also works for shares of 0 and 1."""
    count, z = len(hits), NormalDist().inv_cdf(0.975)
    mean, weight = sum(hits) / count, z * z / count
    middle = (mean + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(mean * (1 - mean) / count + weight / (4 * count))
    return Estimate(mean, max(0.0, middle - half), min(1.0, middle + half), 0.95, count, count)


def _share(found: Estimate) -> str:
    return f"{found.value or 0:.0%} ({found.low or 0:.0%} to {found.high or 0:.0%})"


def _object(found: Estimate) -> dict[str, float | None]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _time(hours: float) -> str:
    if hours < 1 / 40:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 1.5 else f"{hours:.1f} h"
