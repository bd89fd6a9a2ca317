"""What `rung label` does: show answers that differ, one pair at a time, and keep the judgements."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rung.cli.calibration import climbed_rows, usable_rows
from rung.cli.evaluation import PreparedEvaluation
from rung.cli.keys import Keys, keys
from rung.cli.output import Output
from rung.config import load
from rung.console import ask
from rung.errors import ConfigError
from rung.learn.choosing import choose
from rung.learn.disagreements import Disagreement, Disagreements
from rung.learn.judgements import NAME, Judgements
from rung.learn.labelling import Judgement
from rung.learn.questions import Question, demand_rows
from rung.limits import Cancel

_KEYS = {
    "a": Judgement.A,
    "b": Judgement.B,
    "t": Judgement.BOTH,
    "n": Judgement.NEITHER,
    "c": Judgement.UNSURE,
}
_LEGEND = "[a] only A is right  [b] only B  [t] the two of them  [n] neither  [c] can't tell  [u] undo  [q] stop: "
_ENOUGH = "Enough is known. [u] takes the last judgement back, any other key ends: "


@dataclass(frozen=True, slots=True)
class LabelReport:
    """The result of a session.

    Args:
        judged: number of disagreements judged in all.
        now: number of those judged in this session.
        left: the most that are left.
        enough: whether no more need be judged.
        path: the file of judgements.
    """

    judged: int
    now: int
    left: int
    enough: bool
    path: Path

    @property
    def sentence(self) -> str:
        """The sentence for stdout."""
        if self.enough and not self.judged:
            return "Nothing has to be judged: so few answers differ that no judgement could change the promise."
        if self.enough:
            return f"Enough is known ({self.judged:,} judged): `rung calibrate` uses the judgements now."
        return f"{self.judged:,} judged, at most {self.left:,} left: the same command continues from there."

    def as_object(self) -> dict[str, Any]:
        """The object of `--json`."""
        return {
            "judged": self.judged,
            "now": self.now,
            "left": self.left,
            "enough": self.enough,
            "labels": str(self.path),
            "sentences": [self.sentence],
        }


def labelled(
    ready: PreparedEvaluation,
    name: str,
    asked: Question,
    labels: Path | None,
    config: Path | None,
    output: Output,
    cancel: Cancel,
) -> LabelReport:
    """Show what has to be judged, and keep the judgements.

    Args:
        ready: the data, the ladder and its recorders.
        name: of the task.
        asked: what to promise in the end.
        labels: the file of judgements, if not the task's own.
        config: the only configuration to read.
        output: where the questions are shown.
        cancel: ends it. Earlier judgements are kept.

    Raises:
        ConfigError: nothing can be promised of these rows, or the file of judgements can't be used.
        Cancelled: the flag was set.
    """
    task = load(config).tasks.demand(name)
    if ready.rows.labelled == ready.rows.rows:
        raise ConfigError("every row has an expected answer, so none has to be judged", hint="run `rung calibrate`")
    rows = usable_rows(ready, name, asked)
    demand_rows(rows, asked)
    climbed = climbed_rows(ready, len(rows), output)
    path = labels or task.path / NAME
    with Judgements(path, writes=True) as judgements:
        for note in judgements.notes:
            output.say(f"note: {note}")
        disagreements = Disagreements(choose(climbed.climbs, asked), judgements)
        before = disagreements.judged
        with keys(cancel) as pressed:
            _converse(disagreements, pressed, output)
        judged, left = disagreements.judged, disagreements.left
        return LabelReport(judged, judged - before, left, disagreements.next() is None, path)


def _converse(disagreements: Disagreements, pressed: Keys, output: Output) -> None:
    """Ask until enough is known, or the person stops. The effect of a judgement isn't shown, because it would guide the
    next one.
    """
    answers = 0
    while True:
        found = disagreements.next()
        if found is None and not disagreements.judged:
            return
        if found is not None:
            output.say(_shown(found, disagreements))
        key = pressed.next(partial(ask, _ENOUGH if found is None else _LEGEND))
        output.say((key or "") if pressed.terminal else "")
        answers += 1
        if key == "u":
            if not disagreements.undo():
                output.say("There is nothing to take back.")
        elif found is None or key in (None, "q"):
            return
        elif key in _KEYS:
            disagreements.judge(found, _KEYS[key])
        elif pressed.terminal:
            output.say("Press one of these: a, b, t, n, c, u, q.")
        else:
            # whoever pipes judgements in has lost count, and the rest would answer other questions
            raise ConfigError(
                f"answer {answers:,} is not one of a, b, t, n, c, u, q",
                hint="those before it are kept; continue after them",
            )


def _shown(found: Disagreement, disagreements: Disagreements) -> str:
    """The question. It doesn't say which tier gave which answer."""
    messages = found.climb.row.messages
    asked = messages[0].text if len(messages) == 1 else "\n".join(f"{m.role}: {m.text}" for m in messages)
    head = f"{disagreements.judged:,} judged, at most {disagreements.left:,} left"
    return f"\n--- {head}\n\n{asked}\n\nA: {_text(found.a)}\nB: {_text(found.b)}\n"


def _text(answer: Any) -> str:
    if answer is None:
        return "(no valid answer)"
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False, indent=2)
