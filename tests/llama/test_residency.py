"""Models that leave memory and come back, and workers that reckon with each other's."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from llama.models import BIG, GIB
from rung import Ladder
from rung.errors import TierUnavailable
from rung.tiers.llama import LlamaTier
from rung.tiers.llama.devices import Device, offload
from rung.tiers.llama.fit import Fit
from rung.tiers.llama.residents import Residents
from rung.types import AttemptStarted, Shape

from .conftest import call, text

pytestmark = pytest.mark.alone  # memory that another model takes meanwhile would count

CLAIM = """
import sys, time
from pathlib import Path
from rung.tiers.llama.residents import Residents
folder, total, *on_a_gpu = sys.argv[1:]
residents = Residents(Path(folder))
with residents.planning():
    residents.claim(int(total), {"CUDA0": int(size) for size in on_a_gpu})
print("claimed", flush=True)
sys.stdin.readline()
residents.claim(int(total))
print("loaded", flush=True)
time.sleep(60)
"""


@pytest.fixture
def claims(tmp_path, monkeypatch) -> Path:
    """A folder of claims that no other test's worker uses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "rung" / "workers"


@pytest.fixture
def claim(claims):
    """Starts a process that claims memory and never takes it."""
    started = []

    def begin(*sizes: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(claims), *map(str, sizes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "claimed\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_memory_that_another_worker_has_claimed_and_not_yet_taken_is_not_free(claims, claim):
    before = Residents(claims).memory()
    claim(8 << 30)
    after = Residents(claims).memory()
    # the rest of the machine goes on meanwhile
    assert before.available - after.available > 7 << 30
    assert "other models of rung" in after.limited_by


@pytest.mark.slow
def test_a_claim_ends_with_its_process(claims, claim):
    process = claim(1 << 50)
    assert Residents(claims).memory().available == 0
    process.kill()
    process.wait()
    assert Residents(claims).memory().available > 0
    assert not list(claims.glob("*.json"))


@pytest.mark.slow
def test_two_models_that_do_not_fit_on_a_gpu_together_are_not_both_put_there(claims, claim):
    card = Device("CUDA0", "NVIDIA GeForce RTX 3060", "gpu", 11 * GIB, 12 * GIB)
    fit = Fit(BIG, slots=4)
    alone = offload(fit, 4096, Residents(claims).devices([card]), None)
    assert alone.layers == BIG.layers + 1

    loading = claim(1 << 20, 11 * GIB - alone.takes["CUDA0"])
    beside = offload(fit, 4096, Residents(claims).devices([card]), None)
    assert beside.layers < alone.layers
    assert "the others on the CPU" in beside.note

    # now the driver itself says what is gone
    print(file=loading.stdin, flush=True)
    assert loading.stdout.readline() == "loaded\n"
    assert Residents(claims).devices([card]) == (card,)


@pytest.mark.slow
def test_a_claim_on_one_gpu_leaves_the_others_free(claims, claim):
    cards = [Device(f"CUDA{n}", "NVIDIA GeForce RTX 3060", "gpu", 11 * GIB, 12 * GIB) for n in range(2)]
    claim(1 << 20, 8 * GIB)
    left = Residents(claims).devices(cards)
    assert [card.free for card in left] == [3 * GIB, 11 * GIB]
    # so the second takes the larger share, and is claimed so
    where = offload(Fit(BIG, slots=4), 4096, left, None)
    assert where.shares == pytest.approx((3 / 14, 11 / 14))
    assert where.takes["CUDA0"] < where.takes["CUDA1"]


def test_what_a_worker_has_taken_counts_once(claims):
    residents = Residents(claims)
    residents.claim(1)
    # 1 byte is less than what this process holds already, and its own claim is none of the others'
    assert residents.memory().available > 0


def test_a_claim_that_can_not_be_read_is_swept_away_and_one_that_can_not_be_written_is_left_out(claims, tmp_path):
    claims.mkdir(parents=True)
    for name, content in (
        ("1.json", "{"),
        ("x.json", "{}"),
        (f"{2**22 - 1}.json", '{"total": 1, "devices": {}, "started": 0}'),
    ):
        (claims / name).write_text(content)
    assert Residents(claims).memory().available > 0
    assert not list(claims.glob("*.json"))
    blocked = tmp_path / "file"
    blocked.write_text("")
    nowhere = Residents(blocked / "workers")
    with nowhere.planning():
        nowhere.claim(1 << 50)
    assert nowhere.memory().available > 0


@pytest.mark.slow
def test_a_stopped_process_that_holds_the_lock_does_not_stop_the_others(claims, monkeypatch):
    monkeypatch.setattr("rung.tiers.llama.residents._PATIENCE", 0.3)
    entered = threading.Event()
    with Residents(claims).planning():

        def enter() -> None:
            with Residents(claims).planning():
                entered.set()

        thread = threading.Thread(target=enter)
        thread.start()
        assert entered.wait(20)
        thread.join()


@pytest.mark.cpu
@pytest.mark.weights
def test_a_model_is_refused_the_memory_that_another_worker_is_about_to_take(claims, claim, make):
    process = claim(psutil.virtual_memory().available)
    tier = make()
    assert not tier.fits()
    with pytest.raises(TierUnavailable, match="beside other models of rung"):
        list(tier.stream(call()))
    process.kill()
    process.wait()
    assert tier.fits()
    assert text(list(tier.stream(call())))


@pytest.mark.weights
def test_a_loaded_worker_leaves_a_claim_and_an_unloaded_one_none(claims, make):
    tier = make()
    tier.warm()
    assert [path.stem for path in claims.glob("*.json")] == [str(tier.worker_pid)]
    tier.unload()
    assert Residents(claims).memory().available > 0
    assert not list(claims.glob("*.json"))


@pytest.mark.weights
def test_an_unloaded_model_gives_the_same_answer_when_it_comes_back(make):
    tier = make()
    before = text(list(tier.stream(call())))
    first = tier.worker_pid
    tier.unload()
    assert not tier.loaded
    assert not psutil.pid_exists(first)
    assert text(list(tier.stream(call()))) == before
    assert tier.worker_pid != first


@pytest.mark.weights
def test_a_model_is_not_unloaded_under_a_call(make):
    tier = make()
    with closing(tier.stream(call(max_tokens=64))) as stream:
        next(stream)
        assert tier.idle is None
        tier.unload()
        assert tier.loaded
        assert len(list(stream)) > 1
    assert tier.idle is not None


@pytest.mark.weights
def test_calls_from_many_threads_survive_a_model_that_is_unloaded_again_and_again(make):
    tier = make()
    wrong: list[object] = []
    over = threading.Event()

    def ask(asker: int) -> None:
        for n in range(6):
            # a text of its own, which no rounding of calls that are served together can change
            own = {"const": f"call {n} of asker {asker}"}
            try:
                said: object = json.loads(text(list(tier.stream(call(shape=Shape("json", own))))))
            except Exception as error:  # noqa: BLE001  whatever it is, no call may see it
                said = error
            if said != own["const"]:
                wrong.append(said)

    def unload() -> None:
        while not over.wait(0.05):
            tier.unload()

    sweeper = threading.Thread(target=unload)
    sweeper.start()
    askers = [threading.Thread(target=ask, args=(asker,)) for asker in range(3)]
    for thread in askers:
        thread.start()
    for thread in askers:
        thread.join(300)
    over.set()
    sweeper.join()
    assert wrong == []


@pytest.mark.weights
def test_the_bigger_model_of_a_ladder_is_loaded_during_a_repair_and_unloaded_when_idle(weights):
    small = LlamaTier(weights("smollm2-135m"), name="small")
    mid = LlamaTier(weights("smollm2-135m"), name="mid")

    def wrong_on_small(value: str, context) -> bool:
        return context.tier == "mid"

    with Ladder(small, mid, unload_after=3.0) as ladder:
        started = [
            (event.tier, mid.loaded)
            for event in ladder.stream("Name a colour.", ["red", "blue"], validators=[wrong_on_small])
            if isinstance(event, AttemptStarted)
        ]
        assert started[0] == ("small", False)
        assert started[1:] == [("small", True), ("mid", True)]
        wait_until(lambda: not mid.loaded)
        assert small.loaded


@pytest.mark.cpu
@pytest.mark.weights
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_holds_no_page_of_the_file_that_it_does_not_read_again(weights):
    """The rows of words that no prompt holds are a fifth of this file, and llama.cpp has read them all once."""
    path = weights("qwen2.5-coder-0.5b")
    tier = LlamaTier(path, context=1024)
    try:
        assert text(tier.stream(call()))
        mapped = [m for m in psutil.Process(tier.worker_pid).memory_maps() if Path(m.path) == path.resolve()]
        assert 0 < sum(m.rss for m in mapped) < 0.85 * sum(m.size for m in mapped)
    finally:
        tier.close()
