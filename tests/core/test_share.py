"""A deadline that still gets an answer, and what a repair may cost.

| kind | tests |
|---|---|
| 15: a share for who shows no progress | `test_a_tier_that_shows_nothing_...`, `test_a_share_is_...` |
| 15: no share where nobody waits | `test_nobody_is_hurried_...`, `test_without_a_deadline_...` |
| 15: whoever works is never cut short | `test_a_tier_that_works_...`, `test_progress_that_doesnt_...` |
| 15: unstreamed answers | `test_an_answer_in_one_piece_...` |
| 15: `max_seconds` | `test_a_tier_has_its_own_limit_...`, `test_the_limit_...` |
| 15: money after a stall | `test_money_...` |
| 18: repairs where they cost | `test_a_repair_that_costs_...` |
| 35: `warm` | `test_warm_...` |
"""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from core.support import DOLLARS, GOOD, Sum, verdicts
from rung import Budget, Delta, Ladder, MemoryPurse, Rung, TierStalled, Zone
from rung.engine import record, share
from rung.errors import Cancelled, ConfigError, TierTimeout, TierUnavailable
from rung.limits import Deadline
from rung.testing import QuotingTier, ScriptedTier

ASK = "Well?"


class Working:
    """A tier that gives these deltas, each after so many seconds; without a last one it then says nothing more."""

    zone = Zone.HOST

    def __init__(self, name, *script, zone=Zone.HOST):
        self.name, self.zone, self.script, self.calls = name, zone, script, []

    def stream(self, call):
        self.calls.append(call)
        for seconds, delta in self.script:
            wait(call, seconds)
            yield delta
            if delta.finish:
                return
        wait(call, 60)

    def close(self):
        pass


def wait(call, seconds):
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if call.deadline.passed:
            raise TierTimeout("late")
        if call.cancel.wait(min(left, call.deadline.remaining() or 0.01, 0.01)):
            raise Cancelled("the caller cancelled")


def answer(*words, after=0.0):
    return [*((after, Delta(word)) for word in words), (0.0, Delta(finish="stop"))]


def silent(name="small", **settings):
    return Working(name, **settings)


@pytest.mark.slow
def test_a_tier_that_shows_nothing_has_its_share_and_another_answers_in_time():
    outcome = Ladder(silent(), silent("mid"), ScriptedTier("large", "fine")).run(ASK, timeout=1.2)
    assert verdicts(outcome) == [
        ("small", "fallback", "stalled"),
        ("mid", "fallback", "stalled"),
        ("large", "accept", "valid"),
    ]
    first, second, _ = outcome.attempts
    assert 0.35 <= first.seconds < 0.8
    assert second.seconds >= 0.2
    assert "its share of the time that was left" in first.detail
    assert isinstance(first.error, TierStalled)


@pytest.mark.slow
def test_an_empty_piece_and_a_note_are_no_progress():
    noise = [(0.05, Delta(constraint="none")), (0.05, Delta(notes=("still there",))), *[(0.05, Delta())] * 90]
    outcome = Ladder(Working("small", *noise), ScriptedTier("mid", "fine")).run(ASK, timeout=1)
    assert verdicts(outcome) == [("small", "fallback", "stalled"), ("mid", "accept", "valid")]


SIGNS = {
    "tokens": Delta("word "),
    "thoughts": Delta(reasoning="hm "),
}


@pytest.mark.slow
@pytest.mark.parametrize("sign", [*SIGNS, "progress"])
def test_a_tier_that_works_is_never_cut_short_by_a_share(sign):
    """It shows a sign each tenth of a second, far beyond its share of 0.4 s."""
    signs = [(0.1, SIGNS.get(sign) or Delta(progress=n / 9)) for n in range(9)]
    outcome = Ladder(Working("small", *signs, *answer("yes")), *map(silent, "abcd")).run(ASK, timeout=2)
    assert (outcome.tier, len(outcome.attempts)) == ("small", 1)


@pytest.mark.slow
def test_progress_that_doesnt_move_is_none():
    same = [(0.05, Delta(progress=0.5))] * 90
    outcome = Ladder(Working("small", *same), ScriptedTier("mid", "fine")).run(ASK, timeout=1)
    assert outcome.attempts[0].reason == "stalled"
    assert outcome.attempts[0].seconds < 0.9


