"""Calibrating a ladder: from the answers of its tiers to thresholds, and to what can be promised of the whole.

The whole policy is certified, including repairs and feedback: a row counts as lost if the ladder's own answer is lost,
whichever tier gave it. Scores and the path of thresholds are chosen on fit rows, the threshold on certify rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rung.learn.arrays import Floats, Ints
from rung.learn.certificates import Certificate, along_path, certify, certify_accepted
from rung.learn.choosing import Chosen, choose
from rung.learn.climbing import Climb
from rung.learn.costs import Pay
from rung.learn.fitting import Fitted
from rung.learn.intervals import Estimate, bootstrap
from rung.learn.judgements import Judgements
from rung.learn.learned import Evidence, Learned, LearnedTier, Promise
from rung.learn.metrics import auroc
from rung.learn.outcomes import Outcomes, lost_first
from rung.learn.paths import Path
from rung.learn.questions import Question, bound_of, demand_rows
from rung.learn.results import TierResult
from rung.types import Conditions

_MANY = 0.5
"""Share sent up above which the report says, unasked, that no threshold does better."""
_DRAWS = 500
"""Resamples for an AUROC's interval, which is shown with two digits."""


@dataclass(frozen=True, slots=True)
class CalibratedTier:
    """The results for one tier.

    Args:
        tier: its name.
        fitted: its score.
        above: an answer is accepted if its score is greater; infinite if none is accepted, or every valid one.
        rows: number of rows that reach it.
        valid: number of all rows that it answers validly.
        agrees: number of all rows that it answers without loss: as the last tier does, or rightly.
        kept: number of certify rows that it answers.
        auroc: of its score, on the certify rows, which took no part in choosing it; `None` if no answer has the
            feature.
        pay: whether asking it first saves time; `None` if no seconds were measured.
    """

    tier: str
    fitted: Fitted = field(repr=False)
    above: float
    rows: int
    valid: int
    agrees: int
    kept: int
    auroc: Estimate | None
    pay: Pay | None

    @property
    def tells(self) -> bool:
        """Whether its score separates good answers from bad ones, as far as the rows show."""
        return self.auroc is not None and self.auroc.low is not None and self.auroc.low > 0.5

    @property
    def useful(self) -> bool:
        """Whether it is worth asking: it saves time or, if no time was measured, its score separates answers."""
        return self.pay.pays if self.pay is not None else self.auroc is None or self.tells


@dataclass(frozen=True, slots=True)
class Calibration:
    """The result of a calibration.

    Args:
        question: the question that was asked.
        against: the last tier.
        tiers: those that got a threshold, smallest first: all before the last one, and for `wrong` the last one, too.
        rows: number of all rows.
        fit_rows: number of rows on which scores were chosen.
        certify_rows: number of rows on which the threshold was chosen.
        groups: number of independent groups among those.
        judged: number of disagreements that a person judged.
        promised: whether anything is promised.
        certificate: how it was computed.
        losses: number of certify rows that are lost at the thresholds.
        unavoidable: number of certify rows that are lost whatever the thresholds are, because the last tier answers
            differently after a rejected answer than by itself.
        kept: number of certify rows that a tier before the last one answers.
        unanswered: number of certify rows that no tier answers.
        least_sent_up: share of all rows that the best threshold in hindsight sends up; `None` if even so none stays
            within the limit, and if only a part of the disagreements was judged.
        chosen: what was chosen before the certify rows were looked at.
    """

    question: Question
    against: str
    tiers: tuple[CalibratedTier, ...]
    rows: int
    fit_rows: int
    certify_rows: int
    groups: int
    judged: int
    promised: bool
    certificate: Certificate
    losses: int
    unavoidable: int
    kept: int
    unanswered: int
    least_sent_up: float | None
    chosen: Chosen = field(repr=False)

    @property
    def hardly_pays(self) -> bool:
        """Whether even the best threshold sends up more than half, as far as that is known."""
        known = self.question.kind != "judged"
        return known and (self.least_sent_up is None or self.least_sent_up > _MANY)


