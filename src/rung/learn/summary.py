"""The numbers of an evaluation: what each tier is worth, what the ladder achieves with them, and what it could."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from rung.errors import ConfigError
from rung.learn import metrics
from rung.learn.arrays import Bools, Floats
from rung.learn.intervals import Estimate, Paired, bootstrap, paired, share
from rung.learn.results import LADDER, Results, TierResult
from rung.spelling import nearest

FEATURE = "minimum"
"""The feature that answers are ranked by, by default: the one that an attempt shows as its confidence."""

ENOUGH = 0.97
"""Share of the next tier's accuracy that the report asks for when it says how much must be sent up at least."""

_SHOWN = 10
"""Confident and wrong rows that are listed: enough to see what they have in common."""

Measure = Literal["right", "agrees"]


@dataclass(frozen=True, slots=True)
class TierSummary:
    """One tier by itself, or the ladder.

    Args:
        tier: its name, or `LADDER`.
        rows: number of rows that were asked.
        not_asked: number of rows that no tier was asked about, by reason.
        ungraded: number of rows whose answer couldn't be graded, by reason.
        right: share of the rows that it gets right, or on which it agrees with the tier that it is measured by; `None`
            if unknown.
        accepted: share of the rows with a valid answer.
        sent_up: for the ladder, share of the rows whose first tier's answer wasn't accepted.
        seconds: mean of the tiers' time for a row.
        latency: mean wall time of a row's calls, with as many at once as were made.
        input_tokens: mean of a row; `None` if unknown.
        output_tokens: mean of a row; `None` if unknown.
        cost: US dollars of all rows; `None` if unknown.
        answered_by: for the ladder, number of answers that each tier gave.
        brier: mean squared error of the confidence read as a probability; `None` if the feature isn't one.
        ece: expected calibration error of the same.
        surest_wrong: the rows that it got wrong and was surest of, with the feature, surest first.
        reliability: for the figure.
        risk: for the figure.
    """

    tier: str
    rows: int
    not_asked: dict[str, int]
    ungraded: dict[str, int]
    right: Estimate | None
    accepted: Estimate | None
    sent_up: Estimate | None
    seconds: float
    latency: float
    input_tokens: float | None
    output_tokens: float | None
    cost: Decimal | None
    answered_by: dict[str, int]
    brier: Estimate | None
    ece: Estimate | None
    surest_wrong: tuple[tuple[int, float], ...]
    reliability: metrics.Reliability | None = field(repr=False)
    risk: metrics.RiskCoverage | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class PairSummary:
    """What a tier's score is worth for deciding what goes to the next tier.

    Args:
        small: the tier.
        larger: the next tier.
        area: under the deferral curve.
        apgr: average share of the gap that is recovered; 0.5 is random.
        cpt50: least share to send up that recovers half of the gap.
        cpt80: the same for 80%.
        auroc: probability that a right answer scores above a wrong one.
        perfect: accuracy of a router that knows which tier is right.
        enough: least share that any threshold must send up for 97% of the next tier's accuracy; `None` if none
            reaches that.
        curve: the deferral curve.
    """

    small: str
    larger: str
    area: Estimate
    apgr: Estimate
    cpt50: Estimate
    cpt80: Estimate
    auroc: Estimate
    perfect: float
    enough: float | None
    curve: metrics.Deferral = field(repr=False)


@dataclass(frozen=True, slots=True)
class AgainstTop:
    """The ladder compared with other uses of its tiers.

    Args:
        top: the last tier, which could always be asked.
        test: the ladder against it, row by row.
        time: the ladder's seconds divided by the last tier's.
        mixing: accuracy of sending rows at random to the first or the last tier, at the ladder's seconds; `None` if the
            last tier isn't the slower one.
        best: accuracy of the best threshold in hindsight that sends up as many as the ladder; only for two tiers.
    """

    top: str
    test: Paired
    time: float | None
    mixing: float | None
    best: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """All numbers of an evaluation.

    Args:
        measure: whether answers were compared with labels, or with the next tier's answers.
        feature: the feature that answers were ranked by.
        tiers: each by itself, smallest first.
        ladder: by its rules.
        pairs: each tier with the next, if the tier reports log-probabilities.
        against: the ladder compared with the last tier; `None` if right answers are unknown.
    """

    measure: Measure
    feature: str
    tiers: tuple[TierSummary, ...]
    ladder: TierSummary
    pairs: tuple[PairSummary, ...]
    against: AgainstTop | None


