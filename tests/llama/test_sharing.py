"""Ladders of one process that want the same model loaded in the same way share its worker."""

from __future__ import annotations

import gc
import json
import shutil

import psutil
import pytest

import rung
from llama.conftest import call, gone, text
from rung.tiers.llama import LlamaTier

pytestmark = [pytest.mark.weights, pytest.mark.alone]


TEN = """
import gc, json, threading
from pathlib import Path
import psutil, rung
from rung.tiers.llama import LlamaTier

def workers():
    children = psutil.Process().children()
    return {it.pid for it in children if "rung.tiers.llama.worker" in " ".join(it.cmdline())}

held = []
for number in range(10):
    pair = [rung.Ladder(LlamaTier(Path(MODEL), context=512)) for _ in range(2)]
    asked = [threading.Thread(target=it.run, args=("Well?", ["yes", "no"])) for it in pair]
    for thread in asked: thread.start()
    for thread in asked: thread.join()
    said = {it.rungs[0].tier.worker_pid for it in pair}
    assert len(said) == 1 and workers() == said, (said, workers())
    for it in pair: it.close()
    assert not workers(), workers()
    gc.collect()
    held.append(psutil.Process().memory_info().rss)
print(json.dumps(held))
"""


@pytest.fixture
def model(weights):
    return weights("smollm2-135m")


@pytest.mark.proof
def test_pairs_of_ladders_on_one_file_have_one_worker_and_leave_none(script):
    """Ten times two. The first two pairs bring what is imported late and the threads' shares of the allocator."""
    program = script(TEN)
    held = json.loads(program.stdout.readline())
    assert len(held) == 10
    assert held[-1] < 1.05 * held[1], held


def test_closing_one_ladder_ends_its_own_calls_and_leaves_the_others_alone(model):
    one, other = LlamaTier(model, name="one", context=2048), LlamaTier(model, name="other", context=2048)
    other.warm()
    streams = {tier: tier.stream(call("Count to a thousand.", max_tokens=40)) for tier in (one, other)}
    for stream in streams.values():
        while not next(stream).text:
            pass
    pid = one.worker_pid
    one.close()
    with pytest.raises(rung.TierUnavailable, match="the worker of 'one' was closed"):
        list(streams[one])
    assert text(list(streams[other]))
    assert (one.worker_pid, other.worker_pid) == (None, pid)
    other.close()
    assert gone(pid)


def test_each_is_told_of_its_own_tier_when_the_worker_dies(model):
    one, other = LlamaTier(model, name="one", context=512), LlamaTier(model, name="other", context=512)
    one.warm()
    stream = other.stream(call("Count to a thousand.", max_tokens=40))
    while not next(stream).text:
        pass
    psutil.Process(one.worker_pid).kill()
    with pytest.raises(rung.TierCrashed, match="the worker of 'other' was killed by SIGKILL"):
        list(stream)
    assert text(list(one.stream(call(max_tokens=4))))
    assert text(list(other.stream(call(max_tokens=4))))
    assert one.worker_pid == other.worker_pid
    one.close()
    other.close()


def test_other_settings_and_another_file_of_the_same_name_get_a_worker_of_their_own(model, tmp_path):
    """A worker that was started with one context can't serve another, nor other weights than it has loaded."""
    file = tmp_path / "m.gguf"
    shutil.copy2(model, file)
    tiers = [LlamaTier(file, context=512), LlamaTier(file, context=1024), LlamaTier(file, context=512)]
    tiers[0].warm()
    tiers[1].warm()
    file.unlink()
    shutil.copyfile(model, file)
    tiers[2].warm()
    pids = {it.worker_pid for it in tiers}
    assert len(pids) == 3
    for tier in tiers:
        tier.close()
    assert all(map(gone, pids))


def test_a_tier_that_is_forgotten_gives_its_worker_back(model):
    one, other = LlamaTier(model, context=512), LlamaTier(model, context=512)
    one.warm()
    other.warm()
    pid = other.worker_pid
    del one
    gc.collect()
    assert not gone(pid, within=0.5)
    del other
    gc.collect()
    assert gone(pid)