@pytest.mark.slow
def test_a_tier_that_falls_silent_in_the_middle_is_given_up_too_and_its_words_are_no_answer():
    outcome = Ladder(Working("small", (0.1, Delta("Once"))), ScriptedTier("mid", "fine")).run(ASK, timeout=1)
    assert verdicts(outcome) == [("small", "fallback", "stalled"), ("mid", "accept", "valid")]
    assert outcome.attempts[0].candidate is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "others",
    [[], [ScriptedTier("far", "fine", zone=Zone.INTERNET)]],
    ids=["nobody else", "nobody else within reach"],
)
def test_nobody_is_hurried_for_the_sake_of_a_tier_that_may_not_be_asked(others):
    outcome = Ladder(Working("small", *answer("slow", after=0.6)), *others).run(ASK, timeout=0.9)
    assert outcome.value == "slow"


@pytest.mark.slow
def test_nobody_is_hurried_for_a_paid_tier_that_the_rule_of_money_shuts():
    class Priced(QuotingTier):
        priced = True

    broken = ScriptedTier("small", TierUnavailable("down"))
    paid = Priced("cloud", "dear", price=DOLLARS)
    outcome = Ladder(broken, Working("mid", *answer("slow", after=0.6)), paid).run(ASK, timeout=0.9)
    assert (outcome.value, outcome.tier) == ("slow", "mid")


@pytest.mark.slow
def test_without_a_deadline_nobody_is_given_up():
    outcome = Ladder(Working("small", *answer("slow", after=0.5)), ScriptedTier("mid", "fine")).run(ASK)
    assert outcome.value == "slow"


@pytest.mark.slow
def test_an_answer_in_one_piece_gets_half_of_what_is_left():
    late = [(0.0, Delta(streams=False)), *answer("whole", after=0.6)]
    outcome = Ladder(Working("small", *late), *map(silent, "abcd")).run(ASK, timeout=1.5)
    assert outcome.value == "whole"


@pytest.mark.slow
def test_who_reads_a_stream_slowly_takes_no_time_from_the_tier():
    words = [(0.0, Delta("a ")), (0.0, Delta("b ")), *answer("c", after=0.1)]
    stream = Ladder(Working("small", *words), silent("mid")).stream(ASK, timeout=1.6, provisional=True)
    for event in stream:
        if type(event).__name__ == "Provisional" and event.text == "a ":
            time.sleep(0.9)  # more than its share
    assert event.outcome.value == "a b c"


@pytest.mark.slow
def test_a_tier_has_its_own_limit_however_much_it_works():
    busy = Working("small", *[(0.02, Delta("word "))] * 500)
    outcome = Ladder(Rung(busy, max_seconds=0.3), ScriptedTier("mid", "fine")).run(ASK)
    assert verdicts(outcome) == [("small", "fallback", "stalled"), ("mid", "accept", "valid")]
    assert "max_seconds = 0.3" in outcome.attempts[0].detail
    assert 0.3 <= outcome.attempts[0].seconds < 2


@pytest.mark.slow
def test_the_limit_is_for_all_that_a_request_does_on_the_tier_and_holds_for_the_last_one_too():
    class Slow(Working):
        def stream(self, call):
            self.script = answer("wrong", after=0.3)
            return super().stream(call)

    outcome = Ladder(Rung(Slow("small"), max_seconds=0.5)).run(ASK, validators=[lambda v: v == "right"])
    assert verdicts(outcome) == [("small", "repair", "check"), ("small", "stop", "stalled")]
    again = Ladder(Rung(Slow("small"), max_seconds=0.5)).run(ASK)
    assert again.value == "wrong"


@pytest.mark.slow
def test_a_limit_longer_than_the_deadline_changes_nothing():
    outcome = Ladder(Rung(silent(), max_seconds=60)).run(ASK, timeout=0.2)
    assert verdicts(outcome) == [("small", "stop", "TierTimeout")]
    assert outcome.reason == "deadline"


def ladder_with_paid(first, purse=None):
    paid = QuotingTier("cloud", "dear", price=DOLLARS, zone=Zone.INTERNET)
    return Ladder(first, paid, reach=Zone.INTERNET, purse=purse)


