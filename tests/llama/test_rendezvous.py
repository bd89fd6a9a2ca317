"""Who may meet a worker that lingers: a process of the same user, in a folder of that user alone, with the same key."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from rung.files import fingerprint
from rung.tiers.llama import frames, rendezvous, visits
from rung.tiers.llama.host.channel import SocketChannel
from rung.tiers.llama.host.lingering import key_of, take_over
from rung.tiers.llama.visits import NotAVisit, Visit, dismiss, lingering
from rung.tiers.llama.worker import lingering as staying
from rung.tiers.llama.worker import system
from rung.tiers.llama.worker.lingering import MadeOf, Vigil

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no worker lingers on Windows")

KEY = "0123456789abcdef" * 4
LOAD = frames.LoadModel("/models/small.gguf", context=4096)


@pytest.fixture
def runtime(monkeypatch) -> Iterator[Path]:
    """A runtime folder whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="rung-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)


class Kept:
    """A worker without a model: what keeps it, in this process."""

    def __init__(self, model: Path, key: str = KEY) -> None:
        self.ended = threading.Event()
        self.threads: list[threading.Thread] = []
        self.vigil = Vigil(key, "small", MadeOf(str(model)), self._spawn)

    def _spawn(self, work, name) -> None:
        def until_the_end() -> None:
            with suppress(SystemExit):
                work()

        self.threads.append(threading.Thread(target=until_the_end, name=name, daemon=True))
        self.threads[-1].start()

    def greet(self, protocol: int = frames.PROTOCOL) -> None:
        """Take the next host, and say hello to it."""
        sock, errors = self.vigil.next_host()
        os.close(errors)
        with sock, sock.makefile("wb") as sink:
            frames.write(sink, frames.Hello(protocol, os.getpid()))


@pytest.fixture
def keep(runtime, tmp_path, monkeypatch) -> Iterator:
    """Makes workers without a model that end with the test."""
    kept: list[Kept] = []
    model = tmp_path / "small.gguf"
    model.write_bytes(b"weights")

    def end(vigil) -> None:
        vigil._hide()
        next(it for it in kept if it.vigil is vigil).ended.set()
        raise SystemExit

    def new(seconds: float = 60.0, **how) -> Kept:
        kept.append(Kept(model, **how))
        kept[-1].vigil.begin(seconds)
        return kept[-1]

    monkeypatch.setattr(Vigil, "end", end)
    monkeypatch.setattr(system, "end_within", lambda seconds: None)
    monkeypatch.setattr(staying, "_LOOK", 0.01)
    yield new
    for it in kept:
        it.vigil._leaves = True
        with suppress(SystemExit):
            it.vigil.begin(0.0)
        it.threads[0].join(5)
        it.vigil._listener.close()


def test_a_host_with_the_same_key_takes_a_worker_over(keep):
    worker = keep()
    threading.Thread(target=worker.greet).start()
    channel = take_over(KEY)
    assert isinstance(channel, SocketChannel)
    assert (channel.pid, channel.fresh) == (os.getpid(), False)
    channel.errors.close()
    channel.source.close()
    channel.let_go()


def test_a_host_with_another_key_is_turned_away_even_at_the_same_socket(keep):
    worker = keep()
    other = KEY[:-1] + "0"
    assert rendezvous.socket_of(other) == rendezvous.socket_of(KEY)
    assert take_over(other) is None
    assert not worker.ended.is_set()


def test_a_visitor_that_is_answered_before_its_sending_returns_has_been_heard(monkeypatch):
    real, (here, there) = socket.send_fds, socket.socketpair()

    def heard_and_closed(*what) -> int:
        sent = real(*what)
        there.close()
        return sent

    monkeypatch.setattr(socket, "send_fds", heard_and_closed)
    with here:
        visits.send(here, Visit("take", KEY), (here.fileno(),))


def test_a_worker_that_speaks_another_protocol_is_not_used(keep):
    worker = keep()
    threading.Thread(target=worker.greet, args=(frames.PROTOCOL + 1,)).start()
    assert take_over(KEY) is None


def test_a_worker_that_has_a_host_is_not_given_to_another(keep):
    worker = keep()
    with rendezvous.connect(rendezvous.socket_of(KEY)) as first:
        reading, writing = os.pipe()
        visits.send(first, Visit("take", KEY), (writing,))
        sock, errors = worker.vigil.next_host()
        assert take_over(KEY) is None
        (told,) = lingering()
        assert told.left is None
        for descriptor in (reading, writing, errors):
            os.close(descriptor)
        sock.close()


@pytest.mark.parametrize(
    "change",
    [
        {"load": replace(LOAD, context=8192)},
        {"load": replace(LOAD, path="/models/other.gguf")},
        {"load": replace(LOAD, chat_template="{{ messages }}")},
        {"load": replace(LOAD, gpu_layers=0)},
        {"python": "/usr/bin/another"},
        {"file": (1, 2, 3, 5)},
    ],
    ids=["context", "model", "template", "GPU", "interpreter", "file"],
)
def test_what_a_worker_is_made_of_is_in_its_key(change):
    same = {"load": LOAD, "python": None, "file": (1, 2, 3, 4)}
    assert key_of(**same) == key_of(**same)
    assert key_of(**{**same, **change}) != key_of(**same)


