"""How well the tiers do, per task, and what answering on this machine saved."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from rung.ledger.file import LedgerFile
from rung.ledger.schema import dollars, sums, whole

METHOD = (
    "each answer that cost nothing counts as the mean cost of the accepted answers of paid tiers in the same task; "
    "those prompts were the harder ones, so this may be high"
)


@dataclass(frozen=True, slots=True)
class TierStatistics:
    """One tier in one task.

    Args:
        task: `None` for requests without one.
        tier: its name.
        requests: number of requests in which it was tried.
        attempts: number of its attempts, including repairs and retries.
        accepted: number of requests that it answered.
        escalated: number of requests that went on to a bigger tier because its answers failed.
        failed: number of requests in which it broke or was not available.
        seconds: wall time of all attempts.
        cost: US dollars of the attempts whose cost is known.
        cost_unknown: number of attempts of unknown cost.
    """

    task: str | None
    tier: str
    requests: int
    attempts: int
    accepted: int
    escalated: int
    failed: int
    seconds: float
    cost: Decimal
    cost_unknown: int

    @property
    def acceptance_rate(self) -> float:
        """Share of its requests that it answered."""
        return self.accepted / self.requests

    @property
    def escalation_rate(self) -> float:
        """Share of its requests that went on to a bigger tier because its answers failed."""
        return self.escalated / self.requests


@dataclass(frozen=True, slots=True)
class Savings:
    """What accepted answers that cost nothing would have cost at a paid tier, in US dollars.

    Args:
        measured: for answers to a prompt that a paid tier answered, too, word for word the same. Needs content.
        measured_requests: number of those requests.
        imputed: for the others whose task a paid tier sometimes answered; see `METHOD`.
        imputed_requests: number of those requests.
        unknown_requests: number of requests with nothing to compare with.
    """

    measured: Decimal
    measured_requests: int
    imputed: Decimal
    imputed_requests: int
    unknown_requests: int


@dataclass(frozen=True, slots=True)
class ShadowStatistics:
    """What shadows took. They aren't part of any request's cost, and no request waited for them.

    Args:
        told: number of shadows with a result, including those that were dropped.
        dropped: number of those that were dropped.
        asked: number of attempts that they took.
        seconds: wall time of those attempts.
        cost: US dollars of the attempts whose cost is known.
        cost_unknown: number of attempts of unknown cost.
    """

    told: int
    dropped: int
    asked: int
    seconds: float
    cost: Decimal
    cost_unknown: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """The totals of a ledger.

    Args:
        requests: number of all requests.
        accepted: number of those that were answered.
        left_machine: number of those that left this machine.
        cost: US dollars of the requests whose cost is known.
        cost_unknown: number of requests of unknown cost.
        tiers: figures per task and tier.
        savings: for answers that cost nothing.
        shadows: for what was asked besides the requests.
    """

    requests: int
    accepted: int
    left_machine: int
    cost: Decimal
    cost_unknown: int
    tiers: tuple[TierStatistics, ...]
    savings: Savings
    shadows: ShadowStatistics


_TOTALS = f"""
    SELECT count(*), coalesce(sum(accepted), 0), coalesce(sum(left_machine), 0), count(*) - count(cost), {sums("cost")}
    FROM requests WHERE at >= ?
"""
_TIERS = f"""
    SELECT r.task, a.tier, count(DISTINCT a.request) AS requests, count(*) AS attempts,
           count(CASE WHEN a.verdict = 'accept' THEN 1 END) AS accepted,
           count(DISTINCT CASE WHEN a.verdict = 'escalate' THEN a.request END) AS escalated,
           count(DISTINCT CASE WHEN a."constraint" IS NULL THEN a.request END) AS failed,
           sum(a.seconds) AS seconds, count(*) - count(a.cost) AS cost_unknown, {sums("a.cost")}
    FROM attempts a JOIN requests r ON r.id = a.request
    WHERE r.at >= ? AND NOT a.shadow AND (a.sent OR a.verdict = 'fallback')
    GROUP BY r.task, a.tier ORDER BY r.task, min(a.number), a.tier
"""
_SHADOWS = """
    SELECT count(*), count(*) - count(s.agrees) FROM shadows s JOIN requests r ON r.id = s.request WHERE r.at >= ?
"""
_SHADOWED = f"""
    SELECT count(*), coalesce(sum(a.seconds), 0), count(*) - count(a.cost), {sums("a.cost")}
    FROM attempts a JOIN requests r ON r.id = a.request WHERE r.at >= ? AND a.shadow AND a.sent
"""
_PAID = """
    SELECT r.task, p.messages, a.cost
    FROM attempts a JOIN requests r ON r.id = a.request LEFT JOIN prompts p ON p.request = r.id
    WHERE r.at >= ? AND NOT a.shadow AND a.verdict = 'accept' AND a.cost > 0
"""
_FREE = """
    SELECT r.task, p.messages FROM requests r LEFT JOIN prompts p ON p.request = r.id
    WHERE r.at >= ? AND r.accepted AND r.cost = 0
"""


def statistics(file: LedgerFile, since: int = 0) -> Statistics:
    """Compute a ledger's totals.

        found = statistics(file)
        found.requests  # 1
        [(it.tier, it.acceptance_rate) for it in found.tiers]  # [('small', 1.0)]

    Args:
        file: the ledger's.
        since: only requests that began at this time or later, in milliseconds since 1970.

    Raises:
        LedgerError: the file can't be read.
    """
    with file.snapshot() as connection:
        requests, accepted, left, unknown, high, low = connection.execute(_TOTALS, (since,)).fetchone()
        tiers = tuple(
            TierStatistics(**dict(zip(row.keys()[:-2], row[:-2], strict=True)), cost=whole(*row[-2:]))
            for row in connection.execute(_TIERS, (since,))
        )
        savings = _savings(connection, since)
        shadows = _shadows(connection, since)
    return Statistics(requests, accepted, left, whole(high, low), unknown, tiers, savings, shadows)


def _shadows(connection: sqlite3.Connection, since: int) -> ShadowStatistics:
    told, dropped = connection.execute(_SHADOWS, (since,)).fetchone()
    asked, seconds, unknown, high, low = connection.execute(_SHADOWED, (since,)).fetchone()
    return ShadowStatistics(told, dropped, asked, seconds, whole(high, low), unknown)


def _savings(connection: sqlite3.Connection, since: int) -> Savings:
    tasks: defaultdict[str | None, list[int]] = defaultdict(list)
    prompts: defaultdict[str, list[int]] = defaultdict(list)
    for task, messages, cost in connection.execute(_PAID, (since,)):
        tasks[task].append(cost)
        if messages is not None:
            prompts[messages].append(cost)
    measured, imputed, unknown = [], [], 0
    for task, messages in connection.execute(_FREE, (since,)):
        if messages in prompts:
            measured.append(_mean(prompts[messages]))
        elif task in tasks:
            imputed.append(_mean(tasks[task]))
        else:
            unknown += 1
    return Savings(_sum(measured), len(measured), _sum(imputed), len(imputed), unknown)


def _mean(costs: list[int]) -> int:
    return sum(costs) // len(costs)


def _sum(amounts: Iterable[int]) -> Decimal:
    return dollars(sum(amounts))