def summarise(results: Results, feature: str = FEATURE) -> Summary:
    """Compute the numbers of an evaluation.

    Args:
        results: of every row, tier and the ladder.
        feature: the feature to rank answers by.

    Raises:
        ConfigError: no answer has this feature though some have others, no row was asked, or the extra `eval` is
            missing.
    """
    if not results.results:
        raise ConfigError("no row was evaluated", hint="give at least one row that can be asked")
    _demand_feature(results, feature)
    measure: Measure = "right" if results.labelled else "agrees"
    names = [name for name in results.names if results.of(name)]
    tiers = tuple(_tier(results.of(name), feature, measure, names[0]) for name in names)
    ladder = _tier(results.of(LADDER), feature, measure, names[0])
    pairs = tuple(
        pair
        for small, larger in pairwise(names)
        if (pair := _pair(results, small, larger, feature, measure)) is not None
    )
    against = _against(results, tiers, ladder, pairs, measure) if len(names) > 1 else None
    return Summary(measure, feature, tiers, ladder, pairs, against)


def _demand_feature(results: Results, feature: str) -> None:
    known = sorted({name for result in results.results for name in result.features})
    if known and feature not in known:
        raise ConfigError(f"no answer has the feature {feature!r}", hint=nearest(feature, known))


def _told(result: TierResult, measure: Measure) -> bool | None:
    return result.right if measure == "right" else result.agrees


def _groups(rows: Sequence[TierResult]) -> list[str]:
    return [row.group or f"row {row.row}" for row in rows]


def _scores(rows: Sequence[TierResult], feature: str) -> Floats:
    return np.array([row.features.get(feature, -math.inf) if row.valid else -math.inf for row in rows])


def _tier(rows: Sequence[TierResult], feature: str, measure: Measure, first: str) -> TierSummary:
    asked = [row for row in rows if row.asked]
    told = [row for row in asked if _told(row, measure) is not None]
    right = np.array([bool(_told(row, measure)) for row in told], dtype=np.bool_)
    whole = bool(rows) and rows[0].tier == LADDER
    costs = [Decimal(row.cost) for row in asked if row.cost is not None]
    brier, ece, reliable = _calibration(told, right, feature)
    scores = _scores(told, feature)
    scored = bool(np.isfinite(scores).any())
    return TierSummary(
        tier=rows[0].tier if rows else LADDER,
        rows=len(asked),
        not_asked=_counted(row.reason for row in rows if not row.asked),
        ungraded=_counted(row.problem for row in asked if row.problem),
        right=share(right, _groups(told)) if told else None,
        accepted=share([row.valid for row in asked], _groups(asked)) if asked else None,
        sent_up=share([row.answered_by != first for row in asked], _groups(asked)) if whole and asked else None,
        seconds=_mean([row.seconds for row in asked]) or 0.0,
        latency=_mean([row.latency for row in asked]) or 0.0,
        input_tokens=_mean([row.input_tokens for row in asked]),
        output_tokens=_mean([row.output_tokens for row in asked]),
        cost=sum(costs, Decimal(0)) if len(costs) == len(asked) else None,
        answered_by=_counted(row.answered_by or "nobody" for row in asked) if whole else {},
        brier=brier,
        ece=ece,
        surest_wrong=_surest_wrong(told, right, scores),
        reliability=reliable,
        risk=metrics.risk_coverage(scores, ~right) if scored else None,
    )