@pytest.mark.slow
def test_money_may_be_spent_where_the_deadline_was_too_short_for_the_local_tier():
    outcome = ladder_with_paid(silent()).run(ASK, timeout=1.2)
    assert verdicts(outcome) == [("small", "fallback", "stalled"), ("cloud", "accept", "valid")]


@pytest.mark.slow
def test_money_is_kept_where_the_local_tier_is_broken(monkeypatch):
    monkeypatch.setattr(record, "BROKEN_AFTER", 0.2)
    outcome = ladder_with_paid(silent()).run(ASK, timeout=1.2)
    assert verdicts(outcome) == [("small", "fallback", "stalled"), ("cloud", "stop", "local_unavailable")]


@pytest.mark.slow
def test_money_of_a_paid_tier_that_was_given_up_stays_counted():
    class Paid(QuotingTier):
        stream = Working.stream
        script = ()

    purse = MemoryPurse(10)
    ladder = Ladder(Paid("cloud", price=DOLLARS, zone=Zone.INTERNET), silent("mid"), reach=Zone.INTERNET, purse=purse)
    attempt = ladder.run(ASK, timeout=1).attempts[0]
    assert (attempt.reason, attempt.cost, purse.spent) == ("stalled", None, Decimal("1.1"))


def test_a_share_is_what_is_left_by_those_who_may_still_be_asked():
    turn = share.MovingDeadline(Deadline.after(9), Deadline(), 3)
    assert 2.9 < turn.remaining() <= 3
    assert not turn.passed
    alone = share.MovingDeadline(Deadline.after(9), Deadline(), 1)
    assert 8.9 < alone.remaining() <= 9
    assert 0.3 < share.MovingDeadline(Deadline.after(0.9), Deadline(), 9).remaining() <= 0.35
    assert share.MovingDeadline(Deadline.after(0.6), Deadline(), 2).remaining() > 0.5
    assert share.MovingDeadline(Deadline(), Deadline(), 3).remaining() is None
    assert share.MovingDeadline(Deadline(), Deadline.after(2), 3).remaining() <= 2
    with pytest.raises(AttributeError):
        turn.at = 5.0


@pytest.mark.parametrize(("price", "repairs"), [(DOLLARS, 0), (None, 1)])
def test_a_repair_that_costs_money_is_made_only_where_somebody_says_so(price, repairs):
    def outcome(**settings):
        tier = QuotingTier("cloud", "Lyon", GOOD, price=price, zone=Zone.INTERNET)
        return Ladder(Rung(tier, **settings), reach=Zone.INTERNET).run(ASK, Sum)

    assert [str(a.verdict) for a in outcome().attempts] == (["repair", "accept"] if repairs else ["stop"])
    assert outcome(repairs=1).value == Sum(total=3)
    assert not outcome(repairs=0).accepted


def test_a_tier_is_told_whether_another_may_answer():
    small, mid = Rung(ScriptedTier("small", "no"), repairs=0), ScriptedTier("mid", "fine")
    far = ScriptedTier("far", zone=Zone.INTERNET)
    Ladder(small, mid, far, budget=Budget(seconds=9)).run(ASK, validators=[lambda v: v == "fine"])
    assert [call.others for call in (*small.tier.calls, *mid.calls)] == [True, False]


class Warm(ScriptedTier):
    def __init__(self, name, fails=False):
        super().__init__(name)
        self.warmed, self.fails = 0, fails

    def warm(self):
        self.warmed += 1
        if self.fails:
            raise TierUnavailable(f"{self.name} is not there")


def test_warm_is_the_first_tier_or_all_of_them_whatever_one_raises():
    tiers = [Warm("a"), Warm("b", fails=True), ScriptedTier("c"), Warm("d")]
    ladder = Ladder(*tiers)
    ladder.warm()
    assert [getattr(tier, "warmed", None) for tier in tiers] == [1, 0, None, 0]
    with pytest.raises(TierUnavailable, match="b is not there"):
        ladder.warm("all")
    assert [getattr(tier, "warmed", None) for tier in tiers] == [2, 1, None, 1]
    with pytest.raises(ConfigError, match="which"):
        ladder.warm("every")
