"""What forms are compared by: whether an answer is right, what a row costs, and what a form gains over rung's own."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rung.learn.intervals import mean, share
from rung.learn.results import TierResult
from rung.learn.tuned import NextTier, TriedForm
from rung.types import PromptForm

LEVEL = 0.9
"""Level of the interval that must be above 0 before a form replaces rung's own."""
DRAWS = 500
"""Resamples of such an interval."""


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What answers are held against.

    Args:
        references: the next tier's answers by number of the row; `None` holds answers against expected ones.
        same: whether two answers say the same.
        following: what the next tier takes; `None` if there is none.
    """

    references: Mapping[int, Any] | None
    same: Callable[[Any, Any], bool] | None
    following: NextTier | None

    def known(self, answers: Mapping[int, TierResult]) -> dict[int, bool]:
        """Whether each row is right, of those that can be judged.

        Args:
            answers: by number of the row.
        """
        judged = {number: self._right(result) for number, result in answers.items()}
        return {number: right for number, right in judged.items() if right is not None}

    def loss(self, answers: Mapping[int, TierResult]) -> float:
        """Mean loss of a row; infinite if none can be judged.

        Args:
            answers: by number of the row.
        """
        lost = [self._lost(answers[number], right) for number, right in self.known(answers).items()]
        return float(np.mean(lost)) if lost else math.inf

    def compared(
        self,
        form: PromptForm,
        answers: Mapping[int, TierResult],
        own: Mapping[int, TierResult],
        groups: Mapping[int, str],
    ) -> TriedForm | None:
        """A form against rung's own, on the rows that both were asked; `None` if there are none.

        Args:
            form: the form.
            answers: in that form, by number of the row.
            own: in rung's own form.
            groups: by number of the row.
        """
        known, base = self.known(answers), self.known(own)
        both = [number for number in known if number in base]
        if not both:
            return None
        seconds = float(np.mean([answers[n].seconds for n in both]))
        before = float(np.mean([own[n].seconds for n in both]))
        labels = [groups[n] for n in both]
        interval = functools.partial(mean, groups=labels, level=LEVEL, resamples=DRAWS)
        return TriedForm(
            form,
            len(both),
            share([known[n] for n in both], labels, LEVEL),
            interval([float(known[n]) - float(base[n]) for n in both]),
            seconds,
            seconds / before if before > 0 else None,
            interval([self._lost(own[n], base[n]) - self._lost(answers[n], known[n]) for n in both]),
            dict(Counter(result.reason for result in answers.values() if not result.valid)),
        )

    def _lost(self, result: TierResult, right: bool) -> float:
        if self.following is None:
            return float(not right)
        return self.following.times(result.seconds) + (0.0 if right else self.following.for_one_right)

    def _right(self, result: TierResult) -> bool | None:
        if self.references is None:
            return result.right
        if result.row not in self.references:
            return None
        if not result.valid or self.same is None:
            return False
        try:
            return bool(self.same(result.value, self.references[result.row]))
        except Exception:  # noqa: BLE001  an answer that can't be compared counts as another one
            return False