def _counted(words: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _calibration(
    rows: Sequence[TierResult], right: Bools, feature: str
) -> tuple[Estimate | None, Estimate | None, metrics.Reliability | None]:
    """For the valid answers: their confidence read as a probability, against the results."""
    chosen = [place for place, row in enumerate(rows) if row.valid and feature in row.features]
    logs = np.array([rows[place].features[feature] for place in chosen])
    if not chosen or (logs > 0).any():  # a margin or a count isn't the logarithm of a probability
        return None, None, None
    said, came = np.exp(logs), right[chosen]
    groups = _groups([rows[place] for place in chosen])
    return (
        bootstrap(metrics.brier, said, came, groups=groups),
        bootstrap(metrics.ece, said, came, groups=groups),
        metrics.reliability(said, came),
    )


def _surest_wrong(rows: Sequence[TierResult], right: Bools, scores: Floats) -> tuple[tuple[int, float], ...]:
    wrong = [(row.row, float(score)) for row, good, score in zip(rows, right, scores, strict=True) if not good]
    sure = sorted((pair for pair in wrong if math.isfinite(pair[1])), key=lambda pair: (-pair[1], pair[0]))
    return tuple(sure[:_SHOWN])


def _pair(results: Results, small: str, larger: str, feature: str, measure: Measure) -> PairSummary | None:
    above = {row.row: row for row in results.of(larger)}
    rows = [row for row in results.of(small) if row.asked and _told(row, measure) is not None and row.row in above]
    if measure == "right":
        rows = [row for row in rows if above[row.row].right is not None]
    scores = _scores(rows, feature)
    if not len(scores) or not np.isfinite(scores).any():
        return None
    first = np.array([bool(_told(row, measure)) for row in rows], dtype=np.float64)
    # compared with the next tier, that tier always agrees with itself
    second = np.array([measure == "agrees" or bool(above[row.row].right) for row in rows], dtype=np.float64)
    groups = _groups(rows)
    curve = metrics.deferral(scores, first, second)
    there = np.flatnonzero(curve.accuracy >= ENOUGH * curve.next - 1e-12)
    return PairSummary(
        small,
        larger,
        area=bootstrap(metrics.area, scores, first, second, groups=groups),
        apgr=bootstrap(metrics.apgr, scores, first, second, groups=groups),
        cpt50=bootstrap(metrics.cpt50, scores, first, second, groups=groups),
        cpt80=bootstrap(metrics.cpt80, scores, first, second, groups=groups),
        auroc=bootstrap(metrics.auroc, scores, first, groups=groups),
        perfect=metrics.oracle(first, second),
        enough=float(curve.shares[there[0]]) if len(there) else None,
        curve=curve,
    )


def _against(
    results: Results,
    tiers: tuple[TierSummary, ...],
    ladder: TierSummary,
    pairs: tuple[PairSummary, ...],
    measure: Measure,
) -> AgainstTop | None:
    first, top = tiers[0], tiers[-1]
    alone = {row.row: row for row in results.of(top.tier)}
    rows = [row for row in results.of(LADDER) if row.asked and _told(row, measure) is not None and row.row in alone]
    if measure == "right":
        rows = [row for row in rows if alone[row.row].right is not None]
    if not rows or ladder.right is None:
        return None
    theirs = [measure == "agrees" or bool(alone[row.row].right) for row in rows]
    mixing = best = None
    high = 1.0 if measure == "agrees" or top.right is None else top.right.value
    low = first.right.value if first.right is not None else None
    if top.seconds > first.seconds and low is not None and high is not None and (measure == "right" or len(tiers) == 2):
        mixed = min(1.0, max(0.0, (ladder.seconds - first.seconds) / (top.seconds - first.seconds)))
        mixing = low + mixed * (high - low)
    if len(tiers) == 2 and pairs and ladder.sent_up is not None and ladder.sent_up.value is not None:
        best = pairs[0].curve.at(ladder.sent_up.value)
    return AgainstTop(
        top.tier,
        paired(theirs, [bool(_told(row, measure)) for row in rows], _groups(rows)),
        ladder.seconds / top.seconds if top.seconds else None,
        mixing,
        best,
    )
