"""A dead endpoint costs one wait and not one per request."""

from __future__ import annotations

import random
import re
import socket
import threading
import time

import pytest

from openai_tier.conftest import call, text_of
from openai_tier.server import chat, slow_headers, status
from rung import Deadline, Ladder, MemoryPurse, Price, TierError, TierTimeout, TierUnavailable, Zone
from rung.testing import ScriptedTier
from rung.tiers.openai.breaker import Breaker, breaker_of


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker("api.example.org:443", clock=clock, dice=random.Random(1))


def strike(breaker, health, wait=None):
    breaker.enter().end(health, wait)


def test_one_wait_in_vain_opens_it_and_three_quick_failures_in_a_row(breaker, clock):
    strike(breaker, "dead")
    with pytest.raises(TierUnavailable):
        breaker.enter()
    clock.now += 60
    strike(breaker, "alive")
    for health in ("ill", "ill", "alive", "ill", "ill"):
        strike(breaker, health)
    breaker.check()
    strike(breaker, "ill")
    with pytest.raises(TierUnavailable):
        breaker.check()


def test_its_refusal_says_since_when_and_when_it_will_be_tried_again(breaker):
    strike(breaker, "dead")
    with pytest.raises(TierUnavailable) as caught:
        breaker.enter()
    assert re.fullmatch(
        r"api\.example\.org:443 has not worked since \d\d:\d\d:\d\d and is tried again at \d\d:\d\d:\d\d",
        caught.value.message,
    )
    assert caught.value.hint
    assert caught.value.billed == "no"


def test_after_its_pause_one_call_tries_and_the_others_are_refused_meanwhile(breaker, clock):
    strike(breaker, "dead")
    clock.now += 5
    trial = breaker.enter()
    with pytest.raises(TierUnavailable, match="being tried by another call"):
        breaker.enter()
    trial.end("alive")
    breaker.enter()
    breaker.enter()


def test_a_try_that_the_caller_cancels_leaves_the_next_one_to_try(breaker, clock):
    strike(breaker, "dead")
    clock.now += 5
    breaker.enter().end(None)
    assert breaker.enter().tries


def test_each_pause_is_twice_as_long_with_jitter_and_a_minute_at_most(breaker, clock):
    pauses = []
    strike(breaker, "dead")
    for _ in range(9):
        pauses.append(breaker._again - clock.now)
        clock.now += 60
        strike(breaker, "ill")
    for n, pause in enumerate(pauses):
        assert 0.8 * min(60, 5 * 2**n) <= pause <= min(60, 5 * 2**n)
    assert len(set(pauses[4:])) > 1


def test_the_pause_that_the_endpoint_asks_for_is_the_pause_up_to_a_minute(breaker, clock):
    strike(breaker, "dead", wait=20)
    assert breaker._again - clock.now == 20
    clock.now += 20
    strike(breaker, "dead", wait=900)
    assert breaker._again - clock.now == 60


def test_calls_that_were_under_way_when_it_opened_make_no_pause_longer(breaker, clock):
    trials = [breaker.enter() for _ in range(8)]
    for trial in trials:
        trial.end("dead")
    assert breaker._again - clock.now <= 5


