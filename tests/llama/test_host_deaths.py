"""A worker dies with its host, however the host dies, and belongs to nobody else."""

from __future__ import annotations

import os
import signal
import sys
import time

import psutil
import pytest

from llama.conftest import gone

pytestmark = [pytest.mark.weights, pytest.mark.skipif(os.name == "nt", reason="signals and fork are POSIX")]

START = """
import os, sys, threading, time
from pathlib import Path
from rung.tiers.llama import LlamaTier
from rung.types import Call, Message
tier = LlamaTier(Path(MODEL))
def say(*words): print(*words, flush=True)
def ask(n=5, text="Hi."): return "".join(d.text for d in tier.stream(Call((Message("user", text),), max_tokens=n)))
"""
IDLE = START + "tier.warm(); say(tier.worker_pid); time.sleep(60)"
DECODING = START + "tier.warm(); say(tier.worker_pid); ask(4000, 'Count to ten thousand.')"
PREFILLING = START + "tier.warm(); say(tier.worker_pid); ask(1, 'word ' * 3900)"
LOADING = (
    START
    + """
threading.Thread(target=ask, daemon=True).start()
while tier.worker_pid is None: time.sleep(0.001)
say(tier.worker_pid); time.sleep(60)
"""
)


@pytest.mark.parametrize("source", [IDLE, DECODING, PREFILLING, LOADING], ids=["idle", "decode", "prefill", "load"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_the_worker_of_a_killed_host_is_gone(script, source, how):
    host = script(source)
    worker = int(host.stdout.readline())
    time.sleep(0.2)
    host.send_signal(how)
    host.wait(10)
    assert gone(worker)


def test_the_worker_of_a_host_that_just_ends_is_gone(script):
    host = script(START + "tier.warm(); say(tier.worker_pid)")
    worker = int(host.stdout.readline())
    assert host.wait(10) == 0
    assert gone(worker)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such a signal")
def test_the_kernel_ends_a_worker_whose_threads_get_no_turn(script):
    """Neither end of file nor the look at the parent can serve one that is deep in native code."""
    child = "import os, time; from rung.tiers.llama.worker.system import die_with; die_with(os.getppid(), every=3600)"
    host = script(
        "import subprocess, sys, time\n"
        f"code = {child!r} + '; print(os.getpid(), flush=True); time.sleep(60)'\n"
        "subprocess.Popen([sys.executable, '-c', code]); time.sleep(60)"
    )
    worker = int(host.stdout.readline())
    host.kill()
    try:
        assert gone(worker)
    finally:
        if psutil.pid_exists(worker):
            os.kill(worker, signal.SIGKILL)


def test_a_worker_outlives_the_thread_that_started_it(script):
    """Linux would end it with the thread if that thread were its parent."""
    host = script(
        START
        + """
thread = threading.Thread(target=ask); thread.start(); thread.join()
pid = tier.worker_pid; time.sleep(2.5)
say(pid, tier.worker_pid, bool(ask())); time.sleep(60)
"""
    )
    before, after, answered = host.stdout.readline().split()
    assert (before, answered) == (after, "True")
    host.kill()
    assert gone(int(before))


def test_a_forked_child_opens_a_worker_of_its_own_and_keeps_none_alive(script):
    """The child holds the pipe to its parent's worker, which therefore sees no end of file."""
    host = script(
        START
        + """
ask()
child = os.fork()
if child == 0:
    say("child", os.getpid(), tier.worker_pid)
    say("child", bool(ask()), tier.worker_pid)
    time.sleep(60); os._exit(0)
os.waitpid(-1, os.WNOHANG); time.sleep(4)
say("parent", bool(ask()), tier.worker_pid); time.sleep(60)
"""
    )
    lines = [host.stdout.readline().split() for _ in range(3)]
    child, none = lines[0][1:]
    of_child = lines[1][1:]
    of_parent = lines[2][1:]
    assert none == "None"
    assert of_child[0] == of_parent[0] == "True"
    assert of_child[1] != of_parent[1]
    host.kill()
    try:
        assert gone(int(of_parent[1]))
        assert psutil.pid_exists(int(of_child[1]))
    finally:
        os.kill(int(child), signal.SIGKILL)
    assert gone(int(of_child[1]))


def test_a_ctrl_c_in_the_terminal_reaches_the_host_alone(script):
    """It goes to the whole foreground group."""
    host = script(START + "tier.warm(); say(tier.worker_pid); time.sleep(60)")
    worker = int(host.stdout.readline())
    assert os.getpgid(worker) != os.getpgid(host.pid)
    os.kill(worker, signal.SIGINT)
    time.sleep(0.3)
    assert psutil.Process(worker).is_running()
