"""Starting, stopping, and being stopped at any moment."""

import asyncio
import gc
import os
import random
import subprocess
import sys
import threading
import time

import pytest

from helpers.running import run_python
from openai_tier.conftest import call, eventually, text_of
from openai_tier.server import chat, piece, slow_headers, stall, status
from rung.errors import Cancelled, TierUnavailable
from rung.limits import Cancel
from rung.testing import check_tier
from rung.tiers.openai import OpenAITier
from rung.types import Price

WORDS = [f"word{n} " for n in range(40)]


def set_later(cancel: Cancel, seconds: float) -> None:
    timer = threading.Timer(seconds, cancel.set)
    timer.daemon = True
    timer.start()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("rung-openai")]


@pytest.mark.slow
def test_it_conforms_to_the_protocol_of_a_tier(serve):
    server = serve(*[chat(*WORDS, pause=0.005)] * 20)
    check_tier(lambda: OpenAITier("m", base_url=server.url))
    check_tier(lambda: OpenAITier("m", base_url=server.url, price=Price(1, 4), logprobs=True))


@pytest.mark.proof
@pytest.mark.slow
def test_fifty_cancels_at_random_moments_end_at_once_and_leave_nothing_behind(serve, tier_at):
    dice = random.Random(5)
    server = serve()
    tier = tier_at(server)
    list(tier.stream(call()))
    before = threading.active_count()
    replies = [chat(*WORDS, pause=0.005), stall(piece("half")), slow_headers, status(429, {"retry-after": "20"})]
    worst = 0.0
    for _ in range(50):
        server.enqueue(dice.choice(replies))
        cancel, after = Cancel(), dice.uniform(0, 0.15)
        set_later(cancel, after)
        began = time.monotonic()
        with pytest.raises(Cancelled):
            list(tier.stream(call(cancel=cancel)))
        worst = max(worst, time.monotonic() - began - after)
    assert worst < 10  # each of the waits would be longer
    loop = tier._session._current._loop
    assert eventually(lambda: not asyncio.all_tasks(loop))
    assert eventually(lambda: server.open_connections <= 8)
    assert eventually(lambda: threading.active_count() <= before + server.open_connections)
    server.script.clear()
    assert text_of(list(tier.stream(call()))) == "ok"


def test_a_cancelled_call_sends_nothing(serve, tier_at):
    server, cancel = serve(), Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        list(tier_at(server).stream(call(cancel=cancel)))
    assert server.connections == 0


@pytest.mark.parametrize("way", ["close", "forget"])
def test_an_abandoned_stream_hangs_up(serve, tier_at, way):
    server = serve(stall(piece("half")))
    stream = tier_at(server).stream(call())
    while not next(stream).text:
        pass
    assert server.open_connections == 1
    if way == "close":
        stream.close()
    del stream
    assert eventually(lambda: server.open_connections == 0)


def test_a_call_waits_until_its_first_piece_is_asked_for(serve, tier_at):
    server = serve()
    stream = tier_at(server).stream(call())
    time.sleep(0.05)
    assert server.connections == 0
    stream.close()


def test_a_connection_is_used_again(serve, tier_at):
    server = serve()
    tier = tier_at(server)
    for _ in range(5):
        list(tier.stream(call()))
    assert (len(server.requests), server.connections) == (5, 1)


@pytest.mark.slow
def test_twenty_calls_run_at_once_on_one_thread(serve, tier_at):
    server = serve(*[chat("a", "b", pause=0.2)] * 20)
    tier = tier_at(server)
    answers = []
    callers = [threading.Thread(target=lambda: answers.append(text_of(list(tier.stream(call()))))) for _ in range(20)]
    began = time.monotonic()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert answers == ["ab"] * 20
    assert time.monotonic() - began < 20 * 0.6
    assert threads() == ["rung-openai"]


def test_close_ends_the_thread_may_be_repeated_and_the_next_call_starts_again(serve, tier_at):
    server = serve()
    tier = tier_at(server)
    tier.close()
    list(tier.stream(call()))
    tier.close()
    tier.close()
    assert threads() == []
    assert eventually(lambda: server.open_connections == 0)
    assert text_of(list(tier.stream(call()))) == "ok"


def test_a_call_that_runs_while_the_tier_is_closed_ends_with_an_error(serve, tier_at):
    tier = tier_at(serve(stall(piece("half"))), price=Price(1, 1))
    stream = tier.stream(call())
    while not next(stream).text:
        pass
    tier.close()
    with pytest.raises(TierUnavailable, match="closed") as caught:
        next(stream)
    assert caught.value.billed == "maybe"


def test_a_forgotten_tier_ends_its_thread(serve):
    tier = OpenAITier("m", base_url=serve().url)
    list(tier.stream(call()))
    del tier
    gc.collect()
    assert eventually(lambda: threads() == [])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_a_connection_of_its_own_and_the_parents_goes_on(serve, warm):
    server = serve()
    script = f"""
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork beside threads, which is tried here
from rung.tiers.openai import OpenAITier, ollama
from rung.types import Call, Message
ollama._PATIENCE = 30.0  # a busy machine must not make a second connection of one question
tier = OpenAITier("m", base_url={server.url!r})
call = Call((Message("user", "hi"),))
ask = lambda: "".join(delta.text for delta in tier.stream(call))
assert ask() == "ok"
child = os.fork()
if child == 0:
    assert ask() == "ok"
    tier.close()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert ask() == "ok"
"""
    assert run_python(warm, script) == (0, "", "")
    assert (len(server.requests), server.connections - len(server.questions)) == (3, 2)


@pytest.mark.slow
def test_a_program_that_never_closes_its_tier_ends_quietly(serve):
    server = serve(stall(piece("half")))
    script = f"""
from rung.tiers.openai import OpenAITier
from rung.types import Call, Message
tier = OpenAITier("m", base_url={server.url!r})
stream = tier.stream(Call((Message("user", "hi"),)))
print(next(stream) is not None)
"""
    done = subprocess.run([sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "True\n")
    assert "Warning" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_sdk_is_imported_by_the_first_call_only():
    script = """
import sys
from rung.tiers.openai import OpenAITier
OpenAITier("m")
assert not {"openai", "httpx2"} & set(sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0


def test_without_the_sdk_the_tier_is_unavailable_and_says_how_to_get_it(serve, tier_at, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(TierUnavailable, match="pip install openai"):
        list(tier_at(serve()).stream(call()))
