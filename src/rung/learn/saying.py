"""The results of a calibration, in sentences. Each says no more than its number does."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rung.learn.calibrating import CalibratedTier, Calibration
from rung.learn.intervals import Estimate
from rung.learn.learned import Promise
from rung.learn.looks import LookKind
from rung.learn.questions import Question, percent
from rung.learn.rechecks import Recheck


def promise(found: Calibration, look: LookKind) -> str:
    """What may be said about the ladder as a whole.

    Args:
        found: the calibration.
        look: the kind of look at the certify rows.
    """
    asked, mid = found.question, found.against
    lost = _lost(found.question.kind, mid)
    if not found.promised:
        if asked.kind == "wrong":
            return f"Nothing can be promised: no threshold shows that at most {in_hundred(asked.limit)} {lost}."
        return (
            f"Nothing can be promised: {found.unavoidable:,} of {found.certify_rows:,} answers {lost}, whatever the "
            f"thresholds are. After a rejected answer {mid} is told what was wrong with it, and then answers "
            "differently than by itself."
        )
    if look == "later":
        of = found.certify_rows - (found.unanswered if asked.kind == "wrong" else 0)
        return (
            "This is an estimate and not a certificate: these rows were looked at before, for another promise or with "
            f"other answers, labels or settings. {found.losses:,} of {of:,} {lost}."
        )
    drawn = f"prompts drawn like these {found.rows:,}"
    if found.groups < found.certify_rows:
        drawn += f" (by drawing one of their groups first, of which {found.groups:,} certify)"
    return promised(drawn, asked, mid, judged=found.judged)


def promised(drawn: str, asked: Question, mid: str, *, judged: int = 0) -> str:
    """The promise itself.

    Args:
        drawn: the prompts that it holds for.
        asked: what is promised.
        mid: the last tier.
        judged: number of disagreements that a person judged, if the promise depends on them.
    """
    said = f"On {drawn}, at most {in_hundred(asked.limit)} {_lost(asked.kind, mid)}"
    if asked.kind == "judged":
        said += f", as far as the judgements of {judged:,} {_many(judged, 'disagreement')} are right"
    said += "."
    if asked.kind != "wrong":
        better = ", however good " + mid + " is" if asked.kind == "differs" else ""
        said += f" So the ladder is at most {points(asked.limit)} less accurate than {mid}{better}."
    if asked.kind == "differs":
        said += f" How good {mid} is, this can't tell."
    if asked.average:
        return f"{said} This holds on average over samples, and not in each of them: it is weaker than the default."
    return f"{said} The method is right in {percent(1 - asked.delta)} of samples."


def rechecked(found: Recheck, promised: Promise) -> str:
    """What fresh rows say about the promise.

    Args:
        found: the check.
        promised: the task's promise.
    """
    lost = _lost(promised.kind, promised.against)
    what = "certificate" if promised.certified else "estimate"
    bound = f"at most {in_hundred(promised.limit)} {lost}"
    rows = f"{found.rows:,} fresh {'accepted answers' if promised.kind == 'wrong' else 'rows'}"
    seen = f"{found.losses:,.0f} of {rows} are lost"
    if found.groups < found.rows:
        seen += f", in {found.groups:,} groups"
    if found.unknown:
        seen += f", and {found.unknown:,} are unknown"
    p = f"p = {found.p:.2g}"
    if found.verdict == "contradicted":
        return f"The {what} is contradicted ({bound}): {seen} ({p}). Calibrate anew."
    if found.verdict == "confirmed":
        return f"The {what} is confirmed ({bound}): {seen}. These rows alone would promise as much."
    said = f"Too few rows to tell whether the {what} holds ({bound}): {seen} ({p})."
    if found.unknown:
        said += " Expected answers, or judgements of these rows by `rung label`, would tell more."
    return said


def _many(count: int, what: str) -> str:
    return what if count == 1 else f"{what}s"


def _lost(kind: str, mid: str) -> str:
    if kind == "differs":
        return f"answers differ from what {mid} alone would say"
    return "accepted answers are wrong" if kind == "wrong" else f"answers are wrong where {mid} alone is right"


def findings(found: Calibration) -> Iterator[str]:
    """Which tier keeps how much, what doesn't pay, and what the scores are worth."""
    rows, last = found.certify_rows, found.against
    for tier in found.tiers:
        if tier.tier != last:
            yield f"{tier.tier} answers {tier.kept:,} of the {rows:,} prompts that certify ({_share(tier.kept, rows)})."
    if found.question.kind == "wrong":
        yield f"{found.unanswered:,} of them ({_share(found.unanswered, rows)}) are answered by no tier: Unresolved."
    elif not found.kept:
        yield f"So {last} answers all of them."
    if not found.fit_rows:
        yield f"{found.rows:,} rows are too few to fit anything: the score is a single feature."
    for tier in found.tiers:
        if tier.tier != last:
            yield from _tier(tier, found)
    if found.hardly_pays:
        yield _hindsight(found)


