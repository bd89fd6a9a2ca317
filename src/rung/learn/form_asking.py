"""Asking one tier by itself, in some form, until a time is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rung import deferral, engine
from rung.errors import Cancelled
from rung.learn.evaluating import EvalProgress, Evaluation, MissingRecord, Work
from rung.learn.results import TierResult
from rung.learn.rows import Row
from rung.limits import Cancel
from rung.tier import Rung
from rung.types import FormInForce


@contextmanager
def limited(work: Work, seconds: float) -> Iterator[Work]:
    """Work that ends when a time is over; of a replay, where the recording ends.

    Args:
        work: what is asked.
        seconds: how long it may take.

    Raises:
        OutOfTime: the time is over.
        Cancelled: the person ended it.
    """
    cancel = Cancel()
    forget = work.cancel.on_set(cancel.set)
    timer = threading.Timer(max(0.0, seconds), cancel.set)
    timer.daemon = True
    if work.asks:
        timer.start()
    try:
        yield replace(work, cancel=cancel)
    except Cancelled:
        if work.cancel.is_set():
            raise
        raise OutOfTime from None
    except MissingRecord as missing:
        raise OutOfTime from missing
    finally:
        timer.cancel()
        forget()


class OutOfTime(Exception):
    """The budget is used up."""


class FormAsking(Evaluation):
    """Asks one tier by itself, in some form.

    Args:
        work: with the rows.
        forms: of the tiers whose form is set; `None` is rung's own. Other tiers have the form in force.
    """

    def __init__(self, work: Work, forms: Mapping[str, FormInForce | None]) -> None:
        super().__init__(work)
        self._forms = forms

    def all_of(self, rung: Rung) -> Iterator[EvalProgress]:
        """Yield progress while every row is asked."""
        yield from self._pass(rung.tier.name, [rung], whole=False)

    def results(self, tier: str) -> dict[int, TierResult]:
        """The results so far, by number of the row. Each has its value."""
        return {
            number: replace(made.result, value=made.value)
            for (number, name), made in self._made.items()
            if name == tier
        }

    def _ruled(self, plan: engine.Plan, name: str) -> engine.Plan:
        task = plan.task
        if task is not None:
            before = task.form

            def form(tier: str, prompt: str, contract: str) -> FormInForce | None:
                return self._forms[tier] if tier in self._forms else before(tier, prompt, contract)

            task = replace(task, form=form)
        return replace(plan, task=task, rule=deferral.WHOLE)


def answers_of(
    work: Work, rung: Rung, rows: Sequence[Row], forms: Mapping[str, FormInForce | None], seconds: float
) -> Iterator[EvalProgress | dict[int, TierResult]]:
    """Ask a tier by itself: yields progress, and at the end what came by row, as far as the time reached.

    Args:
        work: with its recorders.
        rung: the tier that is asked.
        rows: the rows.
        forms: of tiers that have just been tuned. Other tiers have the form in force.
        seconds: how long it may take.
    """
    asking = None
    try:
        with limited(work, seconds) as in_time:
            asking = FormAsking(replace(in_time, rows=lambda: rows), forms)
            yield from asking.all_of(rung)
    except OutOfTime as over:
        if over.__cause__ is not None and not (asking and asking.results(rung.tier.name)):
            raise over.__cause__ from None
    finally:
        if work.asks:
            work.recorders[rung.tier.name].put_away()
    yield {} if asking is None else asking.results(rung.tier.name)
