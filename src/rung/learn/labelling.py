"""Which disagreements a person has to judge before a limit can be promised, and when enough are judged.

The loss is "the ladder is wrong where the mid tier is right". Where the two say the same there is none, so only
disagreements are shown, the surest first. The walk ends at the first loss too many: what is less sure needs no label,
since no threshold goes there. Stopping like this costs nothing: the threshold is the one that all labels would give.
Rows that are lost wherever the threshold lies come first: behind a rejected answer the last tier says something else.
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
"""Stands for the tier that answers where every other one sent the row up."""


class Judgement(StrEnum):
    """What a person says of two answers that they see as A and B."""

    A = "a"
    B = "b"
    BOTH = "both"
    NEITHER = "neither"
    UNSURE = "unsure"
    """Can't tell. Counts as a loss, so that a promise never hangs on it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One disagreement to judge, blinded.

    Args:
        row: its place in the columns.
        tier: the tier whose answer differs, counted from 0; `REST` for the last tier's answer behind rejected ones.
        ladder_is_a: whether the ladder's answer stands first. Fixed by hash of the row's key: it says nothing of which
            is which, and is the same after a restart.
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

    Judging again replaces what was said before, until somebody asks for the certificate.

    Args:
        scores: how sure each tier was of each certify row, as in `certify`.
        differs: whether that answer differs from the mid tier's, in the same shape.
        keys: identity of each row, for the sides.
        limit: largest loss that is to be promised, as a share of all prompts.
        delta: share of samples in which the promise may fail.
        groups: label of each row's group.
        base: whether each row's answer differs where every tier sends it up, which a rejected answer may bring about.
        average: promise it on average over samples only.

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
            raise ConfigError("scores and differs need one shape: rows, or rows and tiers")
        self._scores = np.stack([scores_of(column) for column in columns.T], axis=1)
        self._differs = np.stack([truths_of("differs", column) for column in other.T], axis=1)
        rows = len(self._scores)
        if len(keys) != rows:
            raise ConfigError(f"keys has {len(keys):,} rows where {rows:,} are expected")
        self._keys, self._groups, self._average = keys, groups, average
        self._base = np.zeros(rows, dtype=np.bool_) if base is None else truths_of("base", base, rows)
        units = units_of(groups, rows)
        self._bound: Bound = Conformal(units, self._limit)
        if not average:
            self._bound, _ = bound_for(units, np.ones(rows), self._limit, self._delta, graded=False)
        self._losses: dict[tuple[int, int], bool] = {}
        # a tier answers a row only below the highest position of the tiers before it
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
        """How many there are to judge at most."""
        return len(self._order)

    @property
    def judged(self) -> int:
        """How many have been judged."""
        return len(self._losses)

    @property
    def pairs(self) -> Iterator[Pair]:
        """All of them, the surest first."""
        return (Pair(row, tier, self._ladder_is_a(row)) for row, tier in self._order)

    @property
    def left(self) -> int:
        """How many are to be judged at most, beside those that have been."""
        lost = {row for (row, _), loses in self._losses.items() if loses}
        return sum(pair not in self._losses and pair[0] not in lost for pair in self._order)

    def next(self) -> Pair | None:
        """The surest disagreement that still has to be judged; `None` where enough is known."""
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
        """Notes what a person said of a question.

        Args:
            question: as `next` gave it.
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
        """Takes over what is known, in place of all that was: for (row, tier), whether the ladder loses there."""
        self._losses = {pair: lost for pair, lost in losses.items() if pair in self._known}

    def certificate(self) -> Certificate:
        """What can be promised. A disagreement that nobody judged counts as a loss."""
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
        """The loss of each row where all that nobody judged were lost."""
        lost = np.zeros(len(self._keys))
        for pair in self._order:
            lost[pair[0]] = max(lost[pair[0]], float(self._losses.get(pair, True)))
        return lost

    def _ladder_is_a(self, row: int) -> bool:
        return hashlib.sha256(f"side:{self._keys[row]}".encode()).digest()[0] % 2 == 0
