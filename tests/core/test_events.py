"""What a stream tells, and in what order."""

from __future__ import annotations

import threading

import pytest

from helpers.each import each
from helpers.ids import shown
from rung import (
    Accepted,
    AttemptEnded,
    AttemptStarted,
    Budget,
    Cancel,
    ConfigError,
    Delta,
    Finished,
    Ladder,
    Provisional,
    Rung,
    TierCrashed,
    Usage,
    Withdrawn,
    Zone,
)
from rung.testing import Reply, ScriptedTier

YES = [lambda value: value == "yes it is"]


def kinds(events):
    return [type(event).__name__ for event in events]


def climbing():
    small = Rung(ScriptedTier("small", "no it is not"), repairs=0)
    return Ladder(small, ScriptedTier("net", "x", zone=Zone.LAN), ScriptedTier("mid", "yes it is"))


def test_by_default_a_stream_shows_no_unvalidated_text():
    events = list(climbing().stream("Well?", validators=YES))
    assert kinds(events) == [
        "AttemptStarted",
        "AttemptEnded",
        "AttemptEnded",
        "AttemptStarted",
        "AttemptEnded",
        "Accepted",
        "Finished",
    ]
    assert isinstance(events[-2], Accepted)
    assert (events[-2].tier, events[-2].value, events[-2].text) == ("mid", "yes it is", "yes it is")


def test_provisional_text_is_opt_in_and_withdrawn_when_it_was_wrong():
    events = list(climbing().stream("Well?", validators=YES, provisional=True))
    shown = {1: "", 3: ""}
    for event in events:
        if isinstance(event, Provisional):
            shown[event.number] += event.text
    assert shown == {1: "no it is not", 3: "yes it is"}
    (withdrawn,) = [e for e in events if isinstance(e, Withdrawn)]
    assert (withdrawn.number, withdrawn.tier, withdrawn.reason) == (1, "small", "check")
    assert withdrawn.issues[0].code == "check:<lambda>"
    order = kinds(events)
    assert order.index("Withdrawn") < order.index("AttemptEnded")


def test_text_of_a_tier_that_broke_off_is_withdrawn():
    class Breaks(ScriptedTier):
        def stream(self, call):
            yield from list(super().stream(call))[:1]
            raise TierCrashed("died")

    events = list(Ladder(Breaks("small", "half an answer")).stream("Well?", provisional=True))
    assert kinds(events) == ["AttemptStarted", "Provisional", "Withdrawn", "AttemptEnded", "Finished"]


def test_finished_is_last_and_carries_request_and_outcome():
    for ladder in (climbing(), Ladder(ScriptedTier("small"))):
        *others, last = ladder.stream("Well?", validators=YES, task="question")
        assert isinstance(last, Finished)
        assert not any(isinstance(e, Finished) for e in others)
        assert last.request.task == "question"
        assert [e.attempt for e in others if isinstance(e, AttemptEnded)] == list(last.outcome.attempts)


def test_attempts_are_numbered_over_the_whole_request():
    events = list(climbing().stream("Well?", validators=YES))
    assert [e.attempt.number for e in events if isinstance(e, AttemptEnded)] == [1, 2, 3]
    assert [e.number for e in events if isinstance(e, AttemptStarted)] == [1, 3]


def test_observers_see_every_event_of_every_request_before_the_caller_does():
    seen = []
    ladder = Ladder(ScriptedTier("small", "yes", "yes"), observers=[seen.append])
    for event in ladder.stream("Well?"):
        assert seen[-1] is event
    ladder.run("Well?")
    assert kinds(seen) == ["AttemptStarted", "AttemptEnded", "Accepted", "Finished"] * 2


def test_an_observer_that_raises_is_noted_and_breaks_nothing():
    def ledger(event):
        raise OSError("disk full")

    seen = []
    outcome = Ladder(ScriptedTier("small", "yes"), observers=[ledger, seen.append]).run("Well?")
    assert outcome.value == "yes"
    assert outcome.notes == ("the observer ledger raised OSError",)
    assert len(seen) == 4


