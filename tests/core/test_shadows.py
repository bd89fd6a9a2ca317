"""Some accepted answers are also asked of the next tier, when nobody waits, and the request is none the wiser."""

from __future__ import annotations

import threading
import time

import pytest

from rung import Budget, Cancel, ConfigError, Finished, Hop, Ladder, Price, Rung, Shadow, Shadowed, Zone
from rung.consent import ConfiguredConsent
from rung.engine import NO_EQUALITY, shadows
from rung.testing import QuotingTier, Reply, ScriptedTier

PICK = ["yes", "no"]


class Told:
    """An observer that keeps what it is told, and that can be waited for."""

    def __init__(self):
        self.events = []
        self.news = threading.Condition()

    def __call__(self, event):
        with self.news:
            self.events.append(event)
            self.news.notify_all()

    def of(self, kind, count=1):
        with self.news:
            assert self.news.wait_for(lambda: len(self._of(kind)) >= count, 20)
            return self._of(kind)

    def _of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """No request comes after a pause that a test would have to wait for."""
    monkeypatch.setattr(shadows, "_QUIET", 0.0)
    monkeypatch.setattr(shadows, "_LOOK", 0.01)


@pytest.fixture
def told():
    return Told()


def always(share=1.0, **settings):
    return Shadow(share, idle=lambda: True, **settings)


def tier(name, *answers, **settings):
    return ScriptedTier(name, *answers, **settings)


@pytest.mark.parametrize(("mid", "agrees"), [("yes", True), ("no", False)])
def test_an_accepted_answer_is_held_against_what_the_next_tier_says_by_itself(told, mid, agrees):
    second = tier("mid", mid)
    with Ladder(tier("small", "yes"), second, observers=[told], shadow=always()) as ladder:
        outcome = ladder.run("Is it?", PICK)
        (shadow,) = told.of(Shadowed)
    assert (outcome.tier, outcome.value, len(outcome.attempts)) == ("small", "yes", 1)
    assert (shadow.against, shadow.agrees, shadow.reason) == ("mid", agrees, "")
    assert [a.text for a in shadow.attempts] == [mid]
    (finished,) = told.of(Finished)
    assert finished.toss == shadow.toss
    assert (finished.toss.chance, finished.toss.fell) == (1.0, True)


def test_the_shadow_goes_to_the_next_tier_and_no_further(told):
    last = tier("large")
    with Ladder(tier("small", "yes"), tier("mid", "no"), last, observers=[told], shadow=always()) as ladder:
        ladder.run("Is it?", PICK)
        assert told.of(Shadowed)[0].against == "mid"
    assert not last.calls


def test_without_a_share_no_coin_is_tossed_and_nobody_is_asked(told):
    second = tier("mid")
    with Ladder(tier("small", "yes"), second, observers=[told]) as ladder:
        ladder.run("Is it?", PICK)
    assert told.of(Finished)[0].toss is None
    assert not second.calls


@pytest.mark.slow
def test_the_coin_falls_as_often_as_the_share_says(told):
    with Ladder(tier("small", *["yes"] * 300), tier("mid"), observers=[told], shadow=always(0.2)) as ladder:
        for _ in range(300):
            ladder.run("Is it?", PICK)
    tosses = [event.toss for event in told.of(Finished, 300)]
    assert {toss.chance for toss in tosses} == {0.2}
    assert 30 <= sum(toss.fell for toss in tosses) <= 95  # 99.9% of draws
    assert len({toss.key for toss in tosses}) == 300


def test_what_was_sent_up_unrejected_agrees_without_anybody_being_asked(told):
    """The ladder's call to the last tier was the very one that it gets by itself."""
    second = tier("mid", "no")
    first = Rung(tier("small", Reply("yes", logprob=-3.0)), min_confidence=0.9)
    with Ladder(first, second, observers=[told], shadow=always()) as ladder:
        assert ladder.run("Is it?", PICK).tier == "mid"
        (shadow,) = told.of(Shadowed)
    assert (shadow.agrees, shadow.attempts) == (True, ())
    assert len(second.calls) == 1


def test_the_last_tier_is_asked_again_where_it_was_told_of_a_rejected_answer(told):
    second = tier("mid", "no", "yes")
    with Ladder(Rung(tier("small", "perhaps"), repairs=0), second, observers=[told], shadow=always()) as ladder:
        assert ladder.run("Is it?", PICK).value == "no"
        (shadow,) = told.of(Shadowed)
    assert (shadow.against, shadow.agrees) == ("mid", False)
    fed, alone = (call.messages[-1].text for call in second.calls)
    assert "rejected" in fed
    assert "rejected" not in alone


def test_a_shadow_that_gets_no_answer_is_dropped_and_neither_agrees_nor_differs(told):
    with Ladder(tier("small", "yes"), tier("mid"), observers=[told], shadow=always()) as ladder:
        ladder.run("Is it?", PICK)
        (shadow,) = told.of(Shadowed)
    assert shadow.agrees is None
    assert shadow.reason == "TierUnavailable"


def test_an_answer_that_the_next_tier_cannot_give_validly_differs(told):
    with Ladder(tier("small", "yes"), tier("mid", "perhaps", "maybe"), observers=[told], shadow=always()) as ladder:
        ladder.run("Is it?", PICK)
        (shadow,) = told.of(Shadowed)
    assert shadow.agrees is False


