"""How sure a tier has to be: whose threshold goes first, what it does, and how far a default one reaches."""

from __future__ import annotations

import math

import pytest

from core.support import BAD, DOLLARS, GOOD, Sum, verdicts
from helpers.each import each
from rung import Cancel, ConfigError, Ladder, Rung, TierCrashed, TierUnavailable, Zone
from rung.deferral import Decision, first_of, standard
from rung.testing import QuotingTier, Reply, ScriptedTier
from rung.types import Reason, Threshold, Verdict

OTHER = '{"total": 4}'
ORIGIN = "default threshold (public data, not yours)"


def sure(text, probability):
    return Reply(text, logprob=math.log(probability))


def least(probability, **settings):
    return Threshold(math.log(probability), {"minimum": 1.0}, **settings)


class Measured(ScriptedTier):
    """A scripted tier with a default threshold of 0.5 on its least sure token."""

    def default_threshold(self, shape):
        return least(0.5, origin=ORIGIN)


# --- whose threshold -------------------------------------------------------------------------------------------------


def test_a_default_threshold_sends_an_unsure_answer_to_the_next_local_tier_and_says_where_it_comes_from():
    outcome = Ladder(Measured("small", sure(GOOD, 0.1)), ScriptedTier("mid", OTHER)).run("1 + 2?", Sum)
    assert verdicts(outcome) == [("small", "escalate", "low_confidence"), ("mid", "accept", "valid")]
    small, mid = outcome.attempts
    assert (small.threshold.origin, small.score) == (ORIGIN, pytest.approx(math.log(0.1)))
    assert small.score < small.threshold.above
    assert (mid.threshold, mid.score) == (None, None)
    assert "no threshold applies here: no later tier of this machine follows" in mid.notes
    assert outcome.checked_by == ("schema",)


def test_an_answer_above_the_default_threshold_is_accepted_and_the_confidence_vouches_for_it():
    outcome = Ladder(Measured("small", sure(GOOD, 0.9)), ScriptedTier("mid", OTHER)).run("1 + 2?", Sum)
    assert verdicts(outcome) == [("small", "accept", "valid")]
    assert outcome.checked_by == ("schema", "confidence")
    assert outcome.attempts[0].notes == ()


@pytest.mark.parametrize(("least_confidence", "tier"), [(None, "mid"), (0.0, "small"), (0.05, "small"), (0.4, "mid")])
def test_what_a_person_set_goes_before_the_default_and_zero_turns_it_off(least_confidence, tier):
    small = Rung(Measured("small", sure(GOOD, 0.1)), min_confidence=least_confidence)
    outcome = Ladder(small, ScriptedTier("mid", OTHER)).run("1 + 2?", Sum)
    assert outcome.tier == tier
    assert ("confidence" in outcome.checked_by) is (least_confidence == 0.05)


@each(("learnt", "tier"), [(0.01, "small"), (0.2, "mid")])
@each("configured", [None, 0.0, 0.05, 0.9])
def test_what_was_learnt_for_the_task_goes_before_all_else(learnt, tier, configured):
    small = Rung(Measured("small", sure(GOOD, 0.1)), min_confidence=configured)
    ladder = Ladder(small, ScriptedTier("mid", OTHER))
    outcome = ladder.run("1 + 2?", Sum, thresholds={"small": least(learnt, origin="learnt")})
    assert (outcome.tier, outcome.attempts[0].threshold.origin) == (tier, "learnt")


def test_a_learnt_threshold_rejects_the_answer_where_no_tier_is_left():
    outcome = Ladder(ScriptedTier("small", sure(GOOD, 0.1))).run("1 + 2?", Sum, thresholds={"small": least(0.2)})
    assert verdicts(outcome) == [("small", "stop", "low_confidence")]
    assert (outcome.accepted, outcome.best.text) == (False, GOOD)


def test_a_threshold_for_a_tier_that_there_is_not_is_an_error():
    ladder = Ladder(ScriptedTier("small", GOOD))
    with pytest.raises(ConfigError, match="there is no tier 'smal'"):
        ladder.run("1 + 2?", Sum, thresholds={"smal": least(0.2)})
    with pytest.raises(ConfigError, match=r"has to be a rung\.Threshold"):
        ladder.run("1 + 2?", Sum, thresholds={"small": 0.2})


def test_a_threshold_weighs_features_and_an_unknown_feature_reaches_none_but_a_soft_one():
    weighed = Threshold(-0.5, {"mean": 2.0, "tokens": -0.25}, bias=1.0)
    assert weighed.weigh({"mean": -0.5, "tokens": 2.0, "sum": -1.0}) == pytest.approx(-0.5)
    assert weighed.weigh({"mean": -0.5}) is None
    assert not weighed.accepts(-0.5)  # strictly above
    assert weighed.accepts(-0.49)
    assert not weighed.accepts(None)
    assert Threshold(0.0, {}, soft=True).accepts(None)


def test_the_probability_is_read_off_the_curve_between_its_ends():
    curve = Threshold(0.0, {"mean": 1.0}, curve=((-2.0, 0.2), (-1.0, 0.4), (-1.0, 0.6), (0.0, 1.0)))
    read = [curve.probability(score) for score in (-9.0, -2.0, -1.5, -0.5, 0.0, 3.0)]
    assert read == pytest.approx([0.2, 0.2, 0.3, 0.8, 1.0, 1.0])
    assert Threshold(0.0, {}).probability(1.0) is None


