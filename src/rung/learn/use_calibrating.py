"""Calibrating from use: a threshold from the ledger's requests, weighted by the probability of the draw for a shadow.

The ledger knows how sure the first tier was of the answers that the present policy accepted. For requests that were
drawn for a shadow it knows whether the last tier agrees. About answers that were sent up it knows nothing. So the
threshold in force is the lowest that can be certified, its score stays as it is, and nothing is fitted.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from rung.errors import ConfigError
from rung.learn import saying
from rung.learn.arrays import Ints
from rung.learn.bounds import Betting, bound_for, fortune
from rung.learn.calibrating import Provenance
from rung.learn.certificates import Certificate, certify, shadow_losses
from rung.learn.learned import Evidence, Learned, LearnedTier, Promise
from rung.learn.looks import LookKind
from rung.learn.questions import Question
from rung.learn.use import Use, fewest
from rung.types import Conditions


@dataclass(frozen=True, slots=True)
class UseCalibration:
    """The result of a calibration from use.

    Args:
        question: the question that was asked.
        use: what the ledger knows.
        against: the last tier.
        weights: of the score's features.
        bias: added to their sum.
        above: an answer is accepted if its score is greater; infinite if none is.
        before: the threshold in force; minus infinity if there is none.
        promised: whether anything is promised.
        certificate: how it was computed.
        losses: number of requests with a shadow that are lost at the threshold.
        unavoidable: number of those that are lost whatever it is.
        kept: number of requests that the first tier answers at the threshold.
    """

    question: Question
    use: Use
    against: str
    weights: Mapping[str, float]
    bias: float
    above: float
    before: float
    promised: bool
    certificate: Certificate
    losses: int
    unavoidable: int
    kept: int


def calibrate_use(use: Use, against: str, question: Question) -> UseCalibration:
    """Find a threshold for the first tier, and what can be promised of the ladder.

    Args:
        use: of the task, under the present policy.
        against: the last tier.
        question: what to promise.

    Raises:
        ConfigError: there are too few requests that were drawn for a shadow.
    """
    rows = [row for row in use.rows if row.chance]
    fell = np.array([row.fell for row in rows], dtype=np.bool_)
    least = fewest(question.limit, question.delta)
    if fell.sum() < least:
        raise ConfigError(
            f"{int(fell.sum()):,} requests of the task {use.task!r} under its present settings were drawn for a "
            f"shadow, but {least:,} are needed",
            hint="continue with [shadow] share = ... in rung.toml, or calibrate on a file of prompts",
        )
    chances = np.array([row.chance for row in rows], dtype=np.float64)
    units = np.arange(len(rows))
    bound, _ = bound_for(units, 1 / chances, question.limit, question.delta, graded=False)
    if not bound.certifies(np.zeros(len(rows))):
        raise ConfigError(
            f"{int(fell.sum()):,} of {len(rows):,} requests were drawn for a shadow, but at so small a share {least:,} "
            f"such requests are not quite enough: about {_missing(units, 1 / chances, question):,} more are needed"
        )
    weights, bias, before = _score(use)
    agrees = [math.nan if row.agrees is None else float(row.agrees) for row in rows]
    lost = shadow_losses(fell, agrees)
    # without any feature all answers are accepted, or none
    unknown = -math.inf if weights else 0.0
    scores = np.array([(unknown if row.score is None else row.score) if row.accepted else -math.inf for row in rows])
    base = (lost > 0) & ~np.array([row.accepted for row in rows])
    # a request that is lost whatever the threshold is comes first on the way down
    seen = scores[np.isfinite(scores)]
    placed = np.where(base, (seen.max() if len(seen) else 0.0) + 1.0, scores)
    found = certify(
        placed,
        lost,
        limit=question.limit,
        delta=question.delta,
        chances=None if (chances == 1).all() else chances,
        floor=before if math.isfinite(before) else None,
    )
    promised = bound.certifies(base.astype(np.float64))
    above = found.threshold if promised and found.threshold is not None else math.inf
    if promised and len(seen) and seen.min() > above:
        above = before  # all answers accepted today may stay accepted: the policy in force is certified
    taken = scores > above
    return UseCalibration(
        question,
        replace(use, rows=tuple(rows)),
        against,
        weights,
        bias,
        above,
        before,
        promised,
        found,
        losses=int(lost[taken].sum() + base.sum()),
        unavoidable=int(base.sum()),
        kept=int(taken.sum()),
    )


def _score(use: Use) -> tuple[Mapping[str, float], float, float]:
    """Weights and bias of the score in force, and its threshold."""
    if use.threshold is None:
        # as `use` defines it if no threshold does; nothing was sent up because of it
        return {} if use.feature is None else {use.feature: 1.0}, 0.0, -math.inf
    return use.threshold.weights, use.threshold.bias, use.threshold.above


def _missing(units: Ints, weights: np.ndarray, question: Question) -> int:
    bound = Betting.of(units, weights, question.limit, question.delta)
    reached = fortune(question.limit / (bound.most - question.limit), bound.stakes)
    return math.ceil(len(units) * (-math.log(question.delta) / reached - 1) * 1.05)


def data_hash(use: Use) -> str:
    """A hash of the requests that were looked at."""
    return hashlib.sha256("\n".join(row.id for row in use.rows).encode()).hexdigest()


def sentences(found: UseCalibration, look: LookKind) -> Iterator[str]:
    """What may be said: the promise, and what it depends on."""
    use, mid = found.use, found.against
    rows, tossed = len(use.rows), use.tossed
    if not found.promised:
        yield (
            f"Nothing can be promised: {found.unavoidable:,} of {len(tossed):,} answers differ from what {mid} alone "
            "would say, whatever the threshold is."
        )
    elif look == "later":
        yield (
            "This is an estimate and not a certificate: these requests were looked at before, for another promise. "
            f"{found.losses:,} of {len(tossed):,} answers differ from what {mid} alone would say."
        )
    else:
        yield saying.promised(f"prompts drawn like those of these {rows:,} requests", found.question, mid)
    differ, agree = (sum(row.agrees is said for row in tossed) for said in (False, True))
    yield (
        f"{len(tossed):,} of them were drawn for a shadow before they were answered: {agree:,} agree with {mid}, "
        f"{differ:,} differ, and {use.dropped:,} could not be compared, which counts as differing."
    )
    so_far = sum(row.accepted for row in use.rows)
    yield f"{use.first} answers {found.kept:,} of the {rows:,} requests, and answered {so_far:,} of them so far."
    if found.promised and not found.kept:
        yield f"So {mid} answers all of them."
    if math.isfinite(found.before):
        yield "What was sent up so far still is: a lower threshold needs `rung calibrate` on a file of prompts."
    yield "Each request counts as drawn by itself: the ledger has no prompts, so it can't tell which were repeated."


def learnt_from_use(found: UseCalibration, conditions: Mapping[str, Conditions], origin: Provenance) -> Learned:
    """The content of a task's `learned.json` after a calibration from use.

    Args:
        found: the calibration.
        conditions: those under which each tier answers.
        origin: where it comes from.
    """
    asked, first = found.question, found.use.first
    evidence = Evidence.of(
        conditions[first],
        against=found.against,
        data=origin.data,
        rows=len(found.use.rows),
        date=origin.date,
        rung=origin.rung,
    )
    tier = LearnedTier(
        above=found.above, weights=dict(found.weights), bias=found.bias, says=origin.says, evidence=evidence
    )
    promise = Promise(
        kind=asked.kind,
        limit=asked.limit,
        delta=asked.delta,
        certified=origin.certified,
        against=found.against,
        rows=len(found.use.rows),
    )
    return Learned(promise=promise if found.promised else None, tiers={first: tier})
