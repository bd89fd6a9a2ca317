"""What a score is worth: how much of the gap between the small tier and the next one it closes, and how honest it is.

A threshold can't tell rows with the same score apart. If a number is a mean over orders (the deferral curve and what is
read off it, AUROC), every order of tied rows counts alike, computed and not sampled. If a number is about thresholds
(risk and coverage, the oracle threshold), tied rows are accepted together or not at all.

A row that failed validation has the score minus infinity. It is sent up first, and no threshold accepts it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rung.checking import whole
from rung.learn.arrays import Bools, Floats, scores_of, shares_of, truths_of

BINS = 10
"""Bins of a reliability diagram, equally wide. At 300 rows, more bins would have too few rows to mean anything."""


@dataclass(frozen=True, slots=True, eq=False)
class Deferral:
    """How accurate a ladder is for each share of rows that it sends up, least sure rows first.

    Args:
        shares: shares sent up, from 0 to 1, in rising order. Between two of them the accuracy changes linearly.
        accuracy: of the ladder at each share.
    """

    shares: Floats
    accuracy: Floats

    @property
    def small(self) -> float:
        """Accuracy of the small tier alone."""
        return float(self.accuracy[0])

    @property
    def next(self) -> float:
        """Accuracy of the next tier alone."""
        return float(self.accuracy[-1])

    @property
    def area(self) -> float:
        """Area under the curve: mean accuracy over all shares."""
        return float(np.trapezoid(self.accuracy, self.shares))

    @property
    def apgr(self) -> float | None:
        """Average share of the gap that is recovered (RouteLLM, arXiv 2406.18665, section 2.2): 0.5 is random.

        It is the area between the curve and the small tier's accuracy, divided by that of a jump to the next tier's
        accuracy. `None` if the next tier isn't more accurate.
        """
        gap = self.next - self.small
        return (self.area - self.small) / gap if gap > 0 else None

    def at(self, sent_up: float) -> float:
        """Accuracy if this share is sent up."""
        return float(np.interp(sent_up, self.shares, self.accuracy))

    def cpt(self, part: float) -> float | None:
        """Least share to send up that recovers this part of the gap (RouteLLM's call-performance threshold).

        `None` if the next tier isn't more accurate.
        """
        gap = self.next - self.small
        if gap <= 0:
            return None
        wanted = self.small + part * gap
        # the last point recovers the whole gap, up to rounding
        there = int(np.argmax(self.accuracy >= min(wanted, self.next)))
        if there == 0:
            return 0.0
        low, high = self.accuracy[there - 1], self.accuracy[there]
        way = (wanted - low) / (high - low)
        return float(self.shares[there - 1] + min(1.0, way) * (self.shares[there] - self.shares[there - 1]))


def deferral(scores: ArrayLike, small: ArrayLike, larger: ArrayLike) -> Deferral:
    """The deferral curve of a score.

        deferral(scores, small_right, mid_right).apgr

    Args:
        scores: how sure the small tier was of each row.
        small: whether its answer is right, or how good it is from 0 to 1.
        larger: the same for the next tier's answer.

    Raises:
        ConfigError: a column is malformed.
    """
    sure = scores_of(scores)
    first = shares_of("small", small, len(sure))
    second = shares_of("larger", larger, len(sure))
    _, block, counts = np.unique(sure, return_inverse=True, return_counts=True)
    gains = np.bincount(block, weights=second - first)
    rows = len(sure)
    return Deferral(
        np.concatenate([[0.0], np.cumsum(counts) / rows]),
        first.mean() + np.concatenate([[0.0], np.cumsum(gains) / rows]),
    )


def area(scores: ArrayLike, small: ArrayLike, larger: ArrayLike) -> float:
    """Area under the deferral curve, in the form that `bootstrap` takes."""
    return deferral(scores, small, larger).area


def apgr(scores: ArrayLike, small: ArrayLike, larger: ArrayLike) -> float | None:
    """Average share of the gap that is recovered; see `Deferral.apgr`. In the form that `bootstrap` takes."""
    return deferral(scores, small, larger).apgr


def cpt50(scores: ArrayLike, small: ArrayLike, larger: ArrayLike) -> float | None:
    """Least share to send up that recovers half of the gap; see `Deferral.cpt`. In the form that `bootstrap` takes."""
    return deferral(scores, small, larger).cpt(0.5)


def cpt80(scores: ArrayLike, small: ArrayLike, larger: ArrayLike) -> float | None:
    """Least share to send up that recovers 80% of the gap; see `Deferral.cpt`. In the form that `bootstrap` takes."""
    return deferral(scores, small, larger).cpt(0.8)


def oracle(small: ArrayLike, larger: ArrayLike) -> float:
    """Accuracy of a router that knows which tier is right on each row."""
    first = shares_of("small", small)
    return float(np.maximum(first, shares_of("larger", larger, len(first))).mean())


def brier(probabilities: ArrayLike, right: ArrayLike) -> float:
    """Mean squared distance between the stated probability and the result (Brier 1950)."""
    said = shares_of("probabilities", probabilities)
    return float(((said - truths_of("right", right, len(said))) ** 2).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Stated probabilities against results, bin by bin. Empty bins are left out.

    Args:
        said: mean stated probability of each bin.
        came: share of right rows in each bin.
        rows: number of rows in each bin.
    """

    said: Floats
    came: Floats
    rows: Floats

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance between the two, by rows (Naeini et al. 2015)."""
        return float((np.abs(self.said - self.came) * self.rows).sum() / self.rows.sum())


def reliability(probabilities: ArrayLike, right: ArrayLike, bins: int = BINS) -> Reliability:
    """The points of a reliability diagram.

    Args:
        probabilities: the stated probability of each row.
        right: whether each row is right.
        bins: number of bins, equally wide.

    Raises:
        ConfigError: a column is malformed.
    """
    said = shares_of("probabilities", probabilities)
    came = truths_of("right", right, len(said))
    count = whole("bins", bins, 1, 1000)
    place = np.minimum((said * count).astype(int), count - 1)
    rows = np.bincount(place, minlength=count).astype(np.float64)
    there = rows > 0
    return Reliability(
        np.bincount(place, weights=said, minlength=count)[there] / rows[there],
        np.bincount(place, weights=came, minlength=count)[there] / rows[there],
        rows[there],
    )


def ece(probabilities: ArrayLike, right: ArrayLike) -> float:
    """Expected calibration error in ten bins, in the form that `bootstrap` takes."""
    return reliability(probabilities, right).error


def auroc(scores: ArrayLike, right: ArrayLike) -> float | None:
    """Probability that a right row scores above a wrong one; a tie counts half (Mann and Whitney 1947).

    `None` if every row is right, or none is.
    """
    sure = scores_of(scores)
    good = truths_of("right", right, len(sure))
    hits = int(good.sum())
    if hits in (0, len(good)):
        return None
    # each level has the mean of its rows' ranks; scipy's `rankdata` says the same, and takes longer than all the rest
    _, level, rows = np.unique(sure, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(rows) - (rows - 1) / 2)[level]
    return float((ranks[good].sum() - hits * (hits + 1) / 2) / (hits * (len(good) - hits)))


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """For each threshold that tells rows apart: the share that it accepts, and how much of that is lost.

    Args:
        thresholds: rows strictly above are accepted; in falling order.
        coverage: share of all rows that is accepted.
        risk: share of the accepted rows that is lost.
    """

    thresholds: Floats
    coverage: Floats
    risk: Floats


def risk_coverage(scores: ArrayLike, losses: ArrayLike) -> RiskCoverage:
    """The risk-coverage curve (El-Yaniv and Wiener 2010), from the fewest accepted rows to all that can be accepted.

    Args:
        scores: how sure the tier was of each row.
        losses: what accepting each would lose, from 0 to 1.

    Raises:
        ConfigError: a column is malformed.
    """
    sure = scores_of(scores)
    lost = shares_of("losses", losses, len(sure))
    levels, counts, sums = _falling(sure, lost)
    taken = np.cumsum(counts)
    below = np.append(levels[1:], -np.inf)
    return RiskCoverage(below, taken / len(sure), np.cumsum(sums) / np.maximum(taken, 1))


def coverage_at_risk(scores: ArrayLike, losses: ArrayLike, limit: float) -> float:
    """Largest share that a threshold can accept, in hindsight, while at most `limit` of what it accepts is lost."""
    curve = risk_coverage(scores, losses)
    within = curve.coverage[curve.risk <= limit + _ROUNDING]
    return float(within.max()) if len(within) else 0.0


@dataclass(frozen=True, slots=True)
class OracleThreshold:
    """The best threshold in hindsight.

    Args:
        threshold: rows strictly above are accepted.
        kept: share of all rows that is accepted.
    """

    threshold: float
    kept: float


def oracle_threshold(scores: ArrayLike, losses: ArrayLike, limit: float) -> OracleThreshold:
    """The lowest threshold at which accepting loses at most `limit` of all rows, in hindsight.

    It is the reference for what a certificate keeps: no threshold on this score can keep more.

    Args:
        scores: how sure the tier was of each row.
        losses: what accepting each would lose, from 0 to 1.
        limit: share of all rows that may be lost.

    Raises:
        ConfigError: a column is malformed.
    """
    sure = scores_of(scores)
    lost = shares_of("losses", losses, len(sure))
    levels, counts, sums = _falling(sure, lost)
    within = np.cumsum(sums) / len(sure) <= limit + _ROUNDING
    last = len(levels) if within.all() else int(np.argmin(within))
    threshold = levels[last] if last < len(levels) else -np.inf
    return OracleThreshold(float(threshold), float(counts[:last].sum() / len(sure)))


def sent_up(scores: ArrayLike, threshold: float) -> float:
    """Share of rows that a threshold sends up: those that aren't strictly above it."""
    return float((scores_of(scores) <= threshold).mean())


_ROUNDING = 1e-12
"""Slack for rounding: a limit of 0.03 allows 3 rows of 100, whichever way 0.03 was rounded."""


def _falling(sure: Floats, lost: Floats) -> tuple[Floats, Floats, Floats]:
    """The distinct scores that a threshold may accept, highest first, with their rows and the sum of their losses."""
    may: Bools = np.isfinite(sure)
    levels, block = np.unique(sure[may], return_inverse=True)
    counts = np.bincount(block, minlength=len(levels)).astype(np.float64)
    sums = np.bincount(block, weights=lost[may], minlength=len(levels)).astype(np.float64)
    return levels[::-1], counts[::-1], sums[::-1]
