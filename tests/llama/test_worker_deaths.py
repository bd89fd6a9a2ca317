"""A worker may die at any moment: the host lives, the attempt says so, and the next call works."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

import psutil
import pytest

from llama.conftest import call, gone, text
from rung.errors import Cancelled, TierCrashed, TierTimeout, TierUnavailable
from rung.limits import Cancel, Deadline

pytestmark = [pytest.mark.weights, pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")]

LONG = "word " * 3000
PROMPT_ENOUGH = 1.0
"""Seconds; five times what is promised, for a busy machine."""


def test_killed_in_decode(make):
    tier = make()
    stream = tier.stream(call(max_tokens=200))
    next(d for d in stream if d.text)
    os.kill(tier.worker_pid, signal.SIGKILL)
    with pytest.raises(TierCrashed, match="killed by SIGKILL"):
        list(stream)
    assert text(tier.stream(call()))


def test_killed_in_prefill(make):
    tier = make()
    tier.warm()
    pid = tier.worker_pid
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(TierCrashed, match="killed by SIGKILL"):
        list(tier.stream(call(LONG)))
    assert text(tier.stream(call()))


def test_killed_between_calls(make):
    tier = make()
    assert text(tier.stream(call()))
    before = tier.worker_pid
    os.kill(before, signal.SIGKILL)
    assert gone(before)
    # The host may learn of it only from the next call.
    assert text(_until_it_works(tier))
    assert tier.worker_pid != before


def test_killed_before_it_could_load(make):
    tier = make()
    errors = []

    def ask() -> None:
        try:
            list(tier.stream(call()))
        except (TierCrashed, TierUnavailable) as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while tier.worker_pid is None:
        time.sleep(0.001)
    os.kill(tier.worker_pid, signal.SIGKILL)
    thread.join()
    assert "SIGKILL" in str(errors[0])
    assert text(tier.stream(call()))


def test_every_call_of_a_killed_worker_hears_of_it(make):
    tier = make(slots=2)
    tier.warm()
    heard = []

    def ask() -> None:
        try:
            list(tier.stream(call(max_tokens=400)))
        except TierCrashed:
            heard.append(True)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    os.kill(tier.worker_pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert len(heard) == 4


@pytest.mark.proof
def test_fifty_kills_at_random_moments_leave_no_hang_and_no_orphan(make):
    chance = random.Random(4)
    tier = make(context=512)
    pids, crashes = set(), 0
    for _ in range(50):
        stream = tier.stream(call("word " * chance.choice([1, 200]), max_tokens=30, deadline=Deadline.after(60)))
        if chance.random() < 0.6 or tier.worker_pid is None:
            try:
                next(stream)
            except TierCrashed:
                # Killed after its last answer, and nobody had noticed yet.
                crashes += 1
                continue
        pid = tier.worker_pid
        pids.add(pid)
        killer = threading.Timer(chance.random() * 0.3, _kill, (pid,))
        killer.start()
        try:
            list(stream)
        except (TierCrashed, TierUnavailable):
            crashes += 1
        killer.join()
    assert crashes > 10
    assert text(_until_it_works(tier))
    tier.close()
    assert all(gone(pid) for pid in pids)
    assert not [c for c in psutil.Process().children() if c.pid in pids], "no zombie is left either"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _until_it_works(tier):
    try:
        return list(tier.stream(call()))
    except TierCrashed:
        return list(tier.stream(call()))


@pytest.mark.alone
def test_a_worker_that_does_not_answer_holds_up_neither_cancel_nor_deadline_nor_close(make):
    """Not even while a prompt is larger than the pipe to the worker."""
    tier = make()
    tier.warm()
    pid = tier.worker_pid
    os.kill(pid, signal.SIGSTOP)
    cancel = Cancel()
    threading.Timer(0.2, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        list(tier.stream(call("word " * 100_000, cancel=cancel)))
    with pytest.raises(TierTimeout):
        list(tier.stream(call("word " * 100_000, deadline=Deadline.after(0.2))))
    assert time.monotonic() - began < 0.4 + 2 * PROMPT_ENOUGH
    tier.close()
    assert gone(pid)


@pytest.mark.alone
@pytest.mark.parametrize("moment", ["load", "prefill", "decode"])
def test_cancel_stops_a_call_at_any_moment(make, moment):
    tier = make()
    if moment != "load":
        tier.warm()
    cancel = Cancel()
    stream = tier.stream(call(LONG if moment == "prefill" else "Count to a hundred.", max_tokens=500, cancel=cancel))
    if moment == "decode":
        next(d for d in stream if d.text)
    set_at = []
    threading.Timer(0.15, lambda: (set_at.append(time.monotonic()), cancel.set())).start()
    with pytest.raises(Cancelled):
        list(stream)
    assert time.monotonic() - set_at[0] < PROMPT_ENOUGH
    assert text(tier.stream(call()))


@pytest.mark.alone
def test_a_deadline_stops_a_prefill_and_frees_the_worker(make):
    tier = make(slots=1)
    tier.warm()
    began = time.monotonic()
    with pytest.raises(TierTimeout):
        list(tier.stream(call(LONG, deadline=Deadline.after(0.3))))
    assert time.monotonic() - began < 0.3 + PROMPT_ENOUGH
    assert text(tier.stream(call(max_tokens=1, deadline=Deadline.after(5)))) is not None


def test_a_deadline_while_the_model_loads_leaves_the_load_for_the_next_call(make):
    tier = make()
    with pytest.raises(TierTimeout):
        list(tier.stream(call(deadline=Deadline.after(0.02))))
    pid = tier.worker_pid
    assert text(tier.stream(call()))
    assert pid in (None, tier.worker_pid)


def test_an_abandoned_stream_frees_its_place(make):
    tier = make(slots=1)
    stream = tier.stream(call("Count to a thousand.", max_tokens=3000))
    next(stream)
    stream.close()
    assert text(tier.stream(call(max_tokens=4, deadline=Deadline.after(10))))


def test_closing_ends_the_worker_and_the_calls_under_way_and_the_next_call_starts_another(make):
    tier = make()
    stream = tier.stream(call(max_tokens=500))
    next(stream)
    pid = tier.worker_pid
    tier.close()
    assert not psutil.pid_exists(pid), "reaped, not only dead"
    with pytest.raises(TierUnavailable, match="closed"):
        list(stream)
    tier.close()
    assert tier.worker_pid is None
    assert text(tier.stream(call()))


def test_closing_while_it_loads_is_quick(make):
    tier = make()
    told = []

    def ask() -> None:
        try:
            list(tier.stream(call()))
        except TierUnavailable as error:
            told.append(error.message)

    thread = threading.Thread(target=ask)
    thread.start()
    while tier.worker_pid is None:
        time.sleep(0.001)
    pid = tier.worker_pid
    tier.close()
    assert not psutil.pid_exists(pid)
    thread.join()
    assert told
    assert "closed" in told[0]


def test_a_tier_that_nobody_holds_any_more_takes_its_worker_along(weights):
    from rung.tiers.llama import LlamaTier

    tier = LlamaTier(weights("smollm2-135m"))
    tier.warm()
    pid = tier.worker_pid
    del tier
    assert gone(pid)