def test_the_attempt_shows_the_calibrated_probability():
    curve = ((math.log(0.25), 0.5), (0.0, 0.9))
    learnt = Threshold(-9.0, {"minimum": 1.0}, curve=curve)
    outcome = Ladder(ScriptedTier("small", sure(GOOD, 0.25))).run("1 + 2?", Sum, thresholds={"small": learnt})
    assert outcome.attempts[0].probability == pytest.approx(0.5)


# --- how far a default one reaches -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "later",
    [
        [],
        [ScriptedTier("lan", OTHER, zone=Zone.LAN)],
        [QuotingTier("paid", OTHER, price=DOLLARS)],
        [QuotingTier("cloud", OTHER, zone=Zone.INTERNET, price=DOLLARS), ScriptedTier("mid", OTHER)],
    ],
    ids=["alone", "before the local network", "before a local tier that has a price", "a paid tier comes first"],
)
def test_a_default_threshold_does_not_act_unless_the_next_tier_is_local_and_free(later):
    outcome = Ladder(Measured("small", sure(GOOD, 0.01)), *later, reach=Zone.INTERNET).run("1 + 2?", Sum)
    assert verdicts(outcome) == [("small", "accept", "valid")]
    assert outcome.attempts[0].threshold is None
    assert outcome.checked_by == ("schema",)


def test_a_tier_beyond_the_reach_does_not_stand_between_two_local_ones():
    cloud = QuotingTier("cloud", OTHER, zone=Zone.INTERNET, price=DOLLARS)
    outcome = Ladder(Measured("small", sure(GOOD, 0.01)), cloud, ScriptedTier("mid", OTHER)).run("1 + 2?", Sum)
    assert [v[:2] for v in verdicts(outcome)] == [("small", "escalate"), ("cloud", "skip"), ("mid", "accept")]


def test_free_text_has_no_default_threshold():
    assert Ladder(Measured("small", sure("three", 0.01)), ScriptedTier("mid", "four")).run("1 + 2?").tier == "small"


def test_a_tier_that_reports_no_log_probabilities_is_not_held_to_a_default():
    outcome = Ladder(Measured("small", GOOD), ScriptedTier("mid", OTHER)).run("1 + 2?", Sum)
    assert (outcome.tier, outcome.checked_by) == ("small", ("schema",))


@pytest.mark.parametrize(
    "mid",
    [
        ScriptedTier("mid", TierUnavailable("not here")),
        ScriptedTier("mid", TierCrashed("died")),
        ScriptedTier("mid", BAD, BAD),
    ],
    ids=["is not there", "dies", "answers wrongly"],
)
def test_the_held_answer_is_accepted_and_nothing_is_paid_where_the_next_local_tier(mid):
    cloud = QuotingTier("cloud", OTHER, zone=Zone.INTERNET, price=DOLLARS)
    outcome = Ladder(Measured("small", sure(GOOD, 0.01)), mid, cloud, reach=Zone.INTERNET).run("1 + 2?", Sum)
    assert outcome.unwrap() == Sum(total=3)
    assert (outcome.tier, outcome.checked_by, outcome.reason) == ("small", ("schema",), "valid")
    assert (cloud.calls, outcome.left_machine, outcome.cost) == ([], False, 0)
    last = outcome.attempts[-1]
    assert (last.number, last.sent, last.seconds) == (len(outcome.attempts), False, 0)
    assert "this is the answer of attempt 1" in last.notes[0]


def test_of_two_held_answers_the_bigger_tiers_is_taken():
    tiers = [Measured("small", sure(GOOD, 0.01)), Measured("mid", sure(OTHER, 0.01)), ScriptedTier("big", BAD, BAD)]
    assert Ladder(*tiers).run("1 + 2?", Sum).unwrap() == Sum(total=4)


def test_the_held_answer_is_accepted_by_the_last_tier_of_the_ladder_too():
    outcome = Ladder(ScriptedTier("small", sure(GOOD, 0.1))).run(
        "1 + 2?", Sum, thresholds={"small": least(0.2, soft=True)}
    )
    assert verdicts(outcome) == [("small", "stop", "low_confidence"), ("small", "accept", "valid")]


def test_nothing_held_is_accepted_after_a_cancel_a_deadline_or_a_rule_that_stops():
    cancel = Cancel()

    def cancels(call):
        cancel.set()
        return BAD

    small = Measured("small", *[sure(GOOD, 0.01)] * 3)
    outcome = Ladder(small, ScriptedTier("mid", cancels)).run("1 + 2?", Sum, cancel=cancel)
    assert (outcome.accepted, outcome.reason) == (False, "cancelled")
    late = Ladder(small, ScriptedTier("mid", Reply(OTHER, seconds=5))).run("1 + 2?", Sum, timeout=0.05)
    assert (late.accepted, late.reason) == (False, "deadline")

    def stops(situation):
        return Decision(Verdict.STOP, "enough") if situation.tier == "mid" else None

    stopped = Ladder(small, ScriptedTier("mid", BAD), rule=first_of(stops, standard)).run("1 + 2?", Sum)
    assert (stopped.accepted, stopped.reason) == (False, "enough")


def test_a_rule_of_ones_own_sees_the_score_and_may_overrule_the_threshold():
    seen = []

    def trusting(situation):
        seen.append((situation.score, situation.threshold.above))
        return Decision(Verdict.ACCEPT, Reason.VALID)

    outcome = Ladder(Measured("small", sure(GOOD, 0.1)), ScriptedTier("mid", OTHER), rule=trusting).run("1 + 2?", Sum)
    assert seen == [(pytest.approx(math.log(0.1)), math.log(0.5))]
    assert (outcome.tier, outcome.checked_by) == ("small", ("schema",))
