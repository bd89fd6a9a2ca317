"""The disagreements of a calibration, one at a time, for a person to judge without knowing which tier answered what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rung.learn.choosing import Chosen
from rung.learn.climbing import Climb
from rung.learn.judgements import AnswerPair, Judgements, Said
from rung.learn.labelling import REST, Judgement, Labelling, Pair
from rung.learn.questions import groups_of


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two answers to one prompt. `None` stands for no valid answer.

    Args:
        pair: identifies the disagreement.
        climb: the row.
        a: the answer that is shown first.
        b: the other one.
    """

    pair: Pair
    climb: Climb = field(repr=False)
    a: Any = field(repr=False)
    b: Any = field(repr=False)


class Disagreements:
    """What is left to judge, surest answers first, and what has been judged.

        while found := disagreements.next():
            disagreements.judge(found, Judgement.A)

    Args:
        chosen: scores, path and certify rows. Its question has limit and delta.
        judgements: earlier ones. New ones are added to them.
    """

    def __init__(self, chosen: Chosen, judgements: Judgements) -> None:
        self._climbs, self._judgements = chosen.certifying, judgements
        rows, asked = chosen.outcomes(chosen.certifying), chosen.question
        # if the last tier has no valid answer, no other answer can be worse
        answered = [climb.alone.valid for climb in self._climbs]
        self._labelling = Labelling(
            chosen.path.positions(rows.scores),
            [[bool(d) and valid for d in each] for each, valid in zip(rows.losses, answered, strict=True)],
            [climb.row.key for climb in self._climbs],
            limit=asked.limit,
            delta=asked.delta,
            groups=groups_of([climb.row for climb in self._climbs]),
            base=rows.base & answered,
            average=asked.average,
        )
        self._differences = {self._difference(pair) for pair in self._labelling.pairs}
        self._restore()

    @property
    def judged(self) -> int:
        """Number of disagreements that have been judged."""
        return self._labelling.judged

    @property
    def left(self) -> int:
        """The most that are left. Usually far fewer are enough."""
        return self._labelling.left

    @property
    def decided(self) -> bool:
        """Whether enough is known because of judgements, and not because none was needed."""
        return self.judged > 0 and self._labelling.next() is None

    def next(self) -> Disagreement | None:
        """The next disagreement; `None` if enough is known."""
        pair = self._labelling.next()
        if pair is None:
            return None
        climb = self._climbs[pair.row]
        answers = [climb.steps[pair.tier].value, climb.alone.value]
        a, b = answers if pair.ladder_is_a else reversed(answers)
        return Disagreement(pair, climb, a, b)

    def judge(self, found: Disagreement, judgement: Judgement) -> None:
        """Record a judgement.

        Args:
            found: from `next`.
            judgement: of its two answers.

        Raises:
            ConfigError: the file of judgements can't be written.
        """
        self._judgements.add(self._difference(found.pair), _said(found.pair, judgement))
        self._restore()

    def undo(self) -> bool:
        """Take back the last judgement. Returns whether there was one about these rows."""
        if self._judgements.last not in self._differences:
            return False
        self._judgements.undo()
        self._restore()
        return True

    def _difference(self, pair: Pair) -> AnswerPair:
        return AnswerPair.of(self._climbs[pair.row], _place(pair, self._climbs[pair.row]))

    def _restore(self) -> None:
        """Look up the judgements of all pairs. Rows with the same prompt and answers are judged together."""
        self._labelling.restore(
            {
                (pair.row, pair.tier): loses
                for pair in self._labelling.pairs
                for climb in [self._climbs[pair.row]]
                if (loses := self._judgements.loses(climb, _place(pair, climb))) is not None
            }
        )


def _place(pair: Pair, climb: Climb) -> int:
    return len(climb.steps) - 1 if pair.tier == REST else pair.tier


def _said(pair: Pair, judgement: Judgement) -> Said:
    """The judgement in terms of who gave the answer, not of what was shown first."""
    sides: tuple[Said, Said] = ("ladder", "last") if pair.ladder_is_a else ("last", "ladder")
    names: dict[Judgement, Said] = {
        Judgement.A: sides[0],
        Judgement.B: sides[1],
        Judgement.BOTH: "both",
        Judgement.NEITHER: "neither",
        Judgement.UNSURE: "unsure",
    }
    return names[judgement]
