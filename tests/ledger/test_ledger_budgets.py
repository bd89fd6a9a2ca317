"""Budgets across processes: atomic, kept through crashes, and never open where they can't be kept."""

from __future__ import annotations

import sqlite3
import threading
from decimal import Decimal

import pytest
from looking import added_up, day_and_month, recorded

from rung import BudgetExceeded, ConfigError, Ladder, Price, Usage, Zone
from rung.ledger import Ledger
from rung.testing import QuotingTier, Reply

DAY = 86_400.0
NOON = 1_794_744_000.0
"""2026-11-15, 12:00 UTC."""


def test_what_is_reserved_counts_until_it_is_settled(path):
    with Ledger(path, per_day=1) as ledger:
        held = ledger.reserve(Decimal("0.7"))
        with pytest.raises(BudgetExceeded, match=r"\$0.4 is more than the \$0.3 left of this day's \$1"):
            ledger.reserve(Decimal("0.4"))
        held.settle(Decimal("0.25"))
        ledger.reserve(Decimal("0.75"))
        with pytest.raises(BudgetExceeded):
            ledger.reserve(Decimal("0.000000000001"))


def test_what_is_released_no_longer_counts_and_an_unknown_cost_counts_with_its_bound(path):
    with Ledger(path, per_day=1) as ledger:
        ledger.reserve(Decimal(1)).release()
        ledger.reserve(Decimal(1)).settle(None)
        with pytest.raises(BudgetExceeded):
            ledger.reserve(Decimal("0.01"))


def test_a_reservation_ends_once(path):
    with Ledger(path, per_day=1) as ledger:
        held = ledger.reserve(Decimal(1))
        held.settle(Decimal("0.5"))
        held.release()
        assert day_and_month(path)[0].spent == Decimal("0.5")


@pytest.mark.parametrize("price", ["0.000001", "0.0375", "15"])
def test_a_token_of_any_listed_price_is_counted_exactly(path, price):
    cost = Price(price, price).cost(1, 0)
    with Ledger(path) as ledger:
        for _ in range(7):
            ledger.reserve(cost).settle(cost)
    assert day_and_month(path)[0].spent == 7 * cost


def test_a_day_ends_at_midnight_utc_and_a_month_with_its_last_day(path):
    now = [NOON]
    with Ledger(path, per_day=1, per_month=2, clock=lambda: now[0]) as ledger:
        ledger.reserve(Decimal(1)).settle(Decimal(1))
        now[0] = NOON + DAY / 2 - 1
        with pytest.raises(BudgetExceeded, match="this day's"):
            ledger.reserve(Decimal(1))
        now[0] += 2
        ledger.reserve(Decimal(1)).settle(Decimal(1))
        now[0] += DAY
        with pytest.raises(BudgetExceeded, match="this month's"):
            ledger.reserve(Decimal(1))
        now[0] = NOON + 16 * DAY
        ledger.reserve(Decimal(1))


def test_a_clock_that_is_set_back_frees_no_money(path):
    now = [NOON]
    with Ledger(path, per_day=1, clock=lambda: now[0]) as ledger:
        ledger.reserve(Decimal(1))
        now[0] -= 3 * DAY
        with pytest.raises(BudgetExceeded):
            ledger.reserve(Decimal("0.1"))


