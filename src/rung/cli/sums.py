"""The sums of the ledger, for a person and for a program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rung.cli.tables import UNKNOWN, aligned, money
from rung.learn.watching import said
from rung.ledger.figures import METHOD

if TYPE_CHECKING:
    from rung.learn.watching import Watched
    from rung.ledger import Savings, Spending, Statistics, TierStatistics
    from rung.ledger.figures import ShadowStatistics


def as_object(found: Statistics, spans: Iterable[Spending], use: Iterable[Watched] = ()) -> dict[str, Any]:
    """The object of `--json`."""
    shadows = found.shadows
    savings = found.savings
    return {
        "statistics": {
            "requests": found.requests,
            "accepted": found.accepted,
            "left_machine": found.left_machine,
            "cost_usd": float(found.cost),
            "cost_unknown": found.cost_unknown,
            "tiers": [_tier(t) for t in found.tiers],
            "savings": {
                "measured": {"usd": float(savings.measured), "requests": savings.measured_requests},
                "imputed": {"usd": float(savings.imputed), "requests": savings.imputed_requests, "method": METHOD},
                "unknown": {"requests": savings.unknown_requests},
            },
            "shadows": {
                "told": shadows.told,
                "dropped": shadows.dropped,
                "attempts": shadows.asked,
                "seconds": shadows.seconds,
                "cost_usd": float(shadows.cost),
                "cost_unknown": shadows.cost_unknown,
            },
        },
        "use": [_used(w) for w in use],
        "budgets": [
            {
                "span": s.span,
                "spent_usd": float(s.spent),
                "reserved_usd": float(s.reserved),
                "open": s.open,
                "limit_usd": None if s.limit is None else float(s.limit),
            }
            for s in spans
        ],
    }


def told(found: Statistics, spans: Iterable[Spending], use: Iterable[Watched] = ()) -> str:
    """The sums as text."""
    unknown = f" and that of {found.cost_unknown:,} unknown" if found.cost_unknown else ""
    head = (
        f"{found.requests:,} requests, {found.accepted:,} answered, {found.left_machine:,} left this machine, "
        f"cost {money(found.cost)}{unknown}"
    )
    lines = [head, "", *([_tiers(found.tiers), ""] if found.tiers else []), *_savings(found.savings)]
    budgets = [_budget(s) for s in spans if s.limit is not None or s.spent or s.reserved]
    return "\n".join([*lines, *budgets, *_shadows(found.shadows), *(line for w in use for line in said(w))])


def _shadows(s: ShadowStatistics) -> Iterator[str]:
    if s.told:
        unknown = f" + {s.cost_unknown:,} unknown" if s.cost_unknown else ""
        yield (
            f"shadows: {s.told:,}, of which {s.dropped:,} were dropped; {s.asked:,} attempts, {s.seconds:.1f} s, "
            f"{money(s.cost)}{unknown}, not part of any request's sums"
        )


def _used(w: Watched) -> dict[str, Any]:
    return {
        "task": w.use.task,
        "requests": len(w.use.rows),
        "tossed": len(w.use.tossed),
        "dropped": w.use.dropped,
        "needed": w.needed,
        "enough": w.enough,
        "limit": None if w.promise is None else w.promise.limit,
        "evidence": w.losses,
        "void": w.void,
        "delay": w.delay,
        "score_evidence": w.scores,
        "score_delay": w.score_delay,
        "sentences": list(said(w)),
    }


def _tier(t: TierStatistics) -> dict[str, Any]:
    return {
        "task": t.task,
        "tier": t.tier,
        "requests": t.requests,
        "attempts": t.attempts,
        "accepted": t.accepted,
        "escalated": t.escalated,
        "failed": t.failed,
        "acceptance_rate": t.acceptance_rate,
        "escalation_rate": t.escalation_rate,
        "seconds": t.seconds,
        "cost_usd": float(t.cost),
        "cost_unknown": t.cost_unknown,
    }


def _tiers(tiers: Iterable[TierStatistics]) -> str:
    heads = ("task", "tier", "requests", "accepted", "sent up", "broke", "attempts", "seconds each", "cost")
    rows = [
        (
            t.task or UNKNOWN,
            t.tier,
            f"{t.requests:,}",
            f"{t.acceptance_rate:.0%}",
            f"{t.escalation_rate:.0%}",
            f"{t.failed:,}",
            f"{t.attempts:,}",
            f"{t.seconds / t.attempts:.2f}",
            money(t.cost) + (f" + {t.cost_unknown:,} unknown" if t.cost_unknown else ""),
        )
        for t in tiers
    ]
    return aligned(heads, rows, words=2)


def _savings(s: Savings) -> Iterator[str]:
    yield "saved by answers that cost nothing:"
    yield f"  measured: {money(s.measured)} ({s.measured_requests:,} requests; a paid tier answered the same prompt)"
    yield f"  imputed: {money(s.imputed)} ({s.imputed_requests:,} requests)"
    if s.imputed_requests:
        yield f"    {METHOD}"
    yield f"  unknown: {s.unknown_requests:,} requests with nothing to compare with"


def _budget(s: Spending) -> str:
    limit = "" if s.limit is None else f" of {money(s.limit)}"
    held = f", {money(s.reserved)} reserved by {s.open:,} calls that haven't ended" if s.open else ""
    left = "" if s.left is None else f", {money(s.left)} left"
    return f"this {s.span} (UTC): {money(s.spent)}{limit} spent{held}{left}"