@pytest.mark.parametrize("taken", [1, 2, 3])
def test_closing_a_stream_cancels_the_call_and_not_the_callers_flag(taken):
    cancel, told, closed = Cancel(), threading.Event(), threading.Event()

    class Watching(ScriptedTier):
        def stream(self, call):
            call.cancel.on_set(told.set)
            try:
                yield from super().stream(call)
            finally:
                closed.set()

    stream = Ladder(Watching("small", "one two three")).stream("Well?", provisional=True, cancel=cancel)
    for _ in range(taken):
        next(stream)
    stream.close()
    assert (told.is_set(), closed.is_set()) == ((taken > 1), (taken > 1))
    assert not cancel.is_set()
    assert list(stream) == []


def test_a_cancel_flag_is_left_without_callbacks_when_its_requests_are_over():
    cancel = Cancel()
    ladder = Ladder(ScriptedTier("small", *["yes"] * 20))
    for _ in range(5):
        ladder.run("Well?", cancel=cancel, validators=[lambda v: True])
        next(ladder.stream("Well?", cancel=cancel))
    assert cancel._callbacks == {}


def test_what_an_attempt_took_is_in_it():
    reply = Reply("yes it is", seconds=0.05, notes=("warm",))
    attempt = Ladder(ScriptedTier("small", reply)).run("Well?").attempts[0]
    assert 0.05 <= attempt.ttft <= attempt.seconds < 10
    assert attempt.candidate.model == "small-model"
    assert attempt.notes == ("warm",)


@each(
    ("settings", "says"),
    [
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"temperature": float("nan")}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"reach": "moon"}, "'moon' is not a zone"),
    ],
    ids=shown,
)
def test_a_setting_out_of_range_is_an_error_before_any_tier_is_asked(settings, says):
    tier = ScriptedTier("small", "yes")
    with pytest.raises(ConfigError, match=says):
        Ladder(tier).stream("Well?", **settings)
    assert tier.calls == []


@pytest.mark.parametrize("prompt", ["", " \n", []])
def test_an_empty_prompt_is_an_error(prompt):
    with pytest.raises(ConfigError, match="the prompt is empty"):
        Ladder(ScriptedTier("small", "yes")).run(prompt)


@each(
    ("make", "says"),
    [
        (lambda: Ladder(), "a ladder needs a tier"),
        (lambda: Ladder("smollm2-135m"), "a str is not a tier: .*; give one, for example rung.llama"),
        (lambda: Ladder(ScriptedTier("a"), ScriptedTier("a")), "two tiers are called 'a'"),
        (lambda: Ladder(ScriptedTier("a"), reach="moon"), "is not a zone"),
        (lambda: Ladder(ScriptedTier("a"), paid_after="lunch"), "paid_after"),
        (lambda: Rung(ScriptedTier("a"), repairs=-1), "repairs"),
        (lambda: Rung(ScriptedTier("a"), min_confidence=1.5), "min_confidence"),
        (lambda: Rung(ScriptedTier("a"), max_cost=float("nan")), "max_cost"),
    ],
)
def test_a_ladder_that_cannot_be_is_an_error_where_it_is_made(make, says):
    with pytest.raises(ConfigError, match=says):
        make()


@pytest.mark.slow
def test_the_budgets_seconds_and_the_timeout_both_hold():
    for settings, budget in (
        ({"timeout": 0.1}, None),
        ({}, Budget(seconds=0.1)),
        ({"timeout": 60}, Budget(seconds=0.1)),
    ):
        tier = ScriptedTier("small", Reply("yes", seconds=60))
        assert Ladder(tier, budget=budget).run("Well?", **settings).reason == "deadline"


class Thinking(ScriptedTier):
    """A tier that thinks and answers."""

    def stream(self, call):
        yield Delta(reasoning="Hm.")
        yield Delta("yes it is", finish="stop", usage=Usage(9, 3, 4))


def test_a_thought_is_shown_apart_from_the_text():
    events = [e for e in Ladder(Thinking("small")).stream("Well?", provisional=True) if isinstance(e, Provisional)]
    assert [(e.text, e.reasoning) for e in events] == [("", "Hm."), ("yes it is", "")]


def test_kept_tokens_are_those_of_the_attempt():
    attempt = Ladder(Thinking("small")).run("Well?").attempts[0]
    assert attempt.usage == Usage(9, 3, 4)
    assert Usage(9, 3, 10).credible(answered=True).cached_tokens is None