def test_threads_of_one_process_share_the_budget(path):
    with Ledger(path, per_day=10) as ledger:
        refused = []

        def spend():
            for _ in range(10):
                try:
                    ledger.reserve(Decimal("0.25"))
                except BudgetExceeded:
                    refused.append(1)

        threads = [threading.Thread(target=spend) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(refused) == 40
    assert day_and_month(path)[0].reserved == Decimal(10)


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_its_reservation_counted(path, program):
    code = (
        "import sys, time\nfrom decimal import Decimal\nfrom rung.ledger import Ledger\n"
        "ledger = Ledger(sys.argv[1], per_day=1)\nledger.reserve(Decimal('0.3')).settle(Decimal('0.1'))\n"
        "ledger.reserve(Decimal('0.6'))\nprint('reserved', flush=True)\ntime.sleep(60)\n"
    )
    process = program(code, path)
    assert process.stdout.readline() == b"reserved\n"
    process.kill()
    process.wait()
    day = day_and_month(path)[0]
    assert (day.spent, day.reserved, day.open) == (Decimal("0.1"), Decimal("0.6"), 1)
    with Ledger(path, per_day=1) as ledger, pytest.raises(BudgetExceeded, match=r"the \$0.3 left"):
        ledger.reserve(Decimal("0.31"))


def test_a_ladder_stops_paying_when_the_days_budget_is_used_up(path):
    reply = Reply("fine", usage=Usage(100, 1000))
    with Ledger(path, per_day="2.5") as ledger:
        cloud = QuotingTier("cloud", reply, reply, reply, zone=Zone.INTERNET, price=Price(1000, 1000))
        ladder = Ladder(cloud, reach=Zone.INTERNET, purse=ledger)
        assert [ladder.run("Well?").reason for _ in range(3)] == ["valid", "valid", "over_budget"]
        assert len(cloud.calls) == 2


@pytest.mark.parametrize(("per_day", "per_month"), [("3", "1.5"), ("1.5", "3")])
def test_what_is_left_of_the_tighter_budget_caps_an_answer_before_it_is_refused(path, per_day, per_month):
    with Ledger(path, per_day=per_day, per_month=per_month) as ledger:
        ledger.reserve(Decimal("0.7"))
        with pytest.raises(BudgetExceeded) as caught:
            ledger.reserve(Decimal(1))
        assert caught.value.left == Decimal("0.8")
        cloud = QuotingTier("cloud", Reply("fine"), zone=Zone.INTERNET, price=Price(1000, 1000))
        assert Ladder(cloud, reach=Zone.INTERNET, purse=ledger).run("Well?").value == "fine"
        assert cloud.calls[0].max_tokens == 700
    assert day_and_month(path)[0].left is None


def test_where_the_ledger_cant_be_written_a_budget_is_refused_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    cloud = QuotingTier("cloud", "fine", zone=Zone.INTERNET, price=Price(1, 1))
    with Ledger(tmp_path / "file" / "ledger", per_day=1) as ledger:
        outcome = Ladder(cloud, reach=Zone.INTERNET, purse=ledger).run("Well?")
    assert (outcome.accepted, outcome.reason, cloud.calls) == (False, "over_budget", [])
    assert "the budget can't be kept: the ledger" in outcome.attempts[0].detail


def test_a_settlement_that_cant_be_written_keeps_the_bound_counted_and_is_written_later(path, monkeypatch):
    monkeypatch.setattr("rung.ledger.file.WAIT", 0.1)
    with Ledger(path, per_day=1) as ledger:
        held = ledger.reserve(Decimal("0.5"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        held.settle(Decimal("0.1"))
        assert other.execute("SELECT state, counted FROM reservations").fetchall() == [("open", 5 * 10**11)]
        other.execute("ROLLBACK")
        other.close()
        ledger.flush()
        assert day_and_month(path)[0].spent == Decimal("0.1")


def test_an_amount_that_is_none_is_refused_when_the_ledger_is_made(path):
    with pytest.raises(ConfigError, match="per_day"):
        Ledger(path, per_day=float("nan"))


def test_sums_beyond_what_an_integer_of_sqlite_holds_are_still_exact(path):
    most, tiny = Decimal(4_000_000), Decimal("0.000000000001")
    with Ledger(path) as ledger:
        for amount in (most, most, most, tiny):
            ledger.reserve(amount).settle(amount)
    assert day_and_month(path)[0].spent == 3 * most + tiny
    with Ledger(path, per_day="12000001") as ledger:
        ledger.reserve(Decimal("0.9"))
        with pytest.raises(BudgetExceeded, match=r"the \$0.099999999999 left"):
            ledger.reserve(Decimal("0.1"))


@pytest.mark.parametrize("bound", ["4000001", "1e30", "Infinity", "NaN"])
def test_a_bound_that_the_ledger_cant_hold_is_refused_and_not_cut_down(path, bound):
    with Ledger(path, per_day="1e40") as ledger, pytest.raises(BudgetExceeded, match="more than the ledger can hold"):
        ledger.reserve(Decimal(bound))


def test_a_cost_below_nothing_frees_no_money(path):
    with Ledger(path, per_day=1) as ledger:
        ledger.reserve(Decimal("0.5")).settle(Decimal(-10))
        with pytest.raises(BudgetExceeded):
            ledger.reserve(Decimal("1.1"))


@pytest.mark.parametrize(
    "usage",
    [
        Usage(0, 0),
        Usage(0, 40),
        Usage(100, 0),
        Usage(None, 40),
        Usage(100, None),
        Usage(-1, 40),
        Usage(100, -40),
        Usage(2**62, 40),
        Usage(100, 2**62),
        Usage(10**30, 10**30),
        Usage(True, 40),
        Usage(100.0, 40),
        Usage("100", 40),
    ],
)
def test_tokens_that_cant_be_right_leave_the_cost_unknown_and_the_bound_counted(path, usage):
    with Ledger(path, per_day=10) as ledger:
        cloud = QuotingTier("cloud", Reply("a b c", usage=usage), zone=Zone.INTERNET, price=Price(1000, 1000))
        outcome = Ladder(cloud, reach=Zone.INTERNET, purse=ledger, observers=[ledger]).run("Well?", max_tokens=900)
        assert (outcome.value, outcome.cost, outcome.notes) == ("a b c", None, ())
        assert None in (outcome.usage.input_tokens, outcome.usage.output_tokens)
        assert "its bound of $1 is counted" in outcome.attempts[0].notes[0]
        ledger.flush()
    assert day_and_month(path)[0].spent == 1
    (record,) = recorded(path)
    assert (record.cost, record.accepted) == (None, True)
    assert added_up(path).cost_unknown == 1


def test_an_empty_answer_of_no_tokens_costs_its_prompt(path):
    cloud = QuotingTier("cloud", Reply("", usage=Usage(100, 0)), zone=Zone.INTERNET, price=Price(1000, 1000))
    assert Ladder(cloud, reach=Zone.INTERNET).run("Well?").cost == Decimal("0.1")


def test_statistics_of_costs_beyond_an_integer_add_up(path):
    dear = QuotingTier("dear", *[Reply("a", usage=Usage(10**8, 1))] * 4, zone=Zone.INTERNET, price=Price(30_000, 1))
    with Ledger(path) as ledger:
        ladder = Ladder(dear, reach=Zone.INTERNET, observers=[ledger])
        for _ in range(4):
            assert ladder.run("Well?").accepted
        ledger.flush()
    found = added_up(path)
    assert found.cost == 4 * Decimal("3000000.000001")
    assert found.tiers[0].cost == found.cost