def calibrate(climbs: Sequence[Climb], question: Question, judgements: Judgements | None = None) -> Calibration:
    """Find thresholds for a ladder, and what can be promised of them.

    Args:
        climbs: what every tier answered to each row.
        question: what to promise.
        judgements: a person's judgements, if the question needs them.

    Raises:
        ConfigError: there are too few rows, no answer has the feature, or the extra `eval` is missing.
    """
    demand_rows([climb.row for climb in climbs], question)
    chosen = choose(climbs, question)
    rows = chosen.outcomes(chosen.certifying, judgements)
    fit_rows = chosen.outcomes(chosen.fitting) if chosen.fitting else None
    certificate, promised = _certified(rows, fit_rows, chosen.path, question)
    above = _thresholds(rows, chosen.path, certificate.threshold if promised else None)
    answered, lost = rows.under(above)
    every = chosen.outcomes(chosen.climbs, judgements)
    return Calibration(
        question,
        climbs[0].alone.tier,
        tuple(_tier(climbs, every, rows, answered, place, score, above) for place, score in enumerate(chosen.scores)),
        rows=len(climbs),
        fit_rows=len(chosen.fitting),
        certify_rows=len(chosen.certifying),
        groups=int(rows.units.max()) + 1,
        judged=0 if judgements is None or question.kind != "judged" else len(judgements.of(chosen.certifying)),
        promised=promised,
        certificate=certificate,
        losses=int(lost.sum()),
        unavoidable=int(rows.base.sum()),
        kept=int(((answered >= 0) & (answered < len(climbs[0].steps) - 1)).sum()),
        unanswered=int((answered < 0).sum()),
        least_sent_up=None if question.kind == "judged" else _least_sent_up(every, chosen.path, question),
        chosen=chosen,
    )


def _certified(rows: Outcomes, fit_rows: Outcomes | None, path: Path, question: Question) -> tuple[Certificate, bool]:
    """The certificate, and whether anything is promised."""
    placed, limit, delta = path.positions(rows.scores), question.limit, question.delta
    groups = rows.units.tolist()
    if question.kind == "wrong":
        assert fit_rows is not None, "demand_rows asks for them"
        fit_placed = path.positions(fit_rows.scores)
        found = certify_accepted(
            placed,
            rows.losses,
            fit_scores=fit_placed,
            fit_wrong=fit_rows.losses,
            limit=limit,
            delta=delta,
            groups=groups,
        )
        return found, found.threshold is not None
    columns, losses = lost_first(placed, rows.losses, rows.base)
    found = certify(columns, losses, limit=limit, delta=delta, groups=groups, average=question.average)
    return found, bound_of(rows.units, question).certifies(rows.base.astype(np.float64))


def _thresholds(rows: Outcomes, path: Path, position: float | None) -> tuple[float, ...]:
    """Each tier's threshold on its own score. Rounding never accepts a row at the common threshold or below."""
    if position is None:
        return (math.inf,) * len(path.slopes)
    placed = path.positions(rows.scores)
    found = []
    for tier, above in enumerate(path.thresholds(position)):
        sent = rows.scores[placed[:, tier] <= position, tier]
        found.append(max(above, float(sent.max())) if len(sent) and math.isfinite(above) else above)
    return tuple(found)


def _least_sent_up(every: Outcomes, path: Path, question: Question) -> float | None:
    """The share that the best threshold sends up, chosen in hindsight on all rows and compared with the bare limit."""
    placed = path.positions(every.scores)
    if question.kind == "wrong":
        return _least_bound(every, placed, question.limit)
    kept, lost, _ = along_path(placed, every.losses)
    room = math.floor(question.limit * len(kept) + 1e-9) - int(every.base.sum())
    if room < 0:
        return None
    lost = np.sort(lost[~every.base & np.isfinite(lost)])[::-1]
    threshold = lost[room] if len(lost) > room else -math.inf
    return float((kept <= threshold).mean())


