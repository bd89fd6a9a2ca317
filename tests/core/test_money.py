"""A budget lowers the cap on the answer where that leaves a useful one, and refuses otherwise."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.support import DOLLARS
from helpers.each import each
from rung import Budget, Ladder, MemoryPurse, Price, Rung, Usage, Zone
from rung.errors import BudgetExceeded
from rung.money import BothPurses
from rung.testing import QuotingTier, Reply

USED = Usage(100, 10)


def paid(*script, **settings):
    return QuotingTier("paid", *script or (Reply("Paris.", usage=USED),), zone=Zone.INTERNET, price=DOLLARS, **settings)


def bounded(limit, how):
    """A ladder whose money is limited in one of three ways, and its tier."""
    tier = paid()
    rung = Rung(tier, max_cost=limit) if how == "tier" else Rung(tier)
    budget = Budget(money=limit) if how == "request" else None
    purse = MemoryPurse(limit) if how == "purse" else None
    return Ladder(rung, reach=Zone.INTERNET, budget=budget, purse=purse), tier


@each("how", ["request", "tier", "purse"])
@each(("limit", "cap"), [("1.1", None), ("1.0999", 999), ("0.5", 400), ("0.356", 256)])
def test_the_cap_is_lowered_to_what_the_budget_allows_and_the_attempt_says_so(how, limit, cap):
    ladder, tier = bounded(limit, how)
    (attempt,) = ladder.run("Where?").attempts
    assert attempt.verdict == "accept"
    assert tier.calls[0].max_tokens == cap
    assert attempt.quote.max_cost <= Decimal(limit)
    assert (f"capped at {cap} tokens" in " ".join(attempt.notes)) == (cap is not None)


@each("how", ["request", "tier", "purse"])
@each("limit", ["0.3559", "0.1", "0.05", "0"])
def test_a_budget_that_leaves_no_useful_answer_is_not_spent(how, limit):
    ladder, tier = bounded(limit, how)
    (attempt,) = ladder.run("Where?").attempts
    assert (attempt.verdict, attempt.reason, tier.calls) == ("skip", "over_budget", [])


def test_a_smaller_cap_that_was_asked_for_is_useful_as_it_stands_and_no_less():
    ladder, tier = bounded("0.12", "request")
    assert ladder.run("Where?", max_tokens=20).accepted
    assert not ladder.run("Where?", max_tokens=21).accepted
    assert len(tier.calls) == 1


def test_the_smallest_of_several_limits_counts():
    tier = paid()
    rung = Rung(tier, max_cost="0.5")
    ladder = Ladder(rung, reach=Zone.INTERNET, budget=Budget(money="0.9"), purse=MemoryPurse("0.4"))
    assert ladder.run("Where?").accepted
    assert tier.calls[0].max_tokens == 300


def test_a_retry_for_a_cut_off_answer_is_never_given_less_room_than_it_asks_for():
    tier = paid(Reply("Par", finish="length", usage=Usage(100, 300)), Reply("Paris."))
    outcome = Ladder(tier, reach=Zone.INTERNET, budget=Budget(money=1)).run("Where?", max_tokens=300)
    assert [a.reason for a in outcome.attempts] == ["cut_off", "over_budget"]
    assert len(tier.calls) == 1


def test_a_tier_that_pays_no_heed_to_the_cap_is_not_trusted_with_the_budget():
    class Stubborn(QuotingTier):
        def quote(self, call):
            from dataclasses import replace

            return replace(super().quote(call), max_cost=Decimal("1.1"))

    tier = Stubborn("paid", "Paris.", zone=Zone.INTERNET, price=DOLLARS)
    assert not Ladder(tier, reach=Zone.INTERNET, budget=Budget(money="0.9")).run("Where?").accepted
    assert tier.calls == []


def test_a_prompt_that_costs_more_than_the_budget_by_itself_is_refused():
    tier = QuotingTier("paid", "Paris.", zone=Zone.INTERNET, price=Price(1000, 0), input_tokens=1000)
    assert Ladder(tier, reach=Zone.INTERNET, budget=Budget(money="0.9")).run("Where?").reason == "over_budget"
    assert tier.calls == []


def test_the_purse_holds_what_the_lowered_answer_cost():
    ladder, _ = bounded("0.5", "purse")
    ladder.run("Where?")
    assert ladder._purse.spent == Decimal("0.11")


def test_two_purses_hold_the_same_money_or_neither_does():
    wide, narrow = MemoryPurse(10), MemoryPurse(1)
    both = BothPurses(wide, narrow)
    both.reserve(Decimal("0.6")).settle(Decimal("0.5"))
    assert wide.spent == narrow.spent == Decimal("0.5")
    with pytest.raises(BudgetExceeded):
        both.reserve(Decimal("0.6"))
    assert wide.spent == narrow.spent == Decimal("0.5")
    both.reserve(Decimal("0.1")).release()
    assert wide.spent == narrow.spent == Decimal("0.5")
