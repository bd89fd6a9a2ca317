"""The progress of a job: one line on a terminal, or a line per minute in a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Self

from rung.batch.manifest import JobCounts
from rung.batch.working import Job, StepProgress
from rung.cli.output import Output
from rung.cli.progress import ClimbProgress, duration
from rung.ledger.schema import dollars

_EVERY = 60.0
"""Seconds between two lines of progress if stderr is a file."""
_SHARE = 20
"""Sets the pause between two counts, as a multiple of the time that the last count took. So counting takes about 5% of
the time, even for a large job."""


class BatchLine:
    """The progress line.

    Args:
        output: where to show it.
        job: the job.
    """

    def __init__(self, output: Output, job: Job) -> None:
        self._output, self._job = output, job
        self._line = ClimbProgress(output.talks)
        self._told = time.monotonic()
        self._next_count = 0.0
        self._counts = job.manifest.counts()
        self._step = ""
        self._began: JobCounts = self._counts
        self._since = time.monotonic()

    @staticmethod
    @contextmanager
    def reading(output: Output) -> Iterator[Callable[[int], None]]:
        """A block in which the input is read. Yields a function to call with the number of rows so far."""
        line = ClimbProgress(output.talks)
        try:
            yield lambda rows: line.draw(f"reading the input: {rows:,} rows")
        finally:
            line.draw("")

    def show(self, progress: StepProgress) -> None:
        """Show the progress of the work."""
        now = time.monotonic()
        if progress.tier != self._step:
            self._step, self._began, self._since = progress.tier, self._job.manifest.counts(), now
        if now >= self._next_count:
            self._counts = self._job.manifest.counts()
            self._next_count = now + _SHARE * (time.monotonic() - now)
        if self._output.talks:
            self._line.draw(self._said(progress))
        elif now - self._told >= _EVERY:
            self._told = now
            self._output.say(self._said(progress))

    def clear(self) -> None:
        """Clear the line before something else is written."""
        self._line.draw("")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def _said(self, progress: StepProgress) -> str:
        counts, began = self._counts, self._began
        places = [rung.tier.name for rung in self._job.ladder.rungs]
        waiting = (
            counts.open if not progress.tier else {p: counts.open.get(p, 0) for p in [places.index(progress.tier)]}
        )
        left = sum(waiting.values())
        before = sum(began.open.get(place, 0) for place in waiting)
        through = max(0, before - left)
        seconds = time.monotonic() - self._since
        said = [f"{progress.tier or 'all tiers'}: {counts.rows - sum(counts.open.values()):,} of {counts.rows:,} rows"]
        if through and seconds > 0:
            rate = through / seconds
            said.append(f"{rate:,.1f}/s")
            if left:
                said.append(f"{duration(left / rate)} left" + (" for this tier" if progress.tier else ""))
        said += self._shares(counts, progress)
        said += self._money(counts, began, left)
        return ", ".join(said)

    @staticmethod
    def _shares(counts: JobCounts, progress: StepProgress) -> list[str]:
        ended = counts.accepted + counts.rejected
        said = [f"{counts.accepted / ended:.0%} accepted"] if ended else []
        if progress.tier and progress.done:
            said.append(f"{progress.sent_up / progress.done:.0%} sent up")
        return said

    @staticmethod
    def _money(counts: JobCounts, began: JobCounts, left: int) -> list[str]:
        if not counts.counted:
            return []
        spent = dollars(counts.spent)
        said = [f"${spent:.2f} so far"]
        ended = counts.accepted + counts.rejected - began.accepted - began.rejected
        if ended > 0 and left and counts.spent > began.spent:
            each = dollars(counts.spent - began.spent) / Decimal(ended)
            said.append(f"about ${each * left:.2f} for the rest")
        return said