def _hindsight(found: Calibration) -> str:
    limit = in_hundred(found.question.limit)
    if found.least_sent_up is None:
        return f"Not even in hindsight does any threshold stay within {limit} on these rows."
    small = " and ".join(tier.tier for tier in found.tiers if tier.tier != found.against)
    return (
        f"Even the best threshold, chosen in hindsight, sends up {_share(found.least_sent_up, 1)} of these prompts: "
        f"{small} has to get better first, by another prompt or contract, or a larger model."
    )


def _tier(tier: CalibratedTier, found: Calibration) -> Iterator[str]:
    good = "is right" if found.question.kind in ("worse", "wrong") else "agrees with " + found.against
    share = _share(tier.agrees, found.rows)
    yield f"By itself {tier.tier} {good} on {tier.agrees:,} of {found.rows:,} prompts ({share})."
    if tier.auroc is None:
        yield f"{tier.tier} doesn't report how sure it is: all of its answers are accepted, or none."
    elif tier.auroc.value is None:
        yield f"It can't be seen what the score of {tier.tier} is worth: all of its answers are good, or none is."
    else:
        names = " and ".join(sorted(tier.fitted.weights))
        said = f"The score of {tier.tier} ({names}) has an AUROC of {_interval(tier.auroc)}, where 0.5 is chance"
        yield f"{said}." if tier.tells else f"{said}: no usable signal. It doesn't tell good answers from bad ones."
    pay = tier.pay
    if pay is not None and not pay.pays:
        yield (
            f"{tier.tier} doesn't pay: it answers {_share(pay.kept, 1)} of what it is asked, and takes "
            f"{_share(pay.needed, 1)} of the next tier's time ({pay.seconds:.2f} s and {pay.next_seconds:.2f} s). "
            f"A prompt takes {pay.mean_seconds:.2f} s with it, and {pay.next_seconds:.2f} s without."
        )
    if not tier.useful:
        yield _offers(tier.tier)


def _offers(tier: str) -> str:
    """The options for a tier that isn't worth asking."""
    return (
        f"Skip it: take the tier {tier} out of rung.toml. Or let it always escalate: min_confidence = 1 in its table, "
        "and learned.json moved away. Or keep it and watch it in the shadow ([shadow] share = 0.05 in rung.toml): some "
        "of what it answers goes to the next tier as well, and `rung calibrate --from-ledger` learns from that."
    )


def _interval(auroc: Estimate) -> str:
    return f"{auroc.value:.2f}" + ("" if auroc.low is None else f" ({auroc.low:.2f} to {auroc.high:.2f})")


def in_hundred(share: float) -> str:
    """A share as a count: `3 in 100`."""
    return f"{100 * share:.6g} in 100"


def points(share: float) -> str:
    """A difference of accuracy in points."""
    shown = f"{100 * share:.6g}"
    return f"{shown} point" if shown == "1" else f"{shown} points"


def _share(part: float, whole: float) -> str:
    """A share in per cent, rounded, but a little is never shown as nothing, nor nearly all as all."""
    share = 100 * part / whole if whole else 0.0
    if not math.isfinite(share):
        return "all"
    shown = f"{share:.0f}%"
    if shown == "0%" and share > 0:
        return "less than 1%"
    return "nearly 100%" if shown == "100%" and share < 100 else shown
