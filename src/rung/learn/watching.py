"""Whether a calibrated task in use still keeps its promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rung.learn.drift import VOID, LossDrift, ScoreDrift, loss_delay, score_delay
from rung.learn.learned import Promise
from rung.learn.use import Use, fewest

LIMIT, DELTA = 0.03, 0.1
"""The promise of `rung calibrate` by default."""

_WORSE = 3.0
"""The rise of the loss whose delay is reported, as a multiple of the promised loss: one that a user would want to know
about."""

_HIGHER = 0.7
"""Chance that a new score is above an old one, for the shift whose delay is reported."""

_MOST_SCORES = 20_000
"""Latest scores that are looked at. Each is ranked among all before it, which takes half a second for this many. In a
longer use the rate of false warnings holds for each such window."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A task in use.

    Args:
        use: its requests under the present policy.
        needed: number of requests with a shadow that a calibration needs.
        promise: the promise, if there is one that can be watched; otherwise `None`.
        losses: how strongly the losses contradict the promise, void at 20; `None` without a promise.
        scores: how strongly the scores speak for a change, a warning at 20; `None` without a promise.
        delay: requests until a loss of three times the limit is found in nine of ten cases; `None` without shadows.
        score_delay: the same for a shift of the scores.
    """

    use: Use
    needed: int
    promise: Promise | None
    losses: float | None
    scores: float | None
    delay: int | None
    score_delay: int | None

    @property
    def void(self) -> bool:
        """Whether the promise no longer holds."""
        return self.losses is not None and self.losses >= VOID

    @property
    def enough(self) -> bool:
        """Whether there is enough to calibrate by."""
        return self.promise is None and len(self.use.tossed) >= self.needed


def watch(use: Use, promise: Promise | None) -> Watched:
    """Compare the use of a task with its promise.

    Only a promise of agreement can be watched, because a shadow tells whether two answers agree, and not which one is
    right. Before there is a promise, nothing is said about how often they agree. Whoever saw that could calibrate at
    the moment that suits them, and the certificate would no longer hold.

    Args:
        use: of the task.
        promise: of its `learned.json`; `None` if there is none, or it isn't the one in force.
    """
    needed = fewest(LIMIT, DELTA)
    if promise is None or not promise.certified or promise.kind != "differs" or promise.against != use.against:
        return Watched(use, needed, None, None, None, None, None)
    losses = LossDrift(promise.limit)
    for row in use.tossed:
        losses.add(row.lost)
    known = [row.score for row in use.rows if row.score is not None][-_MOST_SCORES:]
    scores = ScoreDrift(())
    for score in known:
        scores.add(score)
    share = use.rows[-1].chance if use.rows else None
    delay = loss_delay(promise.limit, min(1.0, _WORSE * promise.limit), after=losses.rows)
    requests = None if not share or delay is None else round(delay / share)
    shift = score_delay(len(known), _HIGHER) if known else None
    return Watched(use, needed, promise, losses.evidence, scores.evidence, requests, shift)


def said(watched: Watched) -> Iterator[str]:
    """The result in sentences."""
    use, promise = watched.use, watched.promise
    tossed = len(use.tossed)
    dropped = f", {use.dropped:,} of them without a result" if use.dropped else ""
    yield f"{use.task}: {len(use.rows):,} requests under the present settings, {tossed:,} drawn for a shadow{dropped}"
    if promise is None:
        if watched.enough:
            yield f"  enough to calibrate: rung calibrate --task {use.task} --from-ledger"
        else:
            yield f"  {watched.needed:,} are needed to calibrate from them"
        return
    share = f"{100 * promise.limit:.6g} in 100"
    if watched.void:
        yield (
            f"  drift: more than {share} answers differ from {promise.against}'s now (evidence {watched.losses:.3g} of "
            f"{VOID:g}): the certificate is void; calibrate anew"
        )
    else:
        evidence = f"evidence {watched.losses:.2f} of {VOID:g}"
        yield f"  promised: at most {share} differ; nothing speaks against it ({evidence})"
    if watched.delay is not None:
        worse = f"{100 * min(1.0, _WORSE * promise.limit):.6g} in 100"
        yield f"  a rise to {worse} is found within about {watched.delay:,} more requests, in nine of ten cases"
    if watched.scores is not None and watched.scores >= VOID:
        yield f"  warning: scores have changed (evidence {watched.scores:.3g} of {VOID:g}): prompts may have, too"
    elif watched.score_delay is not None:
        yield (
            "  scores look as before; a shift that shows in 7 of 10 comparisons is found within about "
            f"{watched.score_delay:,} requests"
        )