def test_another_version_of_rung_has_another_key(monkeypatch):
    before = key_of(LOAD, None, None)
    monkeypatch.setattr("rung.__version__", "0.0.0")
    assert key_of(LOAD, None, None) != before


def test_the_variables_of_a_worker_are_in_its_key_and_the_folder_of_a_command_is_not(monkeypatch):
    before = key_of(LOAD, None, None)
    monkeypatch.setenv("PWD", "/elsewhere")
    monkeypatch.setenv("OPENAI_API_KEY", "no worker has it")
    assert key_of(LOAD, None, None) == before
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    assert key_of(LOAD, None, None) != before


def test_a_file_that_is_replaced_is_another_file(tmp_path):
    path = tmp_path / "model.gguf"
    assert fingerprint(str(path)) is None
    path.write_bytes(b"one")
    first = fingerprint(str(path))
    (tmp_path / "new").write_bytes(b"two")
    (tmp_path / "new").replace(path)
    assert fingerprint(str(path)) != first


def test_only_its_user_may_enter_the_folder_and_use_the_socket(keep, runtime):
    keep()
    assert rendezvous.folder() == runtime / "rung"
    assert (runtime / "rung").stat().st_mode & 0o777 == 0o700
    assert rendezvous.socket_of(KEY).stat().st_mode & 0o777 == 0o600


def test_without_a_runtime_folder_a_private_one_is_made(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = rendezvous.own_folder()
    assert made == tmp_path / f"rung-{os.geteuid()}"
    assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777, 0o701], ids=oct)
def test_a_folder_that_others_may_enter_is_not_used(runtime, mode):
    (runtime / "rung").mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(rendezvous.socket_of(KEY)))
        listener.listen()
        (runtime / "rung").chmod(mode)
        with pytest.raises(PermissionError):
            rendezvous.own_folder()
        with pytest.raises(PermissionError):
            rendezvous.connect(rendezvous.socket_of(KEY))
        assert take_over(KEY) is None
        assert lingering() == ()


def test_a_link_to_a_folder_is_not_used(runtime, tmp_path):
    (tmp_path / "theirs").mkdir(0o700)
    (runtime / "rung").symlink_to(tmp_path / "theirs")
    with pytest.raises(PermissionError):
        rendezvous.own_folder()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_used(runtime):
    (runtime / "rung").mkdir(0o700)
    os.chown(runtime / "rung", 65534, 65534)
    with pytest.raises(PermissionError):
        rendezvous.own_folder()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can be another user")
def test_a_socket_on_which_another_user_listens_is_not_spoken_to(runtime):
    rendezvous.own_folder()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(rendezvous.socket_of(KEY)))
        script = f"import socket; s = socket.socket(fileno={bound.fileno()}); s.listen(); print(flush=True); input()"
        with subprocess.Popen(
            ["python3", "-I", "-c", script],
            pass_fds=[bound.fileno()],
            user=65534,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as listener:
            listener.stdout.readline()
            with pytest.raises(PermissionError, match="another user"):
                rendezvous.connect(rendezvous.socket_of(KEY))
            assert take_over(KEY) is None
            listener.communicate(b"\n")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can be another user")
def test_a_visitor_of_another_user_is_recognized():
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0rung-test-{os.getpid()}")  # it has no folder that would keep others out
        listener.listen()
        name = f"\\0rung-test-{os.getpid()}"
        script = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect('{name}'); input()"
        with subprocess.Popen(["python3", "-I", "-c", script], user=65534, stdin=subprocess.PIPE) as visitor:
            sock, _ = listener.accept()
            with sock, pytest.raises(PermissionError, match="another user"):
                rendezvous.peer(sock)
            visitor.communicate(b"\n")


def test_the_other_end_is_known_by_user_and_process(keep):
    keep()
    with rendezvous.connect(rendezvous.socket_of(KEY)) as sock:
        found = rendezvous.peer(sock)
    assert found.user == os.geteuid()
    assert found.pid in (os.getpid(), None)


def test_a_visitor_of_another_user_gets_no_answer(keep, monkeypatch):
    ours, theirs = (rendezvous.Peer(os.geteuid() + more, None) for more in (0, 1))
    here = threading.current_thread()
    monkeypatch.setattr(rendezvous, "_peer", lambda _: ours if threading.current_thread() is here else theirs)
    worker = keep()
    with rendezvous.connect(rendezvous.socket_of(KEY)) as sock, suppress(ConnectionResetError, BrokenPipeError):
        visits.send(sock, Visit("leave"))
        assert sock.recv(1) == b""
    assert not worker.ended.is_set()


def test_a_socket_that_nobody_listens_at_is_removed_by_the_next_worker(keep, runtime):
    rendezvous.own_folder()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(rendezvous.socket_of(KEY)))
    assert take_over(KEY) is None
    assert lingering() == ()
    keep()
    assert [it.model for it in lingering()] == ["small"]


