"""The deferral table of the design, row by row, through `Ladder.run`; the rows of the gate are next door."""

from __future__ import annotations

import math

import pytest

from core.support import BAD, GOOD, WORSE, Sum, verdicts
from helpers.each import each
from rung import (
    Budget,
    Cancel,
    Cancelled,
    Delta,
    Ladder,
    Offline,
    PromptTooLong,
    RateLimited,
    Rung,
    StoreError,
    TierCrashed,
    TierTimeout,
    TierUnavailable,
    Unresolved,
    Unsupported,
    Usage,
    Verdict,
    Zone,
)
from rung.errors import ContractError
from rung.testing import QuotingTier, Reply, ScriptedTier


def sure(text, probability):
    return Reply(text, logprob=math.log(probability))


# --- right -----------------------------------------------------------------------------------------------------------


def test_valid_is_accepted():
    outcome = Ladder(ScriptedTier("small", GOOD), ScriptedTier("mid", GOOD)).run("1 + 2?", Sum)
    assert outcome.unwrap() == Sum(total=3)
    assert verdicts(outcome) == [("small", "accept", "valid")]


def test_valid_and_confident_enough_is_accepted_and_says_so():
    outcome = Ladder(Rung(ScriptedTier("small", sure(GOOD, 0.9)), min_confidence=0.8)).run("1 + 2?", Sum)
    assert verdicts(outcome) == [("small", "accept", "valid")]
    assert outcome.checked_by == ("schema", "confidence")
    assert outcome.attempts[0].confidence == pytest.approx(0.9)


def test_valid_below_the_threshold_escalates():
    small = Rung(ScriptedTier("small", sure(GOOD, 0.5)), min_confidence=0.8)
    outcome = Ladder(small, ScriptedTier("mid", GOOD)).run("1 + 2?", Sum)
    assert verdicts(outcome) == [("small", "escalate", "low_confidence"), ("mid", "accept", "valid")]
    assert outcome.tier == "mid"


def test_an_unknown_confidence_reaches_no_threshold():
    small = Rung(ScriptedTier("small", GOOD), min_confidence=0.01)
    assert verdicts(Ladder(small).run("1 + 2?", Sum)) == [("small", "stop", "low_confidence")]


def test_valid_below_the_threshold_with_no_tier_left_is_unresolved_with_the_valid_candidate_as_best():
    small = Rung(ScriptedTier("small", BAD, BAD), repairs=0)
    mid = Rung(ScriptedTier("mid", sure(GOOD, 0.5)), min_confidence=0.8)
    outcome = Ladder(small, mid).run("1 + 2?", Sum)
    assert verdicts(outcome)[-1] == ("mid", "stop", "low_confidence")
    assert outcome.reason == "low_confidence"
    assert outcome.best.text == GOOD
    with pytest.raises(Unresolved):
        outcome.unwrap()


def test_the_next_tier_may_draft_from_a_valid_answer_that_was_not_sure_enough():
    small, mid = ScriptedTier("small", sure(GOOD, 0.5)), ScriptedTier("mid", GOOD)
    Ladder(Rung(small, min_confidence=0.8), mid).run("1 + 2?", Sum)
    assert mid.calls[0].rejected == GOOD
    assert mid.calls[0].messages == small.calls[0].messages


# --- wrong -----------------------------------------------------------------------------------------------------------


def test_a_failed_schema_is_repaired_on_the_same_tier_with_the_issues():
    small = ScriptedTier("small", BAD, GOOD)
    outcome = Ladder(small, ScriptedTier("mid", GOOD)).run("1 + 2?", Sum)
    assert verdicts(outcome) == [("small", "repair", "schema"), ("small", "accept", "valid")]
    assert "total: Input should be a valid integer" in small.calls[1].messages[-1].text


def test_a_failed_validator_is_repaired_and_then_escalates():
    def positive(value):
        if value.total < 0:
            raise ValueError(f"{value.total} is below zero")

    small = ScriptedTier("small", '{"total": -1}', '{"total": -2}')
    outcome = Ladder(small, ScriptedTier("mid", GOOD)).run("1 + 2?", Sum, validators=[positive])
    assert verdicts(outcome) == [
        ("small", "repair", "check"),
        ("small", "escalate", "check"),
        ("mid", "accept", "valid"),
    ]


def test_no_tier_is_repaired_more_often_than_it_may():
    small = Rung(ScriptedTier("small", BAD, WORSE, BAD), repairs=2)
    outcome = Ladder(small).run("1 + 2?", Sum)
    assert [v for _, v, _ in verdicts(outcome)] == ["repair", "repair", "stop"]
    assert len(Ladder(Rung(ScriptedTier("small", BAD, GOOD), repairs=0)).run("1 + 2?", Sum).attempts) == 1


def test_repairs_are_counted_for_each_tier_by_itself():
    outcome = Ladder(ScriptedTier("small", BAD, WORSE), ScriptedTier("mid", BAD, GOOD)).run("1 + 2?", Sum)
    assert [v for _, v, _ in verdicts(outcome)] == ["repair", "escalate", "repair", "accept"]


