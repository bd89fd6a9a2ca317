"""What a tuning finds out, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rung.learn.axes import DEFAULT
from rung.learn.halving import Halving
from rung.learn.intervals import Estimate
from rung.types import PromptForm

SPENT = 0.9
"""Share of the budget that is planned for answers. The rest is for loading models and for forms that take longer."""
_FREE = 0.01
"""Mean seconds of the next tier below which no form has to pay for itself."""


@dataclass(frozen=True, slots=True)
class NextTier:
    """What the next tier takes, and what that brings.

    Args:
        seconds: mean of a row.
        right: share of rows that it has right; 1 where answers are held against its own.
    """

    seconds: float
    right: float = 1.0

    def times(self, seconds: float) -> float:
        """A time in calls of this tier; 0 where these take none that is worth counting.

        Args:
            seconds: the time.
        """
        return seconds / self.seconds if self.seconds >= _FREE else 0.0

    @property
    def for_one_right(self) -> float:
        """How many of its calls bring one right answer."""
        return 1.0 / self.right


@dataclass(frozen=True, slots=True)
class TriedForm:
    """The result of a form.

    Args:
        form: the form.
        rows: number of rows that it was asked.
        right: share of them that it gets right, or answers as the next tier does.
        gain: that share minus the one of rung's own form on the same rows.
        seconds: mean of a row.
        slower: the mean seconds divided by those of rung's own form on the same rows; `None` if none were measured.
        saved: how much less a row loses than in rung's own form, in multiples of the next tier's time.
        failed: number of rows that got no valid answer, by the engine's reason.
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
    """The effect of one choice: forms that differ in nothing else, on rows that both were asked.

    Args:
        what: the choice in words.
        pairs: number of pairs of forms.
        gain: mean difference of the share that is right.
    """

    what: str
    pairs: int
    gain: Estimate


@dataclass(frozen=True, slots=True)
class TunedTier:
    """The result for one tier.

    Args:
        tier: its name.
        against: the next tier; `None` for the last.
        by_labels: whether answers were compared with expected ones; otherwise with the next tier's.
        tried: all forms that were asked anything, the best of those that got furthest first.
        chosen: the form to use; rung's own if nothing beats it.
        rows: number of fit rows that chose it.
        following: what the next tier takes; `None` if unknown.
        plan: what the budget allowed, round by round.
        contrasts: the effect of each single choice.
        finished: whether all of the plan was done.
        fresh: the chosen form on rows that took no part in the choice; `None` if too few of them were asked.
    """

    tier: str
    against: str | None
    by_labels: bool
    tried: tuple[TriedForm, ...]
    chosen: PromptForm
    rows: int
    following: NextTier | None
    plan: tuple[Halving, ...]
    contrasts: tuple[Contrast, ...]
    finished: bool
    fresh: TriedForm | None = None

    @property
    def best(self) -> TriedForm | None:
        """The result of the chosen form."""
        return next((tried for tried in self.tried if tried.form == self.chosen), None)

    @property
    def useless(self) -> bool:
        """Whether asking it first saves no time in any form, however well its score told right from wrong."""
        following = self.following
        if following is None or not self.tried:
            return False
        return all(following.times(t.seconds) >= (t.right.value or 0.0) * following.for_one_right for t in self.tried)


@dataclass(frozen=True, slots=True)
class Bought:
    """What the budget of a tier allows, reported before it is spent.

    Args:
        tier: its name.
        seconds: of the budget.
        pace: seconds that an answer takes.
        rows: number of fit rows.
        plan: round by round; empty if it doesn't allow two forms.
    """

    tier: str
    seconds: float
    pace: float
    rows: int
    plan: tuple[Halving, ...]


@dataclass(frozen=True, slots=True)
class TuneProgress:
    """The progress of a tuning.

    Args:
        tier: the tier that is being asked.
        what: what for: a form in words.
        round: counts from 1.
        rounds: number of rounds.
        done: number of rows of this form that are done.
        rows: number of all rows.
    """

    tier: str
    what: str
    round: int
    rounds: int
    done: int
    rows: int
