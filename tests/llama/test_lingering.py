"""A worker that lingers is there at once for the next command of the same user, and for nobody and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from llama.conftest import call, gone, text
from rung.errors import Cancelled
from rung.limits import Cancel
from rung.tiers.llama import LlamaTier
from rung.tiers.llama.host import sharing
from rung.tiers.llama.visits import dismiss, lingering

pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(os.name == "nt", reason="no worker lingers on Windows"),
]

PROMPT = "Count from one to a hundred, and write each number on a line of its own, in words and not in digits. " * 4
LEAVE = """
import sys, time
from rung.tiers.llama import LlamaTier
from rung.types import Call, Message
tier = LlamaTier(MODEL, name="small")
tier.linger = 60.0
def ask(n): list(tier.stream(Call((Message("user", "Count to ten thousand."),), max_tokens=n)))
ask(2)
print(tier.worker_pid, flush=True)
"""


@pytest.fixture
def runtime(monkeypatch) -> Iterator[Path]:
    """A runtime folder whose path is short enough for a socket. What lingers there ends with the test."""
    folder = Path(tempfile.mkdtemp(prefix="rung-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    dismiss()
    shutil.rmtree(folder)


@pytest.fixture
def lasting(runtime, weights) -> Iterator:
    """Makes tiers whose workers may linger."""
    tiers: list[LlamaTier] = []

    def new(model: Path | None = None, seconds: float = 60.0) -> LlamaTier:
        tiers.append(LlamaTier(model or weights("smollm2-135m"), name="small"))
        tiers[-1].linger = seconds
        return tiers[-1]

    yield new
    for tier in tiers:
        tier.unload()
        tier.close()


def test_the_next_command_takes_the_worker_over_with_what_it_keeps(lasting, runtime):
    first = lasting()
    said = text([*first.stream(call(PROMPT))])
    pid = first.worker_pid
    first.close()
    assert [(it.pid, it.left is None) for it in lingering()] == [(pid, False)]

    second = lasting()
    deltas = [*second.stream(call(PROMPT))]
    assert (second.worker_pid, text(deltas)) == (pid, said)
    usage = next(d.usage for d in deltas if d.usage is not None)
    assert usage.cached_tokens >= 32
    assert lingering()[0].left is None

    # a call that is cancelled, and then the end of its command, leave a worker that can be used
    cancel = Cancel()
    stream = second.stream(call("Count to ten thousand.", max_tokens=2000, cancel=cancel))
    assert next(stream)
    cancel.set()
    with pytest.raises(Cancelled):
        deque(stream)
    second.close()
    third = lasting()
    assert text([*third.stream(call(PROMPT))]) == said
    assert third.worker_pid == pid

    # what runs out of memory must really be unloaded
    third.unload()
    assert gone(pid)
    assert lingering() == ()


def test_a_second_command_at_the_same_time_has_a_worker_of_its_own_which_ends_with_it(lasting, monkeypatch):
    first = lasting()
    first.warm()
    monkeypatch.setattr(sharing, "_WORKERS", {})
    second = lasting()
    assert text([*second.stream(call(max_tokens=2))])
    of_first, of_second = first.worker_pid, second.worker_pid
    assert of_first != of_second
    first.close()
    second.close()
    assert gone(of_second)
    assert [it.pid for it in lingering()] == [of_first]
    assert [it.pid for it in dismiss()] == [of_first]
    assert gone(of_first)


def test_it_ends_when_idle_and_when_its_file_changes(lasting, weights, tmp_path):
    model = tmp_path / "copy.gguf"
    shutil.copy(weights("smollm2-135m"), model)
    tier = lasting(model, seconds=60.0)
    tier.warm()
    pid = tier.worker_pid
    tier.close()
    assert [it.pid for it in lingering()] == [pid]
    os.utime(model, (1, 1))
    assert gone(pid)

    tier = lasting(model, seconds=0.5)
    tier.warm()
    pid = tier.worker_pid
    tier.close()
    assert gone(pid)


def test_a_killed_command_takes_along_the_worker_that_it_started_and_the_one_that_it_took_over(script, runtime):
    asking = LEAVE + "ask(4000)"
    leaving = LEAVE + "tier.close()"
    pids = []
    for source, dies in ((asking, True), (leaving, False), (asking, True)):
        host = script(source)
        pids.append(int(host.stdout.readline()))
        if dies:
            host.send_signal(signal.SIGKILL)
            host.wait(10)
            assert gone(pids[-1])
        else:
            assert host.wait(10) == 0
            assert [it.pid for it in lingering()] == [pids[-1]]
    assert pids[2] == pids[1]
    assert lingering() == ()


def test_a_logout_or_a_signal_ends_it(lasting, runtime):
    for end in (lambda pid: shutil.rmtree(runtime / "rung"), lambda pid: os.kill(pid, signal.SIGTERM)):
        tier = lasting()
        tier.warm()
        pid = tier.worker_pid
        tier.close()
        end(pid)
        assert gone(pid)
