"""The rows of the deferral table about tiers that may not be tried."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.support import BAD, DOLLARS, GOOD, Sum, verdicts
from rung import Budget, ConfigError, Ladder, MemoryPurse, Price, Rung, TierCrashed, Usage, Zone, never, openai
from rung.testing import QuotingTier, Reply, ScriptedTier


def test_a_tier_beyond_the_reach_is_skipped_and_gets_nothing():
    lan, internet = ScriptedTier("lan", GOOD, zone=Zone.LAN), ScriptedTier("net", GOOD, zone=Zone.INTERNET)
    outcome = Ladder(Rung(ScriptedTier("small", BAD), repairs=0), lan, internet).run("1 + 2?", Sum)
    assert verdicts(outcome)[1:] == [("lan", "skip", "beyond_reach"), ("net", "skip", "beyond_reach")]
    assert (lan.calls, internet.calls, outcome.left_machine) == ([], [], False)
    assert outcome.best.text == BAD


def test_a_request_can_tighten_the_reach_and_not_widen_it():
    net = ScriptedTier("net", GOOD, GOOD, zone=Zone.INTERNET)
    assert verdicts(Ladder(net, reach=Zone.INTERNET).run("1 + 2?", Sum, reach=Zone.LAN))[0][2] == "beyond_reach"
    assert verdicts(Ladder(net, reach=Zone.LAN).run("1 + 2?", Sum, reach=Zone.INTERNET))[0][2] == "beyond_reach"


def test_a_refused_consent_skips_the_tier_and_the_next_may_follow():
    net, last = ScriptedTier("net", GOOD, zone=Zone.INTERNET), ScriptedTier("last", GOOD)
    outcome = Ladder(net, last, reach=Zone.INTERNET, consent=never).run("1 + 2?", Sum)
    assert verdicts(outcome) == [("net", "skip", "consent_refused"), ("last", "accept", "valid")]
    assert net.calls == []


@pytest.mark.parametrize(
    ("ladder", "rung"),
    [
        ({"budget": Budget(money="0.35")}, {}),
        ({}, {"max_cost": "0.35"}),
        ({"purse": MemoryPurse("0.35")}, {}),
        ({"budget": Budget(tokens=100)}, {}),
    ],
    ids=["money", "max_cost", "purse", "tokens"],
)
def test_a_tier_is_skipped_where_the_budget_leaves_no_useful_answer(ladder, rung):
    paid = QuotingTier("paid", GOOD, zone=Zone.INTERNET, price=DOLLARS)
    outcome = Ladder(Rung(paid, **rung), reach=Zone.INTERNET, **ladder).run("1 + 2?", Sum)
    assert verdicts(outcome) == [("paid", "skip", "over_budget")]
    assert paid.calls == []
    assert outcome.attempts[0].quote.max_cost == Decimal("1.1")


def test_a_tier_whose_bound_is_the_budget_is_not_skipped():
    usage = Usage(100, 10)
    paid = QuotingTier("paid", Reply(GOOD, usage=usage), zone=Zone.INTERNET, price=DOLLARS)
    outcome = Ladder(paid, reach=Zone.INTERNET, budget=Budget(money="1.10")).run("1 + 2?", Sum)
    assert outcome.accepted
    assert outcome.cost == Decimal("0.11")


def test_offline_in_the_environment_holds_every_ladder_to_this_machine(monkeypatch):
    net = ScriptedTier("net", GOOD, zone=Zone.INTERNET)
    ladder = Ladder(net, reach=Zone.INTERNET)
    monkeypatch.setenv("RUNG_OFFLINE", "1")
    assert verdicts(ladder.run("1 + 2?", Sum, reach=Zone.INTERNET)) == [("net", "skip", "beyond_reach")]
    assert net.calls == []


MONEY = pytest.mark.parametrize(
    ("ladder", "rung"),
    [({"budget": Budget(money=100)}, {}), ({}, {"max_cost": 100}), ({"purse": MemoryPurse(100)}, {})],
    ids=["money", "max_cost", "purse"],
)


@MONEY
def test_a_tier_beyond_the_machine_whose_quote_has_no_cost_is_refused_while_money_is_limited(ladder, rung):
    net = QuotingTier("net", GOOD, zone=Zone.INTERNET)
    outcome = Ladder(Rung(net, **rung), reach=Zone.INTERNET, **ladder).run("1 + 2?", Sum)
    assert verdicts(outcome) == [("net", "skip", "over_budget")]
    assert net.calls == []


@MONEY
@pytest.mark.parametrize(
    ("tier", "hint"),
    [
        (ScriptedTier("net", GOOD, zone=Zone.INTERNET), "give it a quote"),
        (openai("m", name="net", base_url="http://192.168.1.7/v1"), "set its price"),
    ],
    ids=["no quote", "no price"],
)
def test_a_tier_that_is_known_to_have_no_price_is_an_error_where_money_is_limited(ladder, rung, tier, hint):
    with pytest.raises(ConfigError, match=f"tier 'net' has no price, and money is limited; {hint}"):
        Ladder(Rung(tier, **rung), reach=Zone.INTERNET, **ladder)
    assert Ladder(Rung(tier, **rung), reach=Zone.HOST, **ladder)
    assert Ladder(tier, reach=Zone.INTERNET)


def test_no_money_is_spent_because_a_local_tier_broke():
    paid = QuotingTier("paid", GOOD, zone=Zone.INTERNET, price=DOLLARS)
    last = ScriptedTier("last", GOOD)
    outcome = Ladder(ScriptedTier("small", TierCrashed("died")), paid, last, reach=Zone.INTERNET).run("1 + 2?", Sum)
    assert verdicts(outcome)[1:] == [("paid", "stop", "local_unavailable")]
    assert (paid.calls, last.calls, outcome.reason) == ([], [], "local_unavailable")


def test_money_may_be_spent_after_any_failure_where_the_owner_says_so():
    paid = QuotingTier("paid", GOOD, zone=Zone.INTERNET, price=DOLLARS)
    small = ScriptedTier("small", TierCrashed("died"))
    assert Ladder(small, paid, reach=Zone.INTERNET, paid_after="any_failure").run("1 + 2?", Sum).tier == "paid"


def test_money_is_spent_after_every_local_tier_gave_a_wrong_answer():
    paid = QuotingTier("paid", GOOD, zone=Zone.INTERNET, price=DOLLARS)
    small = ScriptedTier("small", BAD, TierCrashed("died"))
    assert Ladder(small, paid, reach=Zone.INTERNET).run("1 + 2?", Sum).tier == "paid"


def test_a_tier_without_a_price_needs_no_local_answer_before_it():
    lan = QuotingTier("lan", GOOD, zone=Zone.LAN, price=Price(0, 0))
    small = ScriptedTier("small", TierCrashed("died"))
    assert Ladder(small, lan, reach=Zone.LAN).run("1 + 2?", Sum).tier == "lan"
