"""Which disagreements a person must judge before a limit can be promised, and when enough are judged.

The loss is "the ladder is wrong where the mid tier is right". If the two agree there is none, so only disagreements are
shown, surest answers first. The walk ends at the first loss too many. Less sure answers need no label, since no
threshold goes there. Stopping like this costs nothing: the threshold is the same that all labels would give. Rows that
are lost whatever the threshold come first. On those the last tier answers differently after a rejected answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from rung.errors import ConfigError
from rung.learn.arrays import Groups, scores_of, truths_of, units_of
from rung.learn.bounds import Bound, Conformal, bound_for, promise
from rung.learn.certificates import Certificate, certify
from rung.learn.outcomes import lost_first

REST = -1
"""Stands for the tier that answers if all others sent the row up."""


class Judgement(StrEnum):
    """A person's judgement of two answers that they see as A and B."""

    A = "a"
    B = "b"
    BOTH = "both"
    NEITHER = "neither"
    UNSURE = "unsure"
    """The person can't tell. Counts as a loss, so that no promise depends on it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One disagreement to judge, blinded.

    Args:
        row: its index in the columns.
        tier: the tier whose answer differs, counted from 0; `REST` for the last tier's answer after rejected ones.
        ladder_is_a: whether the ladder's answer is shown first. It is fixed by a hash of the row's key, so it reveals
            nothing and is the same after a restart.
    """

    row: int
    tier: int
    ladder_is_a: bool


class Labelling:
    """Asks for as few judgements as a promise needs.

        labelling = Labelling(scores, differs, keys, limit=0.03, delta=0.1)
        while question := labelling.next():
            labelling.judge(question, Judgement.A)
        labelling.certificate()

    Judging again replaces the earlier judgement, until the certificate is computed.

    Args:
        scores: how sure each tier was of each certify row, as in `certify`.
        differs: whether that answer differs from the mid tier's, in the same shape.
        keys: identity of each row, which decides its sides.
        limit: the largest loss to promise, as a share of all prompts.
        delta: share of samples in which the promise may fail.
        groups: label of each row's group.
        base: whether each row's answer differs if every tier sends it up. A rejected answer may cause that.
        average: promise it only on average over samples.

    Raises:
        ConfigError: a column is malformed, or a number is out of range.
    """

    def __init__(
        self,
        scores: ArrayLike,
        differs: ArrayLike,
        keys: list[str],
        *,
        limit: float,
        delta: float,
        groups: Groups | None = None,
        base: ArrayLike | None = None,
        average: bool = False,
    ) -> None:
        self._limit, self._delta = promise(limit, delta)
        columns = np.atleast_2d(np.asarray(scores, dtype=np.float64).T).T
        other = np.atleast_2d(np.asarray(differs, dtype=np.float64).T).T
        if columns.ndim != 2 or columns.shape != other.shape:
            raise ConfigError("scores and differs must have the same shape: rows, or rows and tiers")
        self._scores = np.stack([scores_of(column) for column in columns.T], axis=1)
        self._differs = np.stack([truths_of("differs", column) for column in other.T], axis=1)
        rows = len(self._scores)
        if len(keys) != rows:
            raise ConfigError(f"keys has {len(keys):,} rows, but {rows:,} are expected")
        self._keys, self._groups, self._average = keys, groups, average
        self._base = np.zeros(rows, dtype=np.bool_) if base is None else truths_of("base", base, rows)
        units = units_of(groups, rows)
        self._bound: Bound = Conformal(units, self._limit)
        if not average:
            self._bound, _ = bound_for(units, np.ones(rows), self._limit, self._delta, graded=False)
        self._losses: dict[tuple[int, int], bool] = {}
        # a tier's answer counts only if it is above the positions of all tiers before it
        before = np.maximum.accumulate(np.column_stack([np.full(rows, -np.inf), self._scores[:, :-1]]), axis=1)
        shown = self._differs & (self._scores > before)
        surest = sorted(
            ((int(row), int(tier)) for row, tier in np.argwhere(shown)),
            key=lambda pair: (-self._scores[pair], keys[pair[0]], pair),
        )
        first = sorted((int(row) for row in np.flatnonzero(self._base)), key=lambda row: (keys[row], row))
        self._order = [*((row, REST) for row in first), *surest]
        self._known = set(self._order)

    @property
    def disagreements(self) -> int:
        """The most disagreements that there are to judge."""
        return len(self._order)

    @property
    def judged(self) -> int:
        """Number of disagreements that have been judged."""
        return len(self._losses)

    @property
    def pairs(self) -> Iterator[Pair]:
        """All disagreements, surest answers first."""
        return (Pair(row, tier, self._ladder_is_a(row)) for row, tier in self._order)

    @property
    def left(self) -> int:
        """The most that are left to judge."""
        lost = {row for (row, _), loses in self._losses.items() if loses}
        return sum(pair not in self._losses and pair[0] not in lost for pair in self._order)

    def next(self) -> Pair | None:
        """The surest disagreement that still has to be judged; `None` if enough is known."""
        if not self._bound.certifies(np.zeros(len(self._keys))) or self._bound.certifies(self._worst()):
            return None
        lost = np.zeros(len(self._keys))
        for row, tier in self._order:
            if lost[row]:
                continue
            found = self._losses.get((row, tier))
            if found is None:
                return Pair(row, tier, self._ladder_is_a(row))
            lost[row] = found
            if found and not self._bound.certifies(lost):
                return None
        return None

    def judge(self, question: Pair, judgement: Judgement) -> None:
        """Record a judgement.

        Args:
            question: from `next`.
            judgement: of its two answers.

        Raises:
            ConfigError: the row isn't a disagreement.
        """
        pair = (question.row, question.tier)
        if pair not in self._known:
            raise ConfigError(f"row {question.row} of tier {question.tier} is not a disagreement")
        mid = Judgement.B if question.ladder_is_a else Judgement.A
        self._losses[pair] = judgement in (mid, Judgement.UNSURE)

    def restore(self, losses: Mapping[tuple[int, int], bool]) -> None:
        """Replace all judgements by these: for (row, tier), whether the ladder loses there."""
        self._losses = {pair: lost for pair, lost in losses.items() if pair in self._known}

    def certificate(self) -> Certificate:
        """What can be promised. An unjudged disagreement counts as a loss."""
        lost, base = self._differs.copy(), self._base.copy()
        for (row, tier), loses in self._losses.items():
            if tier == REST:
                base[row] = loses
            else:
                lost[row, tier] = loses
        scores, lost = lost_first(self._scores, lost, base)
        one = scores.shape[1] == 1
        return certify(
            scores[:, 0] if one else scores,
            lost[:, 0] if one else lost,
            limit=self._limit,
            delta=self._delta,
            groups=self._groups,
            average=self._average,
        )

    def _worst(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """The loss of each row if all that is unjudged were lost."""
        lost = np.zeros(len(self._keys))
        for pair in self._order:
            lost[pair[0]] = max(lost[pair[0]], float(self._losses.get(pair, True)))
        return lost

    def _ladder_is_a(self, row: int) -> bool:
        return hashlib.sha256(f"side:{self._keys[row]}".encode()).digest()[0] % 2 == 0
