"""What a calibration chooses before it looks at the certify rows: scores, and a path of thresholds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rung.errors import ConfigError
from rung.learn.climbing import Climb
from rung.learn.fitting import Fitted, fit
from rung.learn.judgements import Judgements
from rung.learn.outcomes import Outcomes, column_of, is_good
from rung.learn.paths import Path, common
from rung.learn.questions import Question, groups_of
from rung.learn.splits import split
from rung.types import Conditions

DEFAULTS = ("allowed_minimum", "minimum")
"""The feature that answers are ranked by if none is named: the first of these that exists. No feature is best
everywhere. The least sure token does well on every kind of contract, and a long answer doesn't spoil it."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen on the fit rows.

    Args:
        question: the question that it was chosen for.
        climbs: all rows.
        fitting: the rows that it was chosen on; empty if there are too few.
        certifying: the others.
        scores: of each tier that gets a threshold.
        path: of their common thresholds.
    """

    question: Question
    climbs: tuple[Climb, ...]
    fitting: tuple[Climb, ...]
    certifying: tuple[Climb, ...]
    scores: tuple[Fitted, ...]
    path: Path

    def outcomes(self, climbs: Sequence[Climb], judgements: Judgements | None = None) -> Outcomes:
        """Rows as arrays.

        Args:
            climbs: of the rows.
            judgements: a person's judgements, if the question needs them.
        """
        return Outcomes.of(climbs, self.scores, self.question.kind, judgements)

    def identity(self, conditions: Mapping[str, Conditions], judgements: Judgements | None = None) -> dict[str, Any]:
        """Everything that a look at the certify rows depends on, in a form for JSON.

        Args:
            conditions: those under which the tiers answered.
            judgements: a person's judgements, if the question needs them.
        """
        rows = self.outcomes(self.certifying, judgements)
        said = [] if judgements is None or self.question.kind != "judged" else judgements.of(self.certifying)
        arrays = [rows.scores.tolist(), rows.losses.tolist(), rows.base.tolist()]
        return {
            "question": asdict(self.question),
            "scores": [[dict(score.weights), score.bias] for score in self.scores],
            "path": [list(self.path.slopes), list(self.path.intercepts)],
            "rows": hashlib.sha256(json.dumps(arrays).encode()).hexdigest(),
            "judged": said,
            "conditions": {tier: _told(now) for tier, now in conditions.items()},
        }

    def asking(self, question: Question) -> Chosen:
        """The same for a question of another kind that makes the same choices."""
        return replace(self, question=question)


def choose(climbs: Sequence[Climb], question: Question) -> Chosen:
    """Choose on the fit rows.

    Args:
        climbs: what every tier answered to each row.
        question: what to promise.

    Raises:
        ConfigError: no answer has the feature, or the extra `eval` is missing.
    """
    fits = {row.number for row in split(climb.row for climb in climbs).fit}
    fitting = tuple(climb for climb in climbs if climb.row.number in fits)
    certifying = tuple(climb for climb in climbs if climb.row.number not in fits)
    places = range(len(climbs[0].steps) - (question.kind != "wrong"))
    scores = tuple(_fitted(fitting, climbs, place, question) for place in places)
    path = Path((1.0,) * len(scores), (0.0,) * len(scores))
    if fitting and len(scores) > 1:
        rows = Outcomes.of(fitting, scores, question.kind)
        path = common(rows.scores, rows.good)
    return Chosen(question, tuple(climbs), fitting, certifying, scores, path)


def _told(now: Conditions) -> list[Any]:
    told = [now.weights, now.prompt, now.contract, str(now.sampling), now.max_tokens, now.repairs, now.feedback]
    return [*told, now.form] if now.form else told


def _fitted(fitting: Sequence[Climb], climbs: Sequence[Climb], place: int, question: Question) -> Fitted:
    """The score of a tier, chosen on the fit rows. Without fit rows it is the default feature itself."""
    known = sorted({name for climb in climbs for name in climb.steps[place].features})
    wanted = question.feature
    if wanted is not None and wanted not in known:
        tier = climbs[0].steps[place].tier
        raise ConfigError(
            f"no answer of tier {tier!r} has the feature {wanted!r}", hint=f"known: {', '.join(known) or 'none'}"
        )
    default = wanted or next((name for name in DEFAULTS if name in known), None)
    if default is None:  # no log-probabilities: all of its answers are accepted, or none
        return Fitted({}, 0.0, (), None, 0, 0)
    if not fitting:
        return Fitted({default: 1.0}, 0.0, (), None, 0, 0)
    steps = [climb.steps[place] for climb in fitting]
    names = [default] if wanted is not None else known
    good = [is_good(step, question.kind) for step in steps]
    groups = groups_of([climb.row for climb in fitting])
    return fit({name: column_of(steps, name) for name in names}, good, default=default, groups=groups)