def _least_bound(every: Outcomes, placed: Floats, limit: float) -> float | None:
    highest = placed.max(axis=1)
    best = None
    for threshold in np.unique(np.append(highest[np.isfinite(highest)], -np.inf)):
        above = placed > threshold
        taken = above.any(axis=1)
        wrong = taken & every.losses[np.arange(len(taken)), above.argmax(axis=1)]
        if taken.any() and wrong.sum() <= limit * taken.sum() + 1e-9:
            best = float((~taken).mean()) if best is None else min(best, float((~taken).mean()))
    return best


def _tier(
    climbs: Sequence[Climb],
    every: Outcomes,
    certifying: Outcomes,
    answered: Ints,
    place: int,
    fitted: Fitted,
    above: Sequence[float],
) -> CalibratedTier:
    valid = np.isfinite(certifying.scores[:, place])
    places, _ = every.under(above)
    reach = np.array([not 0 <= at < place for at in places])
    kept = float((places[reach] == place).mean()) if reach.any() else 0.0
    following = [c.steps[place + 1] if place + 1 < len(c.steps) else None for c in climbs]
    pay = _pay(kept, [c.steps[place] for c in climbs], [step for step in following if step is not None])
    tells = bool(fitted.weights) and valid.any()
    return CalibratedTier(
        climbs[0].steps[place].tier,
        fitted,
        above[place],
        rows=int(reach.sum()),
        valid=sum(climb.steps[place].valid for climb in climbs),
        agrees=int(every.good[:, place].sum()),
        kept=int((answered == place).sum()),
        auroc=bootstrap(
            auroc,
            certifying.scores[valid, place],
            certifying.good[valid, place],
            groups=certifying.units[valid].tolist(),
            resamples=_DRAWS,
        )
        if tells
        else None,
        pay=pay,
    )


def _pay(kept: float, steps: Sequence[TierResult], following: Sequence[TierResult]) -> Pay | None:
    taken = [step.seconds for step in steps if step.asked]
    then = [step.seconds for step in following if step.asked]
    if not taken or not then or not sum(then) > 0:
        return None
    return Pay(kept, float(np.mean(taken)), float(np.mean(then)))


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where what was learnt comes from.

    Args:
        data: sha256 of the data's file.
        date: today, as in 2026-11-26.
        rung: the version of rung.
        certified: whether the rows were looked at for the first time.
        says: the sentence that was printed.
    """

    data: str
    date: str
    rung: str
    certified: bool
    says: str


def learnt(found: Calibration, conditions: Mapping[str, Conditions], origin: Provenance) -> Learned:
    """The content of a task's `learned.json` after a calibration.

    Args:
        found: the calibration.
        conditions: those under which each tier answered.
        origin: where it comes from.
    """
    weights = {name: now.weights for name, now in conditions.items() if now.weights is not None}
    tiers = {}
    for tier in found.tiers:
        now = conditions[tier.tier]
        now = replace(now, others={name: sha256 for name, sha256 in weights.items() if name != tier.tier})
        against = found.against if tier.tier != found.against else None
        evidence = Evidence.of(
            now, against=against, data=origin.data, rows=found.rows, date=origin.date, rung=origin.rung
        )
        tiers[tier.tier] = LearnedTier(
            above=tier.above,
            weights=dict(tier.fitted.weights),
            bias=tier.fitted.bias,
            curve=tier.fitted.curve,
            says=origin.says,
            evidence=evidence,
        )
    asked = found.question
    promised = Promise(
        kind=asked.kind,
        limit=asked.limit,
        delta=asked.delta,
        average=asked.average,
        certified=origin.certified,
        against=found.against,
        rows=found.certify_rows,
    )
    return Learned(promise=promised if found.promised else None, tiers=tiers)
