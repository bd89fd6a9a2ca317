"""A worker that is stopped, silent or stuck is given up, and calls that it never heard are asked of the next one."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from llama.conftest import call, gone, text
from rung.errors import TierCrashed, TierTimeout
from rung.limits import Deadline
from rung.tiers.llama import LlamaTier, frames
from rung.tiers.llama.host import pulse as pulse_module
from rung.tiers.llama.host.pulse import Pulse
from rung.tiers.llama.worker.calls import Calls

posix = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")


@pytest.mark.weights
@posix
def test_a_stopped_worker_is_replaced_for_the_call_after_the_one_that_timed_out(make):
    tier = make()
    tier.warm()
    before = tier.worker_pid
    os.kill(before, signal.SIGSTOP)
    with pytest.raises(TierTimeout):
        list(tier.stream(call(deadline=Deadline.after(2))))
    assert text(tier.stream(call(max_tokens=2)))
    assert tier.worker_pid != before
    assert gone(before)


@pytest.mark.weights
@posix
def test_a_call_without_a_deadline_whose_worker_is_stopped_ends(make):
    tier = make()
    stream = tier.stream(call("Count to a thousand.", max_tokens=2000))
    next(d for d in stream if d.text)
    os.kill(tier.worker_pid, signal.SIGSTOP)
    with pytest.raises(TierCrashed, match="was stopped and gave no sign of life"):
        list(stream)
    assert text(tier.stream(call(max_tokens=2)))


GREETING = (
    f"#!{sys.executable}\n"
    "import sys, time\n"
    "sys.argv = [sys.argv[0], *sys.argv[4:]]\n"
    "from rung.tiers.llama import frames\n"
    "out = sys.stdout.buffer\n"
    "def say(frame): frames.write(out, frame)\n"
    "say(frames.Hello(frames.PROTOCOL, 1))\n"
    "frames.read(sys.stdin.buffer)\n"
    "say(frames.Loaded('m', 100))\n"
)
WEDGED = {
    "silent": "while True: time.sleep(1)",
    "stuck": "while True: say(frames.Beat(99.0)); time.sleep(0.1)",
}


@pytest.fixture
def played(tmp_path):
    """Makes a tier whose worker is a few lines of Python that speak its part."""
    tiers = []

    def new(lines: str) -> LlamaTier:
        (tmp_path / "m.gguf").write_bytes(b"GGUF")
        worker = tmp_path / "python"
        worker.write_text(GREETING + lines)
        worker.chmod(0o755)
        tiers.append(LlamaTier(tmp_path / "m.gguf", python=str(worker)))
        return tiers[-1]

    yield new
    for tier in tiers:
        tier.close()


@pytest.mark.slow
@posix
@pytest.mark.parametrize("lines", WEDGED.values(), ids=WEDGED.keys())
def test_a_call_ends_whatever_its_worker_is_wedged_in(played, monkeypatch, lines):
    monkeypatch.setattr(pulse_module, "_SILENCE", 1.0)
    monkeypatch.setattr(pulse_module, "_LOOK", 0.05)
    tier = played(lines)
    with pytest.raises(TierCrashed, match=r"gave no sign of life|was told to leave"):
        list(tier.stream(call()))


@pytest.mark.slow
@posix
def test_a_call_that_came_after_the_silence_began_is_asked_of_the_next_worker_and_only_once(
    played, monkeypatch, tmp_path
):
    monkeypatch.setattr(pulse_module, "_SILENCE", 1.0)
    monkeypatch.setattr(pulse_module, "_MISSED", 0.1)
    monkeypatch.setattr(pulse_module, "_LOOK", 0.05)
    count = f"open({str(tmp_path / 'starts')!r}, 'a').write('x')\n"
    tier = played(count + WEDGED["silent"])
    with pytest.raises(TierTimeout):
        list(tier.stream(call(deadline=Deadline.after(0.8))))
    while not (tmp_path / "starts").exists():  # a busy machine takes longer to start the first worker
        time.sleep(0.05)
    time.sleep(0.5)  # by now its silence has begun
    with pytest.raises(TierCrashed):
        list(tier.stream(call()))
    assert 2 <= len((tmp_path / "starts").read_text()) <= 3


@pytest.mark.slow
@posix
def test_signs_of_life_keep_a_worker_that_is_at_work_for_long(played, monkeypatch):
    monkeypatch.setattr(pulse_module, "_SILENCE", 1.0)
    monkeypatch.setattr(pulse_module, "_LOOK", 0.05)
    tier = played(
        "for n in range(30): say(frames.Beat()); time.sleep(0.1)\n"
        "request = frames.read(sys.stdin.buffer).id\n"
        "say(frames.Counted(request, 5, 100))\n"
        "time.sleep(60)\n"
    )
    assert tier.quote(call()).input_tokens == 5


@pytest.mark.slow
def test_a_host_that_was_stopped_itself_blames_no_worker(monkeypatch):
    """Its clock is far ahead then, and the signs of life lie unread: silence is counted in looks."""
    lost = []
    pulse = Pulse(os.getpid(), lambda what, anew: lost.append(what), lambda done: None)
    monkeypatch.setattr(pulse_module, "_LOOK", 0.05)
    clock = [0.0]
    monkeypatch.setattr(pulse_module.time, "monotonic", lambda: clock[0])
    watching = threading.Thread(target=pulse.watch)
    watching.start()
    clock[0] = 1e6
    pulse.heard(frames.Loaded("m", 100))
    time.sleep(0.3)
    pulse.end()
    watching.join(10)
    assert not lost


def test_a_step_that_was_told_to_stop_is_stuck_until_it_ends():
    calls = Calls()
    calls.abort = lambda: None
    calls.add(1)
    calls.start([1], lambda: None)
    assert calls.stuck() == 0.0
    calls.drop(1)
    time.sleep(0.02)
    assert calls.stuck() >= 0.01
    calls.stop()
    assert calls.stuck() == 0.0
