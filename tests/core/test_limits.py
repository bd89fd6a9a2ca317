"""Budgets, prices, deadlines, cancel flags and purses."""

from __future__ import annotations

import random
import threading
import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.each import each
from helpers.ids import shown
from helpers.thorough import times
from rung import Budget, BudgetExceeded, Cancel, Cancelled, ConfigError, Deadline, MemoryPurse, Price, threads

NO_MONEY = [float("nan"), "NaN", float("inf"), "-inf", -1, "-0.01", "much", Decimal("sNaN"), True, None]


@each("amount", NO_MONEY, ids=shown)
def test_what_is_no_amount_of_money_is_refused(amount):
    for make in (
        lambda: Price(amount, 1),
        lambda: Price(1, amount),
        lambda: MemoryPurse(amount),
        lambda: Budget(money=amount if amount is not None else "None"),
    ):
        with pytest.raises(ConfigError, match="is not an amount of money"):
            make()


@each("limit", ["seconds", "tokens"])
@each("value", [float("nan"), float("inf"), -1])
def test_what_is_no_limit_is_refused(limit, value):
    with pytest.raises(ConfigError, match=f"budget.{limit}.* (out of range|has to be)"):
        Budget(**{limit: value})


def test_a_float_is_read_as_it_is_written():
    assert Price(0.1, 0.2).cost(1_000_000, 1_000_000) == Decimal("0.3")
    assert Budget(money=0.1).usd == Decimal("0.1")


@settings(max_examples=times(50))
@given(st.integers(0, 10**9), st.integers(0, 10**9), st.decimals(0, 1000, places=4), st.decimals(0, 1000, places=4))
def test_a_cost_is_exact_and_the_sum_of_its_parts(inputs, outputs, price_in, price_out):
    price = Price(price_in, price_out)
    assert price.cost(inputs, outputs) == price.cost(inputs, 0) + price.cost(0, outputs)
    assert price.cost(inputs, 0) * 1_000_000 == price_in * inputs


# --- deadline --------------------------------------------------------------------------------------------------------


def test_a_deadline_passes_once_and_never_without_an_instant():
    assert Deadline().remaining() is None
    assert not Deadline().passed
    assert Deadline().later(5) == Deadline.after(None) == Deadline()
    soon = Deadline.after(0.05)
    assert 0 < soon.remaining() <= 0.05
    assert not soon.passed
    time.sleep(0.06)
    assert soon.passed
    assert soon.remaining() == 0
    assert not soon.later(60).passed


@each("seconds", [float("nan"), float("inf"), 1e300, "5", True])
def test_a_deadline_is_after_a_finite_time(seconds):
    with pytest.raises(ConfigError, match="seconds"):
        Deadline.after(seconds)


def test_a_deadline_in_the_past_has_passed():
    assert Deadline.after(-1).passed
    assert Deadline.after(-1).remaining() == 0


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_callbacks_are_called_once_at_once_if_it_is_too_late_and_not_when_taken_back():
    cancel, called = Cancel(), []
    cancel.on_set(lambda: called.append("first"))
    forget = cancel.on_set(lambda: called.append("taken back"))
    forget()
    forget()
    cancel.set()
    cancel.set()
    cancel.on_set(lambda: called.append("late"))()
    assert called == ["first", "late"]
    assert cancel.is_set()
    assert cancel.wait(0)


def test_a_callback_may_use_the_flag_that_calls_it():
    cancel, called = Cancel(), []

    def again():
        cancel.set()
        cancel.on_set(lambda: called.append("inner"))

    cancel.on_set(again)
    cancel.set()
    assert called == ["inner"]


@pytest.mark.slow
def test_no_callback_is_lost_or_called_twice_however_threads_meet():
    for _ in range(50):
        cancel, counts, start = Cancel(), [0] * 8, threading.Barrier(9)

        def register(i, cancel=cancel, counts=counts, start=start):
            def count():
                counts[i] += 1

            start.wait()
            cancel.on_set(count)

        workers = [threading.Thread(target=register, args=(i,)) for i in range(8)]
        for worker in workers:
            worker.start()
        start.wait()
        cancel.set()
        for worker in workers:
            worker.join()
        assert counts == [1] * 8


# --- waiting for somebody else's code --------------------------------------------------------------------------------


def test_waiting_gives_the_result_or_raises_what_was_raised():
    assert threads.run(lambda: 3, Deadline(), Cancel()) == 3
    assert threads.run(lambda: None, Deadline.after(10), Cancel()) is None
    with pytest.raises(KeyError):
        threads.run(lambda: {}["x"], Deadline(), Cancel())


def test_waiting_ends_at_the_deadline_and_on_cancel():
    release = threading.Event()
    with pytest.raises(threads.Abandoned):
        threads.run(lambda: release.wait(30), Deadline.after(0.05), Cancel())
    cancel = Cancel()
    threading.Timer(0.05, cancel.set).start()
    with pytest.raises(Cancelled):
        threads.run(lambda: release.wait(30), Deadline(), cancel)
    release.set()
    assert cancel._callbacks == {}


# --- purse -----------------------------------------------------------------------------------------------------------


def test_a_purse_gives_no_more_than_it_has():
    purse = MemoryPurse("1.00")
    purse.reserve(Decimal("0.60"))
    with pytest.raises(BudgetExceeded, match=r"\$0.41 is more than the \$0.40 left of \$1.00"):
        purse.reserve(Decimal("0.41"))
    purse.reserve(Decimal("0.40"))
    assert purse.spent == purse.limit


def test_a_purse_counts_the_cost_the_bound_where_it_is_unknown_and_nothing_where_it_is_released():
    purse = MemoryPurse(3)
    purse.reserve(Decimal(1)).settle(Decimal("0.25"))
    purse.reserve(Decimal(1)).settle(None)
    purse.reserve(Decimal(1)).release()
    assert purse.spent == Decimal("1.25")


class Slow(Decimal):
    """An amount whose comparison lets other threads in."""

    def __gt__(self, other):
        time.sleep(0.0002)
        return super().__gt__(other)


@pytest.mark.proof
@pytest.mark.slow
def test_a_purse_is_never_above_its_limit_under_sixteen_threads():
    purse = MemoryPurse(10)
    worst, kept, lock = [Decimal(0)], [Decimal(0)], threading.Lock()
    start = threading.Barrier(16)

    def spend(seed):
        dice = random.Random(seed)
        start.wait()
        for _ in range(50):
            bound = Slow(Decimal(dice.randint(1, 300)) / 100)
            try:
                held = purse.reserve(bound)
            except BudgetExceeded:
                continue
            with lock:
                worst[0] = max(worst[0], purse.spent)
            if dice.random() < 0.9:
                held.release()
            else:
                cost = bound * dice.randint(0, 5) / 10
                held.settle(cost)
                with lock:
                    kept[0] += cost

    workers = [threading.Thread(target=spend, args=(seed,)) for seed in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert 0 < worst[0] <= purse.limit
    assert purse.spent == kept[0] <= purse.limit
