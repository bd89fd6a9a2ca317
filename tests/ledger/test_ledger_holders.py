"""A purse for each of those who share a ledger: what one may spend, beside what all may."""

from __future__ import annotations

import threading
import time
from decimal import Decimal

import pytest

from rung import BudgetExceeded, Ladder, Price, QuotaExceeded, Usage, Zone
from rung.ledger import Ledger, LedgerFile, purge, spending_of
from rung.testing import QuotingTier, Reply

DAY = 86_400.0
NOON = 1_794_744_000.0
"""2026-11-15, 12:00 UTC."""


def spent(path, holder, now):
    with LedgerFile(path) as file, file.snapshot() as connection:
        return spending_of(connection, holder, None, now)


def test_each_holder_has_a_limit_of_their_own_until_the_day_turns(path):
    now = [NOON]
    with Ledger(path, clock=lambda: now[0]) as ledger:
        ada, bob = ledger.purse_of("ada", "1.50"), ledger.purse_of("bob", "0.10")
        ada.reserve(Decimal(1)).settle(Decimal("0.9"))
        with pytest.raises(QuotaExceeded, match=r"\$0.7 is more than the \$0.60 left of ada's \$1.50") as caught:
            ada.reserve(Decimal("0.7"))
        assert caught.value.left == Decimal("0.6")
        bob.reserve(Decimal("0.1"))
        ledger.purse_of("eve").reserve(Decimal(100))
        now[0] += DAY
        ada.reserve(Decimal("1.5"))


def test_what_a_holder_spends_counts_for_everybody_and_the_tighter_limit_is_told(path):
    with Ledger(path, per_day="1.00") as ledger:
        ada, bob = ledger.purse_of("ada", "0.80"), ledger.purse_of("bob", "0.80")
        ada.reserve(Decimal("0.7"))
        with pytest.raises(QuotaExceeded):
            ada.reserve(Decimal("0.2"))
        with pytest.raises(BudgetExceeded) as caught:
            bob.reserve(Decimal("0.4"))
        assert not isinstance(caught.value, QuotaExceeded)
        assert caught.value.left == Decimal("0.3")


def test_a_limit_holds_across_restarts_and_a_purge(path):
    with Ledger(path) as ledger:
        ledger.purse_of("ada", 1).reserve(Decimal("0.75")).settle(Decimal("0.75"))
    with LedgerFile(path) as file:
        purge(file, time.time())
    with Ledger(path) as ledger, pytest.raises(QuotaExceeded):
        ledger.purse_of("ada", 1).reserve(Decimal("0.5"))


def test_servers_that_share_a_ledger_share_what_a_holder_may_spend(path):
    ledgers, refused = [Ledger(path) for _ in range(3)], []

    def spend(ledger):
        purse = ledger.purse_of("ada", "1.00")
        for _ in range(8):
            try:
                purse.reserve(Decimal("0.09")).settle(Decimal("0.09"))
            except QuotaExceeded:
                refused.append(ledger)

    threads = [threading.Thread(target=spend, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ledger in ledgers:
        ledger.close()
    assert len(refused) == 24 - 11
    assert spent(path, "ada", time.time()).spent == Decimal("0.99")


def test_a_ladder_says_that_it_was_the_quota_and_caps_an_answer_to_it_first(path):
    price = Price(0, 1000)
    paid = QuotingTier("paid", *3 * [Reply("yes", usage=Usage(100, 400))], zone=Zone.INTERNET, price=price)
    with Ledger(path) as ledger:
        ladder = Ladder(paid, reach=Zone.INTERNET, purse=ledger.purse_of("ada", "0.90"))
        first, second = ladder.run("Well?"), ladder.run("Well?")
        assert (first.accepted, first.attempts[0].bound) == (True, Decimal("0.9"))
        assert (second.accepted, second.attempts[0].bound) == (True, Decimal("0.5"))
        third = ladder.run("Well?")
        assert (third.reason, len(paid.calls)) == ("over_quota", 2)
