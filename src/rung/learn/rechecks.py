"""Whether fresh rows bear out what a certificate promised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rung.learn.arrays import Groups, shares_of, units_of
from rung.learn.bounds import bound_for, fortune, per_unit, promise
from rung.learn.extra import library

_CONTRADICTED = 0.05
"""A certificate is contradicted where fresh rows as bad as those seen have at most this probability."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """What fresh rows say of a certificate.

    Args:
        verdict: `contradicted`, `confirmed` (the fresh rows alone would certify as much), or `too few rows to tell`.
        p: probability of as much loss as was seen, where the promise is right; for groups an upper bound of it.
        losses: how much was lost.
        rows: how many fresh rows count: all, or the accepted ones where the promise is about those.
        groups: how many independent groups those are.
        limit: what was promised.
    """

    verdict: Literal["contradicted", "confirmed", "too few rows to tell"]
    p: float
    losses: float
    rows: int
    groups: int
    limit: float


def check(losses: ArrayLike, *, limit: float, delta: float, groups: Groups | None = None) -> Recheck:
    """Whether fresh rows contradict a certificate.

        check(differs[fresh], limit=0.03, delta=0.1).verdict

    Independent rows that are lost or not take the exact binomial test, others betting on a larger loss.

    Args:
        losses: of each fresh row under the certified policy, 0 where it was sent up. For a promise about accepted
            answers give the accepted rows alone.
        limit: what was promised.
        delta: of the certificate.
        groups: label of each row's group.

    Raises:
        ConfigError: a column is malformed, or a number is out of range.
    """
    limit, delta = promise(limit, delta)
    lost = shares_of("losses", losses)
    units = units_of(groups, len(lost))
    bound, method = bound_for(units, np.ones(len(lost)), limit, delta, graded=bool(((lost > 0) & (lost < 1)).any()))
    if method == "binomial":
        p = float(library("scipy.stats").binom.sf(lost.sum() - 1, len(lost), limit))
    else:
        edge = (per_unit(lost, units) - limit) / limit
        p = min(1.0, float(np.exp(-fortune(edge, _STAKES))))
    verdict: Literal["contradicted", "confirmed", "too few rows to tell"] = "too few rows to tell"
    if p <= _CONTRADICTED:
        verdict = "contradicted"
    elif bound.certifies(lost):
        verdict = "confirmed"
    return Recheck(verdict, p, float(lost.sum()), len(lost), int(units.max()) + 1, limit)


_STAKES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Stakes against a promise: the best one, where the loss is r times the limit, is about (r - 1) times the limit."""
