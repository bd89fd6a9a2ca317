"""What can be promised from a sample of rows, and at which threshold.

A promise is right in a share `1 - delta` of samples. It is about prompts drawn like the rows. If rows come in groups,
it is about prompts drawn by first drawing a group, each with the same chance. The rows must not have taken part in any
choice: of a score, a feature, a form or a path of thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rung.checking import real
from rung.errors import ConfigError
from rung.learn.arrays import Bools, Floats, Groups, Ints, scores_of, shares_of, truths_of, units_of
from rung.learn.bounds import Betting, Binomial, Bound, Conformal, Method, bound_for, promise
from rung.learn.extra import library

_QUANTILES = 50
"""Most thresholds that `certify_accepted` tries: quantiles of the fit rows, 2% of the rows apart. The certify rows
can't tell closer thresholds apart.
"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A threshold, and what is promised of it.

    Args:
        threshold: answers strictly above are accepted; `None` if nothing can be promised. Then accept none.
        limit: the promise: the loss is at most this.
        delta: share of samples in which the promise may fail. For `average` it isn't bounded.
        of: `prompts`: share of all prompts whose answer is lost. `accepted`: share of the accepted answers.
        method: how it was computed. The conformal one holds only on average and is weaker.
        rows: number of certify rows, including those that failed validation.
        groups: number of independent groups among them.
        losses: number of accepted rows that are lost, as a sum of losses.
        kept: share of the certify rows that is accepted.
    """

    threshold: float | None
    limit: float
    delta: float
    of: Literal["prompts", "accepted"]
    method: Method
    rows: int
    groups: int
    losses: float
    kept: float

    @property
    def average(self) -> bool:
        """Whether the promise holds only on average over samples, and not in a share `1 - delta` of them."""
        return self.method == "conformal risk control"


def certify(
    scores: ArrayLike,
    losses: ArrayLike,
    *,
    limit: float,
    delta: float,
    groups: Groups | None = None,
    chances: ArrayLike | None = None,
    floor: float | None = None,
    average: bool = False,
) -> Certificate:
    """Find the lowest threshold at which a limit on the loss can be promised, over all prompts.

        certify(scores, differs_from_mid, limit=0.03, delta=0.1).threshold

    The loss must be monotone: accepting less never loses more. For independent rows that are lost or not, the bound is
    exact. With k losses allowed, the threshold is the (k+1)-th highest score of a lost row, and ties at it are sent up.
    That also holds where a few rows are alike: a group is lost if one of its rows is. Larger groups, graded and
    weighted rows use the betting bound.

    Several tiers share one threshold. Give a column per tier, with positions on a path that fit rows fixed
    (`paths.common`). A row is then answered by the first tier whose position is above the threshold. If a lower
    threshold would win back what a higher one lost, the row still counts as lost.

    Args:
        scores: how sure the tier was of each row, minus infinity if the answer failed validation: (rows,), or
            (rows, tiers) in tier order.
        losses: what accepting that answer loses, from 0 to 1. For rows that can't be accepted it doesn't matter. For
            several tiers true or false.
        limit: the largest loss to promise, as a share of all prompts.
        delta: share of samples in which the promise may fail.
        groups: label of each row's group.
        chances: probability that each row was looked at, fixed before its answer was seen, if some weren't. Rows that
            weren't looked at are among the rows, with a loss of 0 (`shadow_losses`).
        floor: the lowest threshold that the rows can say anything about: the one under which they were collected.
        average: promise it only on average (conformal risk control): weaker, and keeps more.

    Raises:
        ConfigError: a column is malformed, or a number is out of range.
    """
    limit, delta = promise(limit, delta)
    kept, lost, graded = along_path(scores, losses)
    units = units_of(groups, len(kept))
    weights = _weights(chances, len(kept))
    bound: Bound
    method: Method
    if average:
        if chances is not None:
            raise ConfigError("weighted rows can't be certified on average", hint="leave out --on-average")
        bound, method = Conformal(units, limit), "conformal risk control"
    else:
        bound, method = bound_for(units, weights, limit, delta, graded=bool(((graded > 0) & (graded < 1)).any()))
    threshold = _lowest(kept, lost, graded, bound)
    if threshold is not None and floor is not None:
        threshold = max(threshold, floor)
    accepted = kept > threshold if threshold is not None else np.zeros(len(kept), dtype=np.bool_)
    losing = lost > threshold if threshold is not None else accepted
    return Certificate(
        threshold,
        limit,
        delta,
        "prompts",
        method,
        len(kept),
        int(units.max()) + 1,
        float(graded[losing].sum()),
        float(accepted.mean()),
    )


def certify_accepted(
    scores: ArrayLike,
    wrong: ArrayLike,
    *,
    fit_scores: ArrayLike,
    fit_wrong: ArrayLike,
    limit: float,
    delta: float,
    groups: Groups | None = None,
) -> Certificate:
    """Find the lowest threshold at which can be promised that at most `limit` of the accepted answers is wrong.

        certify_accepted(scores, wrong, fit_scores=..., fit_wrong=..., limit=0.05, delta=0.1)

    This loss isn't monotone, so thresholds are tested one after the other, at quantiles of the fit rows, each at the
    full delta. The tests begin at the threshold that the fit rows make likeliest to pass and go downwards. The last one
    before the first failure holds (Learn then Test, Angelopoulos et al. 2021, arXiv 2110.01052, fixed sequence
    testing). Each test is exact: the number of wrong rows among the accepted ones. Grouped rows are tested by betting.

    Args:
        scores: how sure the tier was of each certify row, minus infinity if the answer failed validation: (rows,), or
            (rows, tiers) in tier order, positions on one path. The first tier above the threshold answers.
        wrong: whether each answer is wrong, in the same shape.
        fit_scores: the same for the fit rows.
        fit_wrong: the same for the fit rows.
        limit: largest share of wrong answers among the accepted.
        delta: share of samples in which the promise may fail.
        groups: label of each certify row's group.

    Raises:
        ConfigError: a column is malformed, or a number is out of range.
    """
    limit, delta = promise(limit, delta)
    sure, bad = _tiers(scores, wrong)
    rows = len(sure)
    units = units_of(groups, rows)
    grouped = int(units.max()) + 1 < rows
    best: float | None = None
    for threshold in _sequence(*_tiers(fit_scores, fit_wrong), rows, limit, delta):
        if not _holds(*_answered(sure, bad, threshold), units if grouped else None, limit, delta):
            break
        best = threshold
    kept, lost = _answered(sure, bad, best if best is not None else np.inf)
    return Certificate(
        best,
        limit,
        delta,
        "accepted",
        "learn then test",
        rows,
        int(units.max()) + 1,
        float(lost.sum()),
        float(kept.mean()),
    )


def shadow_losses(tossed: ArrayLike, agrees: ArrayLike) -> Floats:
    """The loss of each row of a ledger: 1 if it was looked at and differs, or should have been and was dropped.

    Args:
        tossed: whether the random draw chose the row, before its answer was seen.
        agrees: 1 if the next tier gives the same answer, 0 if it doesn't, NaN if unknown.

    Raises:
        ConfigError: a column is malformed.
    """
    chosen = truths_of("tossed", tossed)
    known = np.asarray(agrees, dtype=np.float64)
    if known.shape != chosen.shape:
        raise ConfigError("tossed and agrees differ in length")
    return np.where(chosen & (np.isnan(known) | (known < 1)), 1.0, 0.0)


def rows_needed(limit: float, delta: float, losses: int = 0) -> int:
    """The fewest certify rows of which this many may be lost while the limit can still be promised.

        rows_needed(0.03, 0.1)      # 76

    For `certify` those are all rows, for `certify_accepted` the accepted ones.

    Args:
        limit: the limit to promise.
        delta: share of samples in which the promise may fail.
        losses: number of rows that are lost.

    Raises:
        ConfigError: a number is out of range.
    """
    limit, delta = promise(limit, delta)
    low = high = max(1, losses)
    while Binomial.of(high, limit, delta).allowed < losses:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if Binomial.of(middle, limit, delta).allowed >= losses:
            high = middle
        else:
            low = middle + 1
    return high


def rows_likely(limit: float, delta: float, rate: float, chance: float = 0.8) -> int | None:
    """The fewest certify rows with which a limit can be promised with this chance, if a known share is lost.

        rows_likely(0.05, 0.1, rate=0.02)      # accepted rows, if 2% of those are wrong

    Args:
        limit: the limit to promise.
        delta: share of samples in which the promise may fail.
        rate: share of the rows that is lost, as the fit rows show it.
        chance: probability that the promise is possible.

    Returns:
        The rows; `None` if even `_MOST_LOSSES` losses don't suffice, as they never do at a rate above the limit.

    Raises:
        ConfigError: a number is out of range.
    """
    rate = real("rate", rate, 0, 1)
    chance_of_at_most = library("scipy.special").bdtr
    for losses in range(_MOST_LOSSES if rate < limit else 0):
        rows = rows_needed(limit, delta, losses)
        if chance_of_at_most(losses, rows, rate) >= chance:
            return rows
    return None


_MOST_LOSSES = 200
"""Losses at which `rows_likely` gives up. At a limit of 0.03 they need some 7,000 rows, more than anybody labels."""


def along_path(scores: ArrayLike, losses: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """For each row: the score above which it is sent up, the score above which none of it is lost, and its loss.

    Args:
        scores: as in `certify`.
        losses: as in `certify`.

    Raises:
        ConfigError: a column is malformed.
    """
    if np.ndim(scores) < 2:
        sure = scores_of(scores)
        graded = shares_of("losses", losses, len(sure))
        return sure, np.where(graded > 0, sure, -np.inf), np.where(np.isfinite(sure), graded, 0.0)
    columns, lost_columns = np.asarray(scores), np.asarray(losses)
    if columns.ndim != 2 or columns.shape != lost_columns.shape or not columns.shape[1]:
        raise ConfigError("scores and losses of several tiers must have the same shape: rows, tiers")
    highest = np.full(len(columns), -np.inf)
    lost = highest.copy()
    for tier in range(columns.shape[1]):
        position = scores_of(columns[:, tier])
        loses = truths_of("losses", lost_columns[:, tier], len(position))
        answers = position > highest
        lost = np.where(answers & loses, np.maximum(lost, position), lost)
        highest = np.maximum(highest, position)
    return highest, lost, np.isfinite(lost).astype(np.float64)


def _lowest(kept: Floats, lost: Floats, graded: Floats, bound: Bound) -> float | None:
    """The lowest threshold that a bound certifies on the way down; `None` if it certifies none."""
    if not bound.certifies(np.zeros(len(lost))):
        return None
    for level in np.unique(lost[np.isfinite(lost)])[::-1]:
        if not bound.certifies(np.where(lost >= level, graded, 0.0)):
            return float(level)
    seen = kept[np.isfinite(kept)]
    # everything seen may be accepted, but nothing that is less sure than everything seen
    return float(np.nextafter(seen.min(), -np.inf)) if len(seen) else None


def _weights(chances: ArrayLike | None, rows: int) -> Floats:
    if chances is None:
        return np.ones(rows)
    found = shares_of("chances", chances, rows)
    if not (found > 0).all():
        raise ConfigError("a row has the probability 0 of being looked at", hint="leave such rows out")
    return 1 / found


def _tiers(scores: ArrayLike, wrong: ArrayLike) -> tuple[Floats, Bools]:
    """Scores, and whether answers are wrong, as columns, one for each tier."""
    if np.ndim(scores) < 2:
        sure = scores_of(scores)
        return sure[:, None], truths_of("wrong", wrong, len(sure))[:, None]
    columns, wrong_columns = np.asarray(scores), np.asarray(wrong)
    if columns.ndim != 2 or columns.shape != wrong_columns.shape:
        raise ConfigError("scores and wrong of several tiers must have the same shape: rows, tiers")
    bad = [truths_of("wrong", column, len(columns)) for column in wrong_columns.T]
    return np.stack([scores_of(column) for column in columns.T], axis=1), np.stack(bad, axis=1)


def _answered(sure: Floats, bad: Bools, threshold: float) -> tuple[Bools, Bools]:
    """Whether any tier answers each row at a threshold, and whether that answer is wrong."""
    above = sure > threshold
    first = above.argmax(axis=1)
    taken: Bools = np.asarray(above.any(axis=1))
    return taken, taken & bad[np.arange(len(bad)), first]


def _sequence(sure: Floats, bad: Bools, rows: int, limit: float, delta: float) -> Iterator[float]:
    """Thresholds in the order of their tests, downwards from the one that most likely passes.

    Args:
        sure: scores of the fit rows, a column for each tier.
        bad: whether each of those answers is wrong.
        rows: number of certify rows.
        limit: largest share of wrong answers among the accepted.
        delta: of each test.
    """
    highest = sure.max(axis=1)
    seen = highest[np.isfinite(highest)]
    if not len(seen):
        return
    steps = np.unique(np.quantile(seen, np.linspace(0, 1, _QUANTILES + 1)[:-1], method="inverted_cdf"))[::-1]
    # strictly above the next lower one, so that ties are accepted together; the last accepts everything seen
    thresholds = np.append(steps, np.nextafter(steps[-1], -np.inf))
    each = [_answered(sure, bad, float(threshold)) for threshold in thresholds]
    taken = np.array([accepted.sum() for accepted, _ in each])
    lost = np.array([wrong.sum() for _, wrong in each])
    expected = np.floor(taken / len(sure) * rows).astype(int)
    allowed = np.array([Binomial.of(int(count), limit, delta).allowed if count else -1 for count in expected])
    # the chance of passing with this many certify rows, given the fit rows and, before them, Jeffreys' prior
    passes = _at_most(allowed, expected, lost + 0.5, taken - lost + 0.5)
    if passes.max() > 0:
        yield from (float(threshold) for threshold in thresholds[int(np.argmax(passes)) :])


def _at_most(most: Ints, draws: Ints, a: Floats, b: Floats) -> Floats:
    """The CDF of the beta-binomial distribution, as the sum of its probabilities.

    Args:
        most: the number that may be reached; below 0 the chance is 0.
        draws: number of draws.
        a: the beta distribution's first parameter.
        b: its second one.
    """
    log_beta = library("scipy.special").betaln
    counts = np.arange(max(0, int(most.max())) + 1)[:, None]
    others = np.maximum(draws - counts, 0)
    chances = np.exp(
        log_beta(counts + a, others + b) - log_beta(a, b) - log_beta(others + 1, counts + 1) - np.log1p(draws)
    )
    summed: Floats = np.where(counts <= np.minimum(most, draws), chances, 0.0).sum(axis=0)
    return summed


def _holds(accepted: Bools, bad: Bools, units: Ints | None, limit: float, delta: float) -> bool:
    """Whether the accepted rows show that at most `limit` of such rows are wrong."""
    if units is None:
        return Binomial.of(int(accepted.sum()), limit, delta).allowed >= int((accepted & bad).sum())
    # a row that isn't accepted is neither won nor lost: it counts as one that loses exactly the limit
    values = np.where(accepted, bad.astype(np.float64), limit)
    return Betting.of(units, np.ones(len(units)), limit, delta).certifies(values)
