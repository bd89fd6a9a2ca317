"""What a chosen form is worth is told by rows that took no part, in what time is left, and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from learn.parity import few_forms, number_of, question, rows, shown, tier, tuned  # noqa: F401
from rung.errors import Cancelled, TierUnavailable
from rung.learn import worth
from rung.learn.axes import DEFAULT
from rung.learn.cassette import Cassette
from rung.learn.intervals import Estimate
from rung.learn.splits import split
from rung.learn.tuned import NextTier, TriedForm, TunedTier
from rung.learn.tuning_report import sentences
from rung.learn.tuning_tiers import TierForm, tune
from rung.types import PromptForm

SIMILAR = PromptForm(examples="similar")


def learner(calls=None, right=lambda call: True):
    """A tier that is right with examples, where `right` says so, and every third time without."""
    return tier("small", lambda call: number_of(call) % 3 == 0 or (shown(call) > 0 and right(call)), calls)


def fits(data):
    return {row.number for row in split(data).fit}


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [True, False])
def test_rows_that_took_no_part_say_what_the_choice_is_worth_and_dont_change_it(labelled, monkeypatch):
    """Examples help on fit rows alone, so the choice is a mistake that only the others can show."""
    monkeypatch.setattr(worth, "MOST", 40)
    data, calls = rows(labelled=labelled), []
    known = fits(data)
    small = learner(calls, lambda call: number_of(call) in known)
    found = tuned(question([small, tier("mid", lambda call: True)], data, only=["small"]))["small"].tuned
    assert found.chosen == SIMILAR
    assert found.best.gain.low > 0.3
    assert (found.fresh.rows, found.fresh.gain.value) == (40, 0)
    fresh = [shown(call) for call in calls if number_of(call) not in known]
    assert sorted(fresh) == [0] * 40 + [4] * 40
    assert "On 40 rows that took no part in the choice it has" in sentences(found)[1]


@pytest.mark.slow
def test_rows_without_an_expected_answer_are_not_asked_where_answers_are_held_against_those():
    data, calls = rows(), []
    known = fits(data)
    data = [row if row.number in known or row.number % 2 else replace(row, labelled=False) for row in data]
    found = tuned(question([learner(calls)], data))["small"].tuned
    asked = {number_of(call) for call in calls} - known
    assert asked
    assert all(number % 2 for number in asked)
    assert found.fresh.rows == len(asked)


@pytest.mark.parametrize(
    ("budget", "next_seconds", "count"),
    [
        (20.1, None, 24),  # of the 18 s that are planned 9.6 were spent, and a row takes 0.35 s in both forms
        (20.1, 0.35, 12),  # and as long again on the next tier
        (1000.0, None, worth.MOST),
        (5.0, None, 0),
    ],
)
def test_the_rest_of_the_budget_says_how_many_rows_are_asked(budget, next_seconds, count):
    nothing = Estimate(0.0, None, None, 0.9, 24, 24)
    tried = [
        TriedForm(form, 24, nothing, nothing, seconds, None, nothing, {})
        for form, seconds in ((SIMILAR, 0.15), (DEFAULT, 0.2), (PromptForm(wrap=True), 0.05))
    ]
    following = None if next_seconds is None else NextTier(next_seconds)
    found = TunedTier("small", None, True, tuple(tried), SIMILAR, 24, following, (), (), True)
    asked = worth.WorthQuestion(None, None, following, found, None, (), budget, budget, {})
    assert worth.affordable(asked) == count


@pytest.mark.slow
def test_without_time_for_enough_rows_none_is_asked_and_less_may_be_expected(monkeypatch):
    monkeypatch.setattr(worth, "affordable", lambda asked: worth.FEWEST - 1)
    data, calls = rows(), []
    found = tuned(question([learner(calls)], data))["small"].tuned
    assert {number_of(call) for call in calls} <= fits(data)
    assert found.fresh is None
    assert "expect somewhat less" in sentences(found)[1]


@pytest.mark.slow
def test_where_the_recording_ends_in_the_middle_whole_turns_count(tmp_path):
    """The replay says the same each time, whichever thread is first."""
    data, path = rows(), tmp_path / "calls"
    asked = question([learner()], data, cassette=Cassette(path))
    whole = tuned(asked)["small"].tuned
    asked.work.recorders["small"].cassette.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-45]))
    for _ in range(3):
        with Cassette(path, writes=False) as cassette:
            found = tuned(question([learner()], data, cassette=cassette, asks=False))["small"].tuned
        assert found.finished
        assert found.fresh.rows % worth.TURN == 0
        assert worth.FEWEST <= found.fresh.rows < whole.fresh.rows


@pytest.mark.slow
def test_a_tier_that_fails_meanwhile_leaves_the_choice_and_the_other_tiers_and_that_is_noted():
    data = rows()
    known = fits(data)
    gone = TierUnavailable("the worker died")
    small = tier("small", lambda call: gone if number_of(call) not in known else shown(call) > 0)
    mid = tier("mid", lambda call: shown(call) > 0)
    found = tuned(question([small, mid], data))
    assert found["small"].tuned.chosen.examples != "none"
    assert found["small"].tuned.fresh is None
    assert any("the worker died" in note for note in found["small"].notes)
    assert found["mid"].tuned.fresh.rows == len(data) - len(known)


@pytest.mark.slow
def test_whoever_stops_it_meanwhile_stops_it():
    data = rows()
    known = fits(data)
    asked = None

    def right(call):
        if number_of(call) not in known:
            asked.work.cancel.set()
        return shown(call) > 0

    asked = question([tier("small", right)], data)
    seen = []
    with pytest.raises(Cancelled):
        seen.extend(event for event in tune(asked) if isinstance(event, TierForm))
    assert seen[-1].tuned.finished
    assert seen[-1].tuned.chosen.examples == "similar"
