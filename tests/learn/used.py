"""Requests put straight into a ledger, as a ladder of two tiers in use leaves them there."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rung import (
    Attempt,
    Candidate,
    Finished,
    Message,
    Outcome,
    Request,
    Score,
    Shadowed,
    Threshold,
    Validation,
    Verdict,
)
from rung.types import Toss, Zone

FORM = "f" * 64
CALIBRATED = Threshold(-1.0, {"minimum": 1.0}, origin="calibrated 2026-11-26 on 300 rows")


def attempt(number, tier, *, score=None, verdict=Verdict.ACCEPT, threshold=None, conditions=None, weights=None):
    known = None if score is None else Score(score, score, score, None, 1)
    return Attempt(
        number,
        tier,
        Zone.HOST,
        verdict=verdict,
        candidate=Candidate("yes", score=known),
        validation=Validation("yes"),
        threshold=threshold,
        sent=True,
        weights=weights,
        conditions=conditions or f"conditions of {tier}",
    )


def ask(
    ledger,
    *,
    lost=False,
    dropped=False,
    killed=False,
    chance=1.0,
    fell=True,
    score=-0.1,
    up=False,
    threshold=None,
    task="intent",
    form=FORM,
    small="",
    mid="",
    reason="valid",
):
    """One request: answered by the small tier, or sent up unsure."""
    verdict = Verdict.ESCALATE if up else Verdict.ACCEPT
    first = attempt(1, "small", score=score, verdict=verdict, threshold=threshold, conditions=small, weights="5" * 64)
    attempts = (first, attempt(2, "mid", conditions=mid)) if up else (first,)
    toss = Toss(chance, fell, os.urandom(8).hex())
    request = Request((Message("user", "?"),), task=task)
    ledger(Finished(request, Outcome(attempts, reason), form=form, toss=toss))
    if fell and not killed:
        asked = () if up or dropped else (attempt(1, "mid", conditions=mid),)
        ledger(Shadowed(toss, "mid", None if dropped else not lost, "busy" if dropped else "", asked))


def fill(ledger, losses: Iterable[bool], **settings) -> None:
    """Requests in time order, each lost or not."""
    for number, lost in enumerate(losses):
        ask(ledger, lost=lost, **settings)
        if number % 200 == 199:
            ledger.flush()
    ledger.flush()