def test_a_second_worker_with_the_same_key_does_not_linger(keep):
    first = keep()
    with pytest.raises(OSError, match="in use"):
        keep()
    assert not first.ended.is_set()
    keep(key=KEY[::-1])
    assert len(lingering()) == 2


@pytest.mark.parametrize(
    "said",
    [b"", b"\n", b"[]\n", b'{"wish": "obey", "key": ""}\n', b'{"wish": "take", "key": 5}\n', b"x" * 20_000],
    ids=["nothing", "empty", "a list", "another wish", "no key", "too long"],
)
def test_what_is_not_a_visit_is_ignored(keep, said):
    worker = keep()
    with rendezvous.connect(rendezvous.socket_of(KEY)) as sock, suppress(OSError):
        sock.sendall(said)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert len(lingering()) == 1
    assert not worker.ended.is_set()


def test_a_worker_tells_what_it_is_and_leaves_when_told(keep):
    worker = keep(seconds=60.0)
    (told,) = lingering()
    assert (told.pid, told.model, Path(told.path).name, told.leaves) == (os.getpid(), "small", "small.gguf", False)
    assert told.left is not None
    assert 50 < told.left <= 60
    (answer,) = [visits._ask(rendezvous.socket_of(KEY), "leave")]
    assert answer is not None
    assert answer.leaves
    assert worker.ended.wait(10)
    assert lingering() == ()


def test_a_worker_that_a_command_has_leaves_behind_it(keep):
    worker = keep()
    with rendezvous.connect(rendezvous.socket_of(KEY)) as host:
        reading, writing = os.pipe()
        visits.send(host, Visit("take", KEY), (writing,))
        sock, errors = worker.vigil.next_host()
        assert dismiss(idle=True) == ()
        (told,) = dismiss()
        assert told.left is None
        assert not worker.ended.is_set()
        assert lingering() == ()  # nobody finds it any more
        with pytest.raises(SystemExit):
            worker.vigil.begin(60.0)
        assert worker.ended.is_set()
        for descriptor in (reading, writing, errors):
            os.close(descriptor)
        sock.close()


def test_a_worker_ends_when_it_was_idle_for_its_time(keep):
    assert keep(seconds=0.05).ended.wait(10)


def test_a_worker_ends_when_its_folder_is_gone(keep, runtime):
    worker = keep()
    shutil.rmtree(runtime / "rung")
    assert worker.ended.wait(10)


def test_a_worker_ends_when_its_model_changes(keep, tmp_path):
    worker = keep()
    (tmp_path / "small.gguf").write_bytes(b"other weights")
    assert worker.ended.wait(10)


def test_a_worker_ends_when_memory_is_short(keep, monkeypatch):
    worker = keep()
    assert not worker.ended.wait(0.05)
    monkeypatch.setattr(staying, "strained", lambda memory: True)
    assert worker.ended.wait(10)


def test_a_worker_whose_libraries_changed_is_not_taken_over(keep, monkeypatch):
    worker = keep()
    first = worker.vigil._made_of._first
    changed = next(place for place in first if place.endswith("worker/lingering.py"))
    first[changed] = (0, 0, 0, 0)
    assert take_over(KEY) is None
    assert worker.ended.wait(10)


def test_a_line_brings_at_most_one_descriptor_and_nothing_is_read_behind_it():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        visits.send(ours, Visit("look"))
        assert visits.receive(theirs) == (Visit("look"), ())
        ours.sendall(b"nonsense\n")
        with pytest.raises(NotAVisit):
            visits.receive(theirs)


@pytest.mark.slow
def test_the_kernel_ends_a_worker_that_lets_none_of_its_threads_run():
    code = (
        "import ctypes; from rung.tiers.llama.worker.system import end_within, ignore_interrupts; "
        "ignore_interrupts(); end_within(1); ctypes.PyDLL(None).sleep(60)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGALRM


@pytest.mark.slow
@pytest.mark.parametrize("survives", [True, False], ids=["released", "not released"])
def test_only_a_worker_that_was_released_survives_its_host(survives):
    worker = (
        "import os, sys, time; from rung.tiers.llama.worker.system import die_with; "
        f"survive = die_with(os.getppid(), every=0.05); {'survive()' if survives else ''}\n"
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    host = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {worker!r}]); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", host], stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        process.kill()
    import psutil

    child = psutil.Process(pid) if psutil.pid_exists(pid) else None
    try:
        if survives:
            time.sleep(0.3)
            assert child is not None
            assert child.status() != psutil.STATUS_ZOMBIE
        elif child is not None:
            assert child.wait(10) is None
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
