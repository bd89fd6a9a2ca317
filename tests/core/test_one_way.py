"""The core as one way: quotes only where they decide, nothing accepted late, an outcome that is its attempts."""

from __future__ import annotations

import threading
import time

import pytest

from core.support import GOOD, Sum, verdicts
from helpers.each import each
from rung import Budget, Ladder, Rung, deferral
from rung.engine.gate import GATE
from rung.testing import QuotingTier, Reply, ScriptedTier


class Free(QuotingTier):
    """A tier on this machine that is known to be free, and counts how often it is asked for a quote."""

    priced = False

    def __init__(self, name, *script, **settings):
        super().__init__(name, *script, **settings)
        self.quoted = 0

    def quote(self, call):
        self.quoted += 1
        return super().quote(call)


def test_a_free_tier_here_is_given_the_call_without_being_asked_for_a_quote():
    free = Free("free", GOOD)
    assert Ladder(free).run("1 + 2?", Sum).accepted
    assert free.quoted == 0


def test_with_a_token_budget_the_quote_decides_and_is_asked_for():
    free = Free("free", GOOD, input_tokens=90)
    outcome = Ladder(free, budget=Budget(tokens=100)).run("1 + 2?", Sum)
    assert (outcome.accepted, free.quoted, free.calls[0].max_tokens) == (True, 1, 10)


def test_an_answer_that_was_cut_off_asks_how_much_room_there_is():
    free = Free("free", Reply('{"tot', finish="length"), GOOD, input_tokens=100, context=180)
    outcome = Ladder(Rung(free, max_tokens=50)).run("1 + 2?", Sum)
    assert verdicts(outcome) == [("free", "retry", "cut_off"), ("free", "accept", "valid")]
    assert (free.quoted, [call.max_tokens for call in free.calls]) == (1, [50, 80])


def test_a_tier_that_does_not_say_whether_it_is_priced_is_asked():
    tier = QuotingTier("unknown", GOOD)
    outcome = Ladder(tier).run("1 + 2?", Sum)
    assert outcome.attempts[0].quote is not None


@pytest.mark.slow
def test_an_answer_that_is_found_right_too_late_is_not_accepted_and_not_lost():
    def slow(situation):
        time.sleep(0.4)
        return deferral.standard(situation)

    outcome = Ladder(ScriptedTier("small", GOOD), rule=slow).run("1 + 2?", Sum, timeout=0.2)
    assert verdicts(outcome) == [("small", "stop", "deadline")]
    assert (outcome.accepted, outcome.reason, outcome.best.text) == (False, "deadline", GOOD)


def test_compiling_a_contract_counts_against_the_deadline():
    release, compiled = threading.Event(), threading.Event()

    class Slow:
        @classmethod
        def __get_pydantic_core_schema__(cls, source, handler):
            release.wait(60)
            compiled.set()
            return handler(int)

    tier = ScriptedTier("small", "1")
    outcome = Ladder(tier).run("1 + 2?", Slow, timeout=0.2)
    assert not compiled.is_set(), "it was waited for"
    release.set()
    assert (outcome.reason, outcome.attempts, tier.calls) == ("deadline", (), [])


@each("step", GATE, ids=lambda step: step.__name__)
def test_every_step_of_the_gate_says_what_it_lets_pass(step):
    assert step.__doc__


def test_what_is_told_of_an_outcome_follows_from_its_attempts():
    outcome = Ladder(ScriptedTier("small", "no", "no"), ScriptedTier("large", GOOD)).run("1 + 2?", Sum)
    last = outcome.attempts[-1]
    assert (outcome.value, outcome.tier, outcome.text) == (last.validation.value, last.tier, last.text)
    assert repr(outcome).startswith("Outcome(accepted=True, tier='large', reason='valid', checked_by=('schema',)")
