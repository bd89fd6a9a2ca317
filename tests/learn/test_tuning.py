"""Tuning finds the form in which a tier does best, on fit rows alone, and says so when there is none."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from learn.parity import OPTIONS, few_forms, number_of, question, rows, shown, tier, tuned  # noqa: F401
from rung import Message, Rung
from rung.contract import compile_output
from rung.contract.forms import WORDINGS
from rung.errors import ConfigError, PromptTooLong, Unsupported
from rung.learn import axes, worth
from rung.learn.axes import DEFAULT, described, forms_for
from rung.learn.cassette import Cassette
from rung.learn.halving import asked_in, halvings
from rung.learn.splits import split
from rung.learn.tuned import Bought, TunedTier
from rung.learn.tuning_report import bought, sentences
from rung.learn.tuning_tiers import TierForm, tune
from rung.testing import Reply, ScriptedTier
from rung.types import PromptForm


def test_the_form_in_which_a_tier_is_right_is_found():
    small = tier("small", lambda call: shown(call) > 0 or number_of(call) % 3 == 0)
    found = tuned(question([small], rows()))["small"]
    assert found.tuned.chosen.examples == "similar"
    assert found.tuned.finished
    assert found.tuned.best.right.value == 1
    assert found.tuned.best.gain.low > 0.3
    assert "instead of" in sentences(found.tuned)[0]


@pytest.mark.slow
def test_where_nothing_beats_rungs_own_form_that_is_said_and_kept():
    found = tuned(question([tier("small", lambda call: number_of(call) % 3 > 0)], rows()))["small"]
    assert found.tuned.chosen == DEFAULT
    assert "nothing beats rung's own form" in sentences(found.tuned)[0]
    assert not found.entries


@pytest.mark.slow
def test_only_fit_rows_choose_and_only_they_give_examples():
    calls, data = [], rows()
    fits = {row.number for row in split(data).fit}
    before_the_choice = None
    for event in tune(question([tier("small", lambda call: shown(call) > 0, calls)], data)):
        if isinstance(event, TierForm):
            last = event
            if last.tuned.finished and before_the_choice is None:
                before_the_choice = list(calls)
    assert {number_of(call) for call in before_the_choice} <= fits
    assert {int(entry.asked.split()[1]) for entry in last.entries} <= fits
    texts = {int(m.text.split()[1]) for call in calls for m in call.messages[:-1] if m.role == "user"}
    assert texts <= fits


@pytest.mark.slow
def test_no_row_is_shown_an_example_of_its_own_group():
    data = [replace(row, group=f"g{row.number // 4}") for row in rows(160)]
    calls = []
    tuned(question([tier("small", lambda call: shown(call) > 0, calls)], data))
    for call in calls:
        asked = number_of(call) // 4
        assert all(int(m.text.split()[1]) // 4 != asked for m in call.messages[:-1] if m.role == "user")


@pytest.mark.slow
def test_without_labels_a_tier_is_held_against_the_next_one():
    small = tier("small", lambda call: shown(call) > 0)
    mid = tier("mid", lambda call: number_of(call) % 5 > 0)
    found = tuned(question([small, mid], rows(labelled=False)))
    assert set(found) == {"small"}
    assert found["small"].tuned.by_labels is False
    # the examples are what mid answers, and small then says what is right, with which mid agrees in four of five
    assert found["small"].tuned.chosen.examples == "similar"
    assert 0.6 < found["small"].tuned.best.right.value < 1


@pytest.mark.slow
def test_a_form_that_takes_longer_than_it_saves_is_not_chosen():
    def slow(call):
        return Reply(OPTIONS[number_of(call) % 2], seconds=0.05) if shown(call) else _plain(call)

    def _plain(call):
        return Reply(OPTIONS[(number_of(call) + (number_of(call) % 4 == 0)) % 2])

    small = ScriptedTier("small", *[slow] * 20000)
    mid = ScriptedTier("mid", *[lambda call: Reply(OPTIONS[number_of(call) % 2], seconds=0.02)] * 20000)
    found = tuned(question([Rung(small, repairs=0), Rung(mid)], rows(150), only=["small"], together=1))["small"].tuned
    gained = next(t for t in found.tried if t.form == PromptForm(examples="similar"))
    assert gained.gain.value > 0.1
    assert found.chosen.examples == "none"


@pytest.mark.slow
@pytest.mark.parametrize(("next_right", "pays"), [(0.9, False), (0.1, True)])
def test_a_right_answer_is_worth_as_many_calls_as_the_next_tier_needs_for_one(next_right, pays, monkeypatch):
    """With examples the small tier is right and takes four times as long as the next one, which pays only where that
    is hardly ever right."""

    def small(call):
        return Reply(OPTIONS[(number_of(call) + (shown(call) == 0)) % 2], seconds=0.12 if shown(call) else 0.0)

    def mid(call):
        return Reply(OPTIONS[(number_of(call) + (number_of(call) % 10 >= 10 * next_right)) % 2], seconds=0.03)

    monkeypatch.setattr(worth, "affordable", lambda asked: 0)
    ladder = [Rung(ScriptedTier(name, *[says] * 20000)) for name, says in (("small", small), ("mid", mid))]
    found = tuned(question(ladder, rows(150), only=["small"], together=1))["small"].tuned
    assert abs(found.following.right - next_right) < 0.3
    assert (found.chosen.examples != "none") == pays
    assert found.useless != pays


@pytest.mark.slow
def test_a_tier_that_is_useless_in_every_form_is_named():
    small = ScriptedTier("small", *[lambda call: Reply(OPTIONS[(number_of(call) + 1) % 2], seconds=0.02)] * 20000)
    mid = ScriptedTier("mid", *[lambda call: Reply(OPTIONS[number_of(call) % 2], seconds=0.02)] * 20000)
    found = tuned(question([Rung(small), Rung(mid)], rows(150), only=["small"], together=1))["small"].tuned
    assert found.useless
    assert any("doesn't pay in any form" in sentence for sentence in sentences(found))


@pytest.mark.slow
def test_a_form_that_the_tier_cant_take_loses_and_the_others_go_on():
    def right(call):
        if shown(call):
            return PromptTooLong(9000, 4096)
        if call.messages[0].role == "user":
            return Unsupported("the chat template refuses the conversation")
        return number_of(call) % 2 == 0

    found = tuned(question([tier("small", right)], rows()))["small"].tuned
    assert found.finished
    similar = next(t for t in found.tried if t.form == PromptForm(examples="similar"))
    assert similar.right.value == 0
    assert sum(similar.failed.values()) == similar.rows
    assert found.chosen.examples == "none"


@pytest.mark.slow
def test_rows_that_ask_the_same_and_are_answered_otherwise_are_no_examples():
    data = rows()
    fits = split(data).fit
    one, other = fits[0], fits[1]
    twin = replace(one, number=other.number, key=other.key, group=one.group, expected=OPTIONS[(one.number + 1) % 2])
    data = [twin if row.number == other.number else row for row in data]
    found = tuned(question([tier("small", lambda call: shown(call) > 0)], data))["small"]
    assert one.messages[0].text not in {entry.asked for entry in found.entries}
    assert any("ask the same" in note for note in found.notes)


@pytest.mark.slow
def test_what_is_too_long_for_an_example_is_left_out_with_a_word():
    data = rows()
    long = split(data).fit[0]
    data = [
        replace(r, messages=(Message("user", f"number {r.number} {'x ' * 2000}"),)) if r is long else r for r in data
    ]
    found = tuned(question([tier("small", lambda call: shown(call) > 0)], data))["small"]
    assert any("longer than" in note for note in found.notes)
    assert all(len(entry.asked) < 1000 for entry in found.entries)


def test_too_few_rows_are_an_error_that_says_how_many_are_needed():
    with pytest.raises(ConfigError, match="150 rows, and there are 60"):
        tuned(question([tier("small", lambda call: True)], rows(60)))


def test_one_tier_without_labels_has_nothing_to_be_held_against():
    with pytest.raises(ConfigError, match="next one"):
        tuned(question([tier("small", lambda call: True)], rows(labelled=False)))


@pytest.mark.slow
def test_a_budget_is_kept_and_what_it_buys_is_said_first(tmp_path):
    slow = ScriptedTier("small", *[lambda call: Reply(OPTIONS[number_of(call) % 2], seconds=0.01)] * 20000)
    events = list(tune(question([slow], rows(), seconds=1.0)))
    plans = [event for event in events if isinstance(event, Bought)]
    assert "min buy" in bought(plans[0])
    assert 0 < asked_in(plans[0].plan) * plans[0].pace <= 1.0
    last = events[-1]
    assert isinstance(last, TierForm)
    assert max(t.rows for t in last.tuned.tried) <= max(each.rows for each in plans[0].plan)


def test_a_budget_that_buys_nothing_is_not_taken_for_a_verdict():
    slow = ScriptedTier("small", *[lambda call: Reply(OPTIONS[number_of(call) % 2], seconds=0.01)] * 20000)
    found = tuned(question([slow], rows(), seconds=0.05))["small"].tuned
    assert not found.finished
    assert found.chosen == DEFAULT
    assert any("The same command goes on" in sentence for sentence in sentences(found))


@pytest.mark.slow
def test_a_second_start_goes_on_and_a_replay_finds_the_same(tmp_path):
    calls = []
    asked = question([tier("small", lambda call: shown(call) > 0, calls)], rows(), cassette=Cassette(tmp_path / "c"))
    first = tuned(asked)["small"].tuned
    asked.work.recorders["small"].cassette.close()
    made = len(calls)
    with Cassette(tmp_path / "c") as cassette:
        second = tuned(question([tier("small", lambda call: shown(call) > 0, calls)], rows(), cassette=cassette))
    with Cassette(tmp_path / "c", writes=False) as cassette:
        replayed = tuned(question([tier("small", lambda call: True)], rows(), cassette=cassette, asks=False))
    assert len(calls) == made
    assert second["small"].tuned == first == replayed["small"].tuned


def test_below_a_hundred_fit_rows_at_most_twelve_forms_are_tried(monkeypatch):
    monkeypatch.undo()
    contract = compile_output(OPTIONS)
    own = [f"Say {n}: {{options}}" for n in range(9)]
    assert len(forms_for(contract, own, 99)) == axes.FEW == 12
    assert len(forms_for(contract, own, 100)) > 12
    assert forms_for(contract, own, 99)[0] == DEFAULT


@pytest.mark.parametrize("output", [OPTIONS, {"type": "object", "properties": {"a": {"type": "integer"}}}, None])
def test_no_form_is_tried_twice_and_each_has_a_name(output):
    forms = forms_for(compile_output(output), (), 500)
    assert len(set(forms)) == len(forms)
    assert len({described(form) for form in forms}) == len(forms)


@pytest.mark.parametrize("answers", [None, 10_000, 400, 150, 40])
def test_rounds_stay_within_what_may_be_asked(answers):
    plan = halvings(12, 64, answers)
    assert answers is None or asked_in(plan) <= answers
    assert all(a.forms >= b.forms and a.rows < b.rows for a, b in pairwise(plan))
    assert plan[-1].rows <= 64


def test_a_budget_too_small_for_two_forms_buys_nothing_and_says_so():
    assert halvings(12, 64, 5) == ()
    assert "give more --minutes" in bought(Bought("small", 3.0, 1.0, 64, ()))


def test_built_in_wordings_say_what_the_answer_must_be():
    for kind, wordings in WORDINGS.items():
        assert all("{" in wording for wording in wordings), kind


@pytest.mark.slow
def test_what_was_found_can_be_written_as_json():
    from rung.learn.tuning_report import as_object

    found = tuned(question([tier("small", lambda call: shown(call) > 0)], rows()))["small"].tuned
    assert isinstance(found, TunedTier)
    assert json.loads(json.dumps(as_object(found)))["chosen"]["examples"] == "similar"