def test_the_same_issues_escalate_whatever_repairs_are_left():
    small = Rung(ScriptedTier("small", BAD, BAD, GOOD), repairs=5)
    outcome = Ladder(small, ScriptedTier("mid", GOOD)).run("1 + 2?", Sum)
    assert verdicts(outcome)[:2] == [("small", "repair", "schema"), ("small", "escalate", "same_issues")]


def test_the_same_issues_on_another_tier_are_repaired_there():
    outcome = Ladder(Rung(ScriptedTier("small", BAD), repairs=0), ScriptedTier("mid", BAD, GOOD)).run("1 + 2?", Sum)
    assert verdicts(outcome)[1] == ("mid", "repair", "schema")


# --- cut off ---------------------------------------------------------------------------------------------------------


def test_cut_off_is_retried_once_with_four_times_the_cap():
    small = ScriptedTier("small", Reply('{"tot', finish="length"), GOOD)
    outcome = Ladder(small).run("1 + 2?", Sum, max_tokens=50)
    assert verdicts(outcome) == [("small", "retry", "cut_off"), ("small", "accept", "valid")]
    assert [c.max_tokens for c in small.calls] == [50, 200]


def test_cut_off_twice_escalates():
    small = ScriptedTier("small", Reply("Once", finish="length"), Reply("Once upon", finish="length"))
    outcome = Ladder(small, ScriptedTier("mid", "Once.")).run("A story", max_tokens=50)
    assert verdicts(outcome) == [
        ("small", "retry", "cut_off"),
        ("small", "escalate", "cut_off"),
        ("mid", "accept", "valid"),
    ]


def test_cut_off_is_retried_no_further_than_the_context_goes():
    small = QuotingTier("small", Reply("Once", finish="length"), "Once.", input_tokens=100, context=180)
    Ladder(small).run("A story", max_tokens=50)
    assert [c.max_tokens for c in small.calls] == [50, 80]


def test_cut_off_where_the_context_is_full_escalates_at_once():
    small = QuotingTier("small", Reply("Once", finish="length"), input_tokens=100, context=150)
    outcome = Ladder(small, ScriptedTier("mid", "Once.")).run("A story", max_tokens=50)
    assert verdicts(outcome)[0] == ("small", "escalate", "cut_off")


def test_cut_off_where_the_token_budget_is_used_up_escalates_at_once():
    used = Usage(input_tokens=100, output_tokens=50)
    small = QuotingTier("small", Reply("Once", finish="length", usage=used), input_tokens=100)
    outcome = Ladder(small, budget=Budget(tokens=200)).run("A story", max_tokens=50)
    assert verdicts(outcome) == [("small", "stop", "cut_off")]


def test_the_cap_of_a_retry_grows_from_the_tiers_own_where_the_call_named_none():
    small = QuotingTier("small", Reply("Once", finish="length"), "Once.", max_tokens=60)
    Ladder(small).run("A story")
    assert [c.max_tokens for c in small.calls] == [None, 240]


def test_a_cut_off_answer_is_never_valid_even_if_it_would_parse():
    outcome = Ladder(ScriptedTier("small", Reply(GOOD, finish="length"))).run("1 + 2?", Sum)
    assert not outcome.accepted
    assert outcome.attempts[0].issues[0].code == "cut_off"


# --- no real answer --------------------------------------------------------------------------------------------------


def test_a_refusal_escalates_without_a_repair():
    small = ScriptedTier("small", Reply("I can't help with that.", finish="refusal"))
    outcome = Ladder(small, ScriptedTier("mid", "Paris.")).run("Capital of France?")
    assert verdicts(outcome) == [("small", "escalate", "refusal"), ("mid", "accept", "valid")]


def test_a_refusal_is_never_the_answer_and_never_the_best_of_two():
    small = ScriptedTier("small", "", "")
    mid = ScriptedTier("mid", Reply("I can't help with that.", finish="refusal"))
    last = ScriptedTier("last", "Paris.", "Paris.")
    outcome = Ladder(small, mid, last).run("Capital of France?", validators=[lambda value: ["wrong", "wrong too"]])
    assert outcome.attempts[1].issues[0].code == "refusal"
    assert outcome.best.text == "Paris."


@pytest.mark.parametrize("output", [None, Sum, ["yes", "no"]])
def test_an_empty_answer_escalates_without_a_repair(output):
    outcome = Ladder(ScriptedTier("small", " \n"), ScriptedTier("mid", TierUnavailable("off"))).run("Well?", output)
    assert verdicts(outcome)[0] == ("small", "escalate", "empty")


# --- the tier broke --------------------------------------------------------------------------------------------------


