"""What a chosen form is worth on rows that took no part in choosing it. It describes the choice and never changes it.

The rows that chose a form flatter it: among many forms the luckiest looks best. On other rows that luck is gone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rung.learn.axes import DEFAULT, described
from rung.learn.evaluating import EvalProgress, Work
from rung.learn.form_asking import FormAsking, OutOfTime, answers_of, limited
from rung.learn.results import TierResult
from rung.learn.rows import Row
from rung.learn.tuned import SPENT, TriedForm, TunedTier, TuneProgress
from rung.learn.yardstick import Yardstick
from rung.tier import Rung
from rung.types import FormInForce, PromptForm

MOST = 100
"""Most rows that are asked. With as many, a share is known to within ten points."""
FEWEST = 16
"""Fewest rows. With fewer, nothing is asked: they would tell nothing."""
TURN = 16
"""Rows that one form is asked before the other has its turn. Only whole turns count, so that both forms have the same
rows when the time is over, and a replay has them, too."""


@dataclass(frozen=True, slots=True)
class WorthQuestion:
    """What to ask.

    Args:
        work: with the recorders.
        rung: the tier.
        following: the next one, if answers are held against its own; `None` holds them against expected answers.
        found: what was chosen.
        form: the chosen form with its examples.
        rows: that took no part, in the order in which they are asked.
        budget: seconds of the tier, the search included.
        left: seconds of it that the clock still allows.
        forms: of tiers that have just been tuned.
    """

    work: Work
    rung: Rung
    following: Rung | None
    found: TunedTier
    form: FormInForce
    rows: Sequence[Row] = field(repr=False)
    budget: float
    left: float
    forms: Mapping[str, FormInForce | None]


def worth(asked: WorthQuestion) -> Iterator[TuneProgress | TriedForm]:
    """Ask rung's own form and the chosen one about fresh rows. Yields progress, and at the end the result.

    There is none if the budget has no time left for as many rows as would tell anything.

    Args:
        asked: what to ask.

    Raises:
        RungError: whatever asking the tiers raises.
    """
    work, tier, chosen = asked.work, asked.rung.tier.name, asked.found.chosen
    rows = list(asked.rows[: affordable(asked)])
    if len(rows) < FEWEST:
        return
    references: dict[int, Any] | None = None
    answers: dict[PromptForm, dict[int, TierResult]] = {DEFAULT: {}, chosen: {}}
    try:
        with limited(work, asked.left) as in_time:
            asked = replace(asked, work=in_time)
            if asked.following is not None:
                references = {}
                yield from _refer(asked, asked.following, rows, references)
                rows = [row for row in rows if row.number in references]
            for place in range(0, len(rows) if len(rows) >= FEWEST else 0, TURN):
                turn = {}
                for form in answers:
                    turn[form] = yield from _ask(asked, form, rows, place)
                for form, results in turn.items():
                    answers[form].update(results)
    except OutOfTime:
        pass  # the turns so far count
    finally:
        if work.asks:
            work.recorders[tier].put_away()
    yardstick = Yardstick(references, work.same, asked.found.following)
    groups = {row.number: row.group or row.key for row in rows}
    result = yardstick.compared(chosen, answers[chosen], answers[DEFAULT], groups)
    if result is not None and result.rows >= FEWEST:
        yield result


def affordable(asked: WorthQuestion) -> int:
    """How many rows the budget allows, by recorded seconds, so that a second start, or a replay, asks the same ones.

    Args:
        asked: what to ask.
    """
    found = asked.found
    spent = sum(tried.seconds * tried.rows for tried in found.tried)
    pace = sum(tried.seconds for tried in found.tried if tried.form in {DEFAULT, found.chosen})
    if asked.following is not None:
        pace += found.following.seconds if found.following else 0.0
    return min(MOST, int(max(0.0, asked.budget * SPENT - spent) / max(pace, 1e-6)))


def _refer(
    asked: WorthQuestion, following: Rung, rows: Sequence[Row], references: dict[int, Any]
) -> Iterator[TuneProgress]:
    """Ask the next tier, and note its valid answers by number of the row."""
    name = following.tier.name
    for event in answers_of(asked.work, following, rows, asked.forms, asked.left):
        if isinstance(event, EvalProgress):
            yield TuneProgress(name, "what to agree with on fresh rows", 0, 0, event.done, len(rows))
        else:
            references.update({number: result.value for number, result in event.items() if result.valid})


def _ask(
    asked: WorthQuestion, form: PromptForm, rows: Sequence[Row], place: int
) -> Generator[TuneProgress, None, dict[int, TierResult]]:
    """Ask one form about the rows of a turn, and return what came."""
    turn, tier = rows[place : place + TURN], asked.rung.tier.name
    asking = FormAsking(replace(asked.work, rows=lambda: turn), {tier: None if form == DEFAULT else asked.form})
    for event in asking.all_of(asked.rung):
        yield TuneProgress(tier, f"{described(form)} on fresh rows", 0, 0, place + event.done, len(rows))
    return asking.results(tier)