def test_from_many_threads_only_one_call_tries(breaker, clock):
    strike(breaker, "dead")
    clock.now += 60
    passed = []

    def enter():
        try:
            passed.append(breaker.enter())
        except TierUnavailable:
            pass

    threads = [threading.Thread(target=enter) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [trial.tries for trial in passed] == [True]


# --- on a tier -------------------------------------------------------------------------------------------------------


def full():
    """A listener whose queue is full, so that a connection to it is neither taken nor refused; and what fills it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fill = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        fill.append(sock)
    return listener, fill


@pytest.mark.slow
def test_a_dead_cloud_costs_one_timeout_and_not_one_per_request(serve, tier_at):
    listener, fill = full()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    purse = MemoryPurse(100)
    cloud = tier_at(serve(), base_url=url, connect_seconds=0.7, zone=Zone.INTERNET, price=Price(1, 1), name="cloud")
    local = ScriptedTier("local", *["here"] * 9)
    ladder = Ladder(cloud, local, reach=Zone.INTERNET, purse=purse)
    took = []
    for _ in range(4):
        began = time.monotonic()
        outcome = ladder.run("hi")
        took.append(time.monotonic() - began)
        assert (outcome.tier, outcome.attempts[0].reason) == ("local", "TierUnavailable")
    assert took[0] >= 0.7
    assert max(took[1:]) < 0.7
    assert [a.sent for a in outcome.attempts] == [False, True]
    assert purse.spent == 0
    for sock in (*fill, listener):
        sock.close()


@pytest.mark.slow
def test_an_endpoint_that_takes_requests_and_says_nothing_is_left_alone_too(serve, tier_at):
    server = serve(*[slow_headers] * 9)
    tier = tier_at(server, stall_seconds=0.3)
    with pytest.raises(TierTimeout):
        list(tier.stream(call()))
    with pytest.raises(TierUnavailable, match="has not worked since"):
        list(tier.stream(call()))
    with pytest.raises(TierUnavailable, match="has not worked since"):
        tier.quote(call())
    assert len(server.requests) == 1


@pytest.mark.slow
def test_a_short_deadline_is_the_callers_own_however_often_it_passes(serve, tier_at):
    server = serve(chat("warm"), *[slow_headers] * 5, chat("there"))
    tier = tier_at(server)
    list(tier.stream(call()))
    for _ in range(5):
        with pytest.raises(TierTimeout):
            list(tier.stream(call(deadline=Deadline.after(0.1))))
    assert text_of(list(tier.stream(call()))) == "there"


@pytest.mark.slow
def test_impatient_callers_shut_no_endpoint_for_a_patient_one(serve, tier_at):
    """What needs half a second is asked, and answers, after three calls that wait for a fifth of it."""
    server = serve(chat("warm"), *[lambda peer: peer.wait(0.5) and chat("late")(peer)] * 4)
    ladder = Ladder(tier_at(server))
    ladder.run("hi")
    for _ in range(3):
        assert ladder.run("hi", timeout=0.1).reason == "deadline"
    assert ladder.run("hi", timeout=10).value == "late"


@pytest.mark.slow
def test_a_silence_that_is_longer_than_any_healthy_one_is_held_against_it(serve, tier_at, monkeypatch):
    monkeypatch.setattr("rung.tiers.openai.exchange._ANSWERS_WITHIN", 0.2)
    server = serve(chat("warm"), slow_headers)
    tier = tier_at(server)
    list(tier.stream(call()))
    with pytest.raises(TierTimeout):
        list(tier.stream(call(deadline=Deadline.after(0.3))))
    with pytest.raises(TierUnavailable, match="has not worked since"):
        list(tier.stream(call()))


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 413, 422, 429])
def test_what_is_the_requests_fault_never_opens_it(serve, tier_at, monkeypatch, code):
    monkeypatch.setattr("rung.tiers.openai.pauses._FIRST", 0.001)
    server = serve(*[status(code)] * 5)
    tier = tier_at(server, retries=0)
    for _ in range(5):
        with pytest.raises(TierError):
            list(tier.stream(call()))
    assert text_of(list(tier.stream(call()))) == "ok"


def test_tiers_of_one_endpoint_share_it_and_those_of_another_do_not(serve, tier_at):
    server, other = serve(*[status(503, {"retry-after": "100"})] * 9), serve()
    with pytest.raises(TierUnavailable):
        list(tier_at(server, name="a").stream(call()))
    with pytest.raises(TierUnavailable, match="has not worked since"):
        list(tier_at(server, name="b").stream(call()))
    assert text_of(list(tier_at(other).stream(call()))) == "ok"
    assert (len(server.requests), len(other.requests)) == (1, 1)


def test_nobody_is_asked_to_consent_to_a_hop_that_would_be_refused(serve, tier_at):
    asked = []
    server = serve(*[status(503, {"retry-after": "100"})] * 9)
    cloud = tier_at(server, zone=Zone.INTERNET)
    ladder = Ladder(cloud, reach=Zone.INTERNET, consent=lambda hop: asked.append(hop) or True)
    ladder.run("hi")
    ladder.run("hi")
    assert len(asked) == 1


@pytest.mark.slow
def test_an_endpoint_that_comes_back_is_used_again(serve, tier_at, monkeypatch):
    monkeypatch.setattr("rung.tiers.openai.breaker._FIRST_PAUSE", 0.2)
    server = serve(slow_headers, chat("back"))
    tier = tier_at(server, stall_seconds=0.3)
    with pytest.raises(TierTimeout):
        list(tier.stream(call()))
    time.sleep(0.25)
    assert text_of(list(tier.stream(call()))) == "back"
    breaker_of(server.url, "").check()