@each(
    "error",
    [
        TierCrashed("the worker died"),
        TierTimeout("its own time limit"),
        TierUnavailable("out of memory"),
        RateLimited("come back tomorrow", retry_after=86400),
        PromptTooLong(9000, 2048),
        Unsupported("no images"),
        Offline("nothing goes out"),
        StoreError("the file is corrupt"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_tier_that_broke_falls_back_to_the_next(error):
    outcome = Ladder(ScriptedTier("small", error), ScriptedTier("mid", GOOD)).run("1 + 2?", Sum)
    assert verdicts(outcome) == [("small", "fallback", type(error).__name__), ("mid", "accept", "valid")]
    told = outcome.attempts[0].error
    # whose tokens they are is added to what the tier says of a prompt that is too long
    assert (told.__cause__ if isinstance(error, PromptTooLong) else told) is error
    assert str(error) in outcome.attempts[0].detail


def test_a_bug_in_somebodys_tier_is_a_crash_of_that_tier():
    outcome = Ladder(ScriptedTier("small", KeyError("oops")), ScriptedTier("mid", GOOD)).run("1 + 2?", Sum)
    assert verdicts(outcome)[0] == ("small", "fallback", "TierCrashed")
    assert isinstance(outcome.attempts[0].error.__cause__, KeyError)


def test_a_bug_in_a_quote_is_a_crash_that_cost_nothing():
    class Broken(QuotingTier):
        def quote(self, call):
            raise ZeroDivisionError

    outcome = Ladder(Broken("small", GOOD), ScriptedTier("mid", GOOD)).run("1 + 2?", Sum)
    assert verdicts(outcome)[0] == ("small", "fallback", "TierCrashed")
    assert not outcome.attempts[0].sent
    assert outcome.attempts[0].error.billed == "no"


def test_a_tier_that_trips_over_its_own_clean_up_changes_nothing():
    class Clumsy:
        name, zone = "clumsy", Zone.HOST

        def stream(self, call):
            try:
                yield Delta("half")
                yield Delta("x")
            finally:
                raise RuntimeError("clean-up")

        def close(self):
            pass

    cancel = Cancel()
    outcome = Ladder(Clumsy()).run("Well?", cancel=cancel)
    assert verdicts(outcome) == [("clumsy", "stop", "TierCrashed")]


def test_the_contract_that_cannot_be_enforced_is_validated_after_and_the_attempt_says_so():
    reply = Reply(GOOD, constraint="none", notes=("the schema has a look-around",))
    attempt = Ladder(ScriptedTier("small", reply)).run("1 + 2?", Sum).attempts[0]
    assert attempt.candidate.constraint == "none"
    assert attempt.notes == ("the schema has a look-around",)
    assert attempt.verdict is Verdict.ACCEPT


# --- the end ---------------------------------------------------------------------------------------------------------


def test_no_tier_left_is_unresolved_with_the_best_candidate_and_every_reason():
    small, mid = ScriptedTier("small", WORSE, "nothing"), ScriptedTier("mid", TierCrashed("died"))
    outcome = Ladder(small, mid).run("1 + 2?", Sum)
    assert verdicts(outcome)[-1] == ("mid", "stop", "TierCrashed")
    assert outcome.value is None
    assert outcome.best.text == "nothing"
    with pytest.raises(Unresolved, match=r"small: schema, small: schema, mid: TierCrashed") as raised:
        outcome.unwrap()
    assert raised.value.outcome is outcome


def test_a_cancelled_request_stops_at_once_and_never_escalates():
    cancel, mid = Cancel(), ScriptedTier("mid", GOOD)
    small = ScriptedTier("small", lambda call: (cancel.set(), Reply(GOOD))[1])
    outcome = Ladder(small, mid).run("1 + 2?", Sum, cancel=cancel)
    assert verdicts(outcome) == [("small", "stop", "cancelled")]
    assert (mid.calls, outcome.reason) == ([], "cancelled")
    with pytest.raises(Cancelled):
        outcome.unwrap()


def test_a_request_that_was_cancelled_before_it_began_asks_nobody():
    cancel, small = Cancel(), ScriptedTier("small", GOOD)
    cancel.set()
    outcome = Ladder(small).run("1 + 2?", Sum, cancel=cancel)
    assert (outcome.attempts, outcome.reason, small.calls) == ((), "cancelled", [])


@pytest.mark.slow
def test_a_passed_deadline_stops_at_once_and_never_escalates():
    mid = ScriptedTier("mid", GOOD)
    outcome = Ladder(ScriptedTier("small", Reply(GOOD, seconds=30)), mid).run("1 + 2?", Sum, timeout=0.5)
    assert verdicts(outcome) == [("small", "stop", "TierTimeout")]
    assert (mid.calls, outcome.reason) == ([], "deadline")
    assert outcome.seconds < 10
    none = Ladder(mid).run("1 + 2?", Sum, timeout=0)
    assert (none.attempts, none.reason) == ((), "deadline")


def test_a_rule_cannot_accept_what_validation_rejected():
    from rung.deferral import Decision

    with pytest.raises(ContractError, match="didn't pass validation"):
        Ladder(ScriptedTier("small", BAD), rule=lambda s: Decision(Verdict.ACCEPT, "why not")).run("1 + 2?", Sum)
