"""Finding the best form for a tier: successive halving on fit rows, within a budget of time.

All forms answer a few rows, the better half some more, and so on (Jamieson and Talwalkar 2016, "Non-stochastic Best Arm
Identification and Hyperparameter Optimization"). Forms are compared by the mean loss of a row,

    seconds of the tier / seconds of the next tier + (1 / share that the next tier has right, if the answer is wrong),

which counts in calls of the next tier: those that the tier's own time would buy, and those that it takes to get a right
answer there. So a form that is twice as long has to be right often enough to pay for itself; and where the next tier is
hardly ever right, a right answer is worth more than its time. Certify rows are never looked at here: what the choice is
worth on them is asked afterwards (`rung.learn.worth`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from rung.learn.axes import DEFAULT, described, forms_for, turned, without
from rung.learn.evaluating import Work
from rung.learn.examples import Examples
from rung.learn.form_asking import FormAsking, OutOfTime, limited
from rung.learn.forms import in_force
from rung.learn.halving import Halving, halvings
from rung.learn.intervals import mean
from rung.learn.results import TierResult
from rung.learn.rows import Row
from rung.learn.tuned import SPENT, Bought, Contrast, NextTier, TriedForm, TunedTier, TuneProgress
from rung.learn.yardstick import DRAWS, LEVEL, Yardstick
from rung.tier import Rung
from rung.types import FormInForce, PromptForm

_ALIKE = 0.01
"""Share of rows that may be wrong in one form and not in another while both count as equally good."""
_PROBES = 6
"""Rows that are asked to measure how long a tier takes."""
_NEXT = 12
"""Rows that are asked to measure what the next tier brings. So few tell one right answer in ten from nine in ten, and
no more is needed."""


class Tuning:
    """The search for one tier.

    Args:
        work: what to ask: all rows, the ladder, its recorders.
        rung: the tier.
        following: the next tier of this machine; `None` for the last.
        rows: the fit rows, in the order in which they are asked.
        examples: those that may be shown.
        groups: of the examples, by index.
        wordings: the user's.
        seconds: of the budget.
        references: the next tier's answers by number of the row, if answers are compared with those; `None` if they are
            compared with expected ones.
        forms: of tiers that have just been tuned.
        next_tier: what the next tier takes and brings; `None` measures it.
        forms_tried: the forms, rung's own first; `None` tries those that suit the contract.
    """

    def __init__(
        self,
        work: Work,
        rung: Rung,
        following: Rung | None,
        rows: Sequence[Row],
        examples: Examples,
        groups: Sequence[str],
        wordings: Sequence[str],
        seconds: float,
        references: Mapping[int, Any] | None = None,
        forms: Mapping[str, FormInForce | None] = MappingProxyType({}),
        next_tier: NextTier | None = None,
        forms_tried: Sequence[PromptForm] | None = None,
    ) -> None:
        self._work = self._work_in_time = work
        self._rung, self._following = rung, following
        self._rows = list(rows)
        self._examples, self._groups = examples, list(groups)
        self._wordings = wordings
        self._budget = seconds
        self._references, self._forms = references, forms
        self._by_row = {row.messages[-1].text: row.group or row.key for row in rows}
        self._next = next_tier
        self._wanted = None if forms_tried is None else list(forms_tried)
        self._answers: dict[PromptForm, dict[int, TierResult]] = {}
        self._alive: list[PromptForm] = []
        self._plan: tuple[Halving, ...] = ()

    def found(self) -> Iterator[Bought | TuneProgress | TunedTier]:
        """Yield what the budget allows, progress, each better result, and at the end what to use.

        Raises:
            RungError: whatever asking the tiers raises.
        """
        finished = False
        try:
            with limited(self._work, self._budget) as self._work_in_time:
                yield from self._search()
            finished = True
        except OutOfTime as over:
            if over.__cause__ is not None and not any(self._answers.values()):
                raise over.__cause__ from None  # nothing of this is recorded
        finally:
            if self._work.asks:
                self._work.recorders[self._rung.tier.name].put_away()
        yield self._tuned(finished)

    def _search(self) -> Iterator[Bought | TuneProgress | TunedTier]:
        if self._following is not None and self._next is None:
            yield from self._probe(self._following)
        forms = self._wanted
        if forms is None:
            contract = self._work.ladder.contract(self._work.output, self._work.validators)
            forms = forms_for(contract, self._wordings, len(self._rows))
        if not self._examples.shown:
            forms = [form for form in forms if form.examples == "none"]
        yield from self._ask(DEFAULT, self._rows[:_PROBES], 0)
        known = list(self._answers[DEFAULT].values())
        pace = max(float(np.mean([r.seconds for r in known])) if known else 0.0, 1e-6)
        # by recorded seconds, so that a second start, or a replay, makes the same plan
        self._plan = halvings(len(forms), len(self._rows), self._budget * SPENT / pace)
        yield Bought(self._rung.tier.name, self._budget, pace, len(self._rows), self._plan)
        self._alive = forms
        best = DEFAULT
        for number, halving in enumerate(self._plan, 1):
            self._alive = self._best_of(self._alive, halving.forms)
            for form in dict.fromkeys((DEFAULT, *self._alive)):
                yield from self._ask(form, self._rows[: halving.rows], number)
                chosen = self._chosen()
                if chosen != best:
                    best = chosen
                    yield self._tuned(finished=False)

    def _best_of(self, forms: Sequence[PromptForm], count: int) -> list[PromptForm]:
        """The forms that lose least on the rows that each was asked. Among equals the earlier comes first."""
        asked = [form for form in forms if len(self._answers.get(form, ())) > _PROBES]
        if not asked:
            return list(forms[:count])
        return sorted(asked, key=self._loss)[:count]

    def _loss(self, form: PromptForm) -> float:
        return self._yardstick.loss(self._answers[form])

    @property
    def _yardstick(self) -> Yardstick:
        return Yardstick(self._references, self._work.same, self._next)

    def _chosen(self) -> PromptForm:
        """Among the forms that weren't dropped and beat rung's own by more than chance, the one that loses least. Among
        those that lose as much, the one that changes least.
        """
        better = {t.form: self._loss(t.form) for t in self._tried() if t.is_better and t.form in self._alive}
        least = min(better.values(), default=0.0)
        within = _ALIKE * (1.0 if self._next is None else self._next.for_one_right)
        alike = [form for form, loss in better.items() if loss <= least + within]
        return min(alike, key=lambda form: (len(turned(form)), better[form]), default=DEFAULT)

    def _tried(self) -> list[TriedForm]:
        yardstick, own = self._yardstick, self._answers.get(DEFAULT, {})
        groups = {row.number: row.group or row.key for row in self._rows}
        each = (yardstick.compared(form, answers, own, groups) for form, answers in self._answers.items())
        return sorted((tried for tried in each if tried), key=lambda t: (-t.rows, self._loss(t.form)))

    def _tuned(self, finished: bool) -> TunedTier:
        following = self._following
        tried = self._tried()
        return TunedTier(
            self._rung.tier.name,
            None if following is None else following.tier.name,
            self._references is None,
            tuple(tried),
            self._chosen(),
            max((t.rows for t in tried), default=0),
            self._next,
            self._plan,
            self._contrasts(),
            finished and bool(self._plan) and bool(tried),
        )

    def _contrasts(self) -> tuple[Contrast, ...]:
        """The effect of each choice, over all forms that were tried with it and without."""
        groups = {row.number: row.group or row.key for row in self._rows}
        known = {form: self._yardstick.known(answers) for form, answers in self._answers.items()}
        pairs: dict[str, list[tuple[dict[int, bool], dict[int, bool]]]] = {}
        for form in known:
            for axis, what in turned(form).items():
                other = without(form, axis)
                if other in known:
                    pairs.setdefault(what, []).append((known[form], known[other]))
        found = []
        for what, each in pairs.items():
            gains = [(float(one[n]) - float(other[n]), groups[n]) for one, other in each for n in one if n in other]
            if gains:
                values, labels = zip(*gains, strict=True)
                gain = mean(values, groups=labels, level=LEVEL, resamples=DRAWS)
                found.append(Contrast(what, len(each), gain))
        return tuple(found)

    def _probe(self, rung: Rung) -> Iterator[TuneProgress]:
        """Measure what the next tier takes and brings. If its answers are recorded, that takes no time."""
        rows = self._rows[: _PROBES if self._references is not None else _NEXT]
        asked = FormAsking(self._work_for(rows), self._forms)
        try:
            for event in asked.all_of(rung):
                yield TuneProgress(rung.tier.name, "what it takes", 0, 0, event.done, len(rows))
        finally:
            if self._work.asks:
                self._work.recorders[rung.tier.name].put_away()
        self._next = brought(list(asked.results(rung.tier.name).values()), labelled=self._references is None)

    def _ask(self, form: PromptForm, rows: Sequence[Row], round_: int) -> Iterator[TuneProgress]:
        """Ask the tier about the rows that this form wasn't asked yet."""
        answers = self._answers.setdefault(form, {})
        new = [row for row in rows if row.number not in answers]
        if not new:
            return
        asking = FormAsking(self._work_for(new), {self._rung.tier.name: self.in_force(form)})
        try:
            for event in asking.all_of(self._rung):
                yield TuneProgress(self._rung.tier.name, described(form), round_, len(self._plan), event.done, len(new))
        finally:
            answers.update(asking.results(self._rung.tier.name))

    def in_force(self, form: PromptForm) -> FormInForce | None:
        """A form as it is tried: no row is shown an example of its own group; `None` for rung's own."""
        if form == DEFAULT:
            return None
        found = in_force(form, self._examples)
        return replace(found, pick=lambda asked: self._examples.pick(form.examples, asked, self._own(asked)))

    def _own(self, asked: str) -> set[int]:
        """Indices of the examples that are in the same group as a row, because they would vouch for it."""
        group = self._by_row.get(asked)
        return {place for place, its in enumerate(self._groups) if its == group}

    def _work_for(self, rows: Sequence[Row]) -> Work:
        return replace(self._work_in_time, rows=lambda: rows)


def brought(results: Sequence[TierResult], *, labelled: bool) -> NextTier | None:
    """What the next tier takes and brings, by some of its answers; `None` if there are none.

    Its share of right answers is estimated by Laplace's rule of succession, (right + 1) / (rows + 2), which is never 0.

    Args:
        results: its answers.
        labelled: whether answers are held against expected ones. Otherwise its own count as right.
    """
    if not results:
        return None
    seconds = float(np.mean([result.seconds for result in results]))
    right = sum(result.right is True for result in results)
    return NextTier(seconds, (right + 1) / (len(results) + 2) if labelled else 1.0)
