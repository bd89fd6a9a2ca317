"""What a tuning finds out, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rung.learn.axes import DEFAULT
from rung.learn.halving import Halving
from rung.learn.intervals import Estimate
from rung.types import PromptForm

_FREE = 0.01
"""Mean seconds of the next tier below which no form has to pay for itself."""


def pays(seconds: float, following: float | None) -> float:
    """What a row costs, in times of the next tier; 0 where there is none, or it takes no time worth counting.

    Args:
        seconds: of the tier.
        following: mean seconds of the next one.
    """
    return 0.0 if following is None or following < _FREE else seconds / following


@dataclass(frozen=True, slots=True)
class TriedForm:
    """What a form brought.

    Args:
        form: it.
        rows: that it was asked.
        right: share of them that it has right, or answers as the next tier does.
        gain: that share less rung's own form's on the same rows.
        seconds: mean of a row.
        slower: the mean seconds over those of rung's own form on the same rows; `None` where nobody measured any.
        saved: what a row loses less than in rung's own form, in times of the next tier.
        failed: rows that got no valid answer, by the engine's reason.
    """

    form: PromptForm
    rows: int
    right: Estimate
    gain: Estimate
    seconds: float
    slower: float | None
    saved: Estimate
    failed: Mapping[str, int]

    @property
    def is_better(self) -> bool:
        """Whether it is better than rung's own by more than chance."""
        return self.form != DEFAULT and self.saved.low is not None and self.saved.low > 0


@dataclass(frozen=True, slots=True)
class Contrast:
    """What one choice brought: forms that differ in nothing else, on rows that both were asked.

    Args:
        what: the choice in words.
        pairs: of forms.
        gain: mean difference of the share that is right.
    """

    what: str
    pairs: int
    gain: Estimate


@dataclass(frozen=True, slots=True)
class TunedTier:
    """What was found out about a tier.

    Args:
        tier: its name.
        against: the next tier; `None` for the last.
        by_labels: whether answers were held against expected ones; otherwise against the next tier's.
        tried: all forms that were asked anything, the best of those that got furthest first.
        chosen: the form to use; rung's own where nothing beats it.
        rows: fit rows that chose.
        next_seconds: mean of a row on the next tier; `None` where that isn't known.
        plan: what the budget bought, round by round.
        contrasts: what each choice brought by itself.
        finished: whether all of that was done.
    """

    tier: str
    against: str | None
    by_labels: bool
    tried: tuple[TriedForm, ...]
    chosen: PromptForm
    rows: int
    next_seconds: float | None
    plan: tuple[Halving, ...]
    contrasts: tuple[Contrast, ...]
    finished: bool

    @property
    def best(self) -> TriedForm | None:
        """What the chosen form brought."""
        return next((tried for tried in self.tried if tried.form == self.chosen), None)

    @property
    def useless(self) -> bool:
        """Whether asking it first saves no time in any form, however well its score told right from wrong."""
        if self.next_seconds is None or not self.tried:
            return False
        return all(pays(t.seconds, self.next_seconds) >= (t.right.value or 0.0) for t in self.tried)


@dataclass(frozen=True, slots=True)
class Bought:
    """What the budget of a tier buys, said before it is spent.

    Args:
        tier: its name.
        seconds: of the budget.
        pace: seconds that an answer takes.
        rows: fit rows.
        plan: round by round; empty where it doesn't reach for two forms.
    """

    tier: str
    seconds: float
    pace: float
    rows: int
    plan: tuple[Halving, ...]


@dataclass(frozen=True, slots=True)
class TuneProgress:
    """How far it is.

    Args:
        tier: who is asked.
        what: what for: a form in words.
        round: from 1.
        rounds: how many there are.
        done: rows of this form that are through.
        rows: how many there are.
    """

    tier: str
    what: str
    round: int
    rounds: int
    done: int
    rows: int