def test_free_text_gets_no_shadow_and_that_is_said_once(told):
    second = tier("mid")
    with Ladder(tier("small", "Well.", "Well."), second, observers=[told], shadow=always()) as ladder:
        notes = [ladder.run("How are you?").notes for _ in range(2)]
    assert notes == [(NO_EQUALITY,), ()]
    assert [event.toss for event in told.of(Finished, 2)] == [None, None]
    assert not second.calls


def test_objects_are_compared_as_their_contract_compares_them(told):
    schema = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "string"}}}
    small, mid = '{"a": 1, "b": "x"}', '{"b": "x", "a": 1.0}'
    with Ladder(tier("small", small), tier("mid", mid), observers=[told], shadow=always()) as ladder:
        ladder.run("Extract.", schema)
        assert told.of(Shadowed)[0].agrees is True


def test_nobody_is_asked_while_the_machine_is_busy_and_the_shadow_is_dropped_in_the_end(told):
    second = tier("mid")
    busy = Shadow(1.0, idle=lambda: False, patience=0.1)
    with Ladder(tier("small", "yes"), second, observers=[told], shadow=busy) as ladder:
        ladder.run("Is it?", PICK)
        (shadow,) = told.of(Shadowed)
    assert (shadow.agrees, shadow.reason) == (None, "the machine was never idle")
    assert not second.calls


def test_a_request_stops_a_shadow_which_is_asked_again_later(told):
    begun = threading.Event()

    def slow(call):
        begun.set()
        call.cancel.wait(20)
        return Reply("yes")

    second = tier("mid", slow, "yes")
    with Ladder(tier("small", "yes"), second, observers=[told], shadow=always()) as ladder:
        ladder.run("Is it?", PICK)
        assert begun.wait(20)
        with ladder._shadows.request():  # what every run does first
            pass
        (shadow,) = told.of(Shadowed)
    assert shadow.agrees is True
    assert len(second.calls) == 2


def test_closing_the_ladder_drops_what_waits(told):
    waiting = Shadow(1.0, idle=lambda: False)
    ladder = Ladder(tier("small", "yes", "yes"), tier("mid"), observers=[told], shadow=waiting)
    ladder.run("Is it?", PICK)
    ladder.run("Is it?", PICK)
    ladder.close()
    assert [shadow.reason for shadow in told.of(Shadowed, 2)] == ["the ladder was closed"] * 2


def test_a_cancelled_request_has_no_shadow(told):
    cancel = Cancel()

    def stop(call):
        cancel.set()
        return Reply("yes")

    with Ladder(tier("small", stop), tier("mid", "yes"), observers=[told], shadow=always()) as ladder:
        ladder.run("Is it?", PICK, cancel=cancel)
        time.sleep(0.1)
    assert not [event for event in told.events if isinstance(event, Shadowed)]


def paid(*answers):
    return QuotingTier("cloud", *answers, zone=Zone.INTERNET, price=Price(10, 20))


def test_beyond_the_machine_nothing_goes_without_reach(told):
    cloud = paid("yes")
    with Ladder(tier("small", "yes"), cloud, observers=[told], shadow=always()) as ladder:
        ladder.run("Is it?", PICK)
    assert told.of(Finished)[0].toss is None
    assert not cloud.calls


def test_beyond_the_machine_nothing_is_spent_without_a_budget(told):
    cloud = paid("yes")
    with Ladder(tier("small", "yes"), cloud, reach=Zone.INTERNET, observers=[told], shadow=always()) as ladder:
        ladder.run("Is it?", PICK)
        (shadow,) = told.of(Shadowed)
    assert (shadow.agrees, shadow.reason) == (None, "over_budget")
    assert not cloud.calls


@pytest.mark.parametrize("allows", [True, False])
def test_beyond_the_machine_consent_and_budget_decide_as_for_any_attempt(told, allows):
    asked = []

    def consent(hop):
        asked.append(hop.shadow)
        return allows

    cloud = paid(Reply("yes", usage=None))
    with Ladder(
        tier("small", "yes"),
        cloud,
        reach=Zone.INTERNET,
        budget=Budget(money=1),
        consent=consent,
        observers=[told],
        shadow=always(),
    ) as ladder:
        outcome = ladder.run("Is it?", PICK)
        (shadow,) = told.of(Shadowed)
    assert asked == [True]
    assert (shadow.agrees, len(cloud.calls)) == ((True, 1) if allows else (None, 0))
    assert outcome.cost == 0, "the request didn't pay for it"
    assert outcome.left_machine is False


def test_a_person_is_never_asked_about_a_shadow():
    def person(hop):
        raise AssertionError("nobody waits at the terminal any more")

    hop = Hop("cloud", Zone.INTERNET, None, None, 3, False, (), shadow=True)
    assert ConfiguredConsent(False, frozenset(), frozenset(), person)(hop) is False
    assert ConfiguredConsent(False, frozenset({"cloud"}), frozenset(), person)(hop) is True


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan"), "often"])
def test_a_share_is_a_probability(share):
    with pytest.raises(ConfigError):
        Ladder(tier("small", "yes"), shadow=share)
