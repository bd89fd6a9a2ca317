"""Writing to disk, and one at a time among processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rung.errors import Cancelled
from rung.limits import Cancel
from rung.locking import locked
from rung.writing import open_private, private_folder, write_whole

HOLDER = """
import sys, time
from pathlib import Path
from rung.locking import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def no_umask():
    old = os.umask(0)
    yield
    os.umask(old)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    child = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.communicate()


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
@pytest.mark.usefixtures("no_umask")
def test_what_is_private_is_so_whatever_the_umask(tmp_path):
    write_whole(tmp_path / "a" / "b" / "record.json", b"{}")
    private_folder(tmp_path / "c" / "d")
    with open_private(tmp_path / "c" / "d" / "part", "wb") as file:
        file.write(b"x")
    with locked(tmp_path / "c" / "lock"):
        pass
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (len(folders), len(files)) == (4, 3)
    assert {mode(path) for path in folders} == {0o700}
    assert {mode(path) for path in files} == {0o600}


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_file_of_a_project_keeps_the_usual_permissions(tmp_path):
    (tmp_path / "own").write_text("x")
    write_whole(tmp_path / "rung.lock", b"x", private=False)
    assert mode(tmp_path / "rung.lock") == mode(tmp_path / "own")


def test_a_folder_that_is_there_keeps_its_permissions(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    before = mode(shared)
    write_whole(shared / "record", b"x")
    assert mode(shared) == before


def test_many_writers_of_one_file_leave_one_whole_content_and_nothing_else(tmp_path):
    path, contents = tmp_path / "record", [bytes([65 + n]) * 20_000 for n in range(8)]
    threads = [threading.Thread(target=lambda c=c: [write_whole(path, c) for _ in range(10)]) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert [found.name for found in tmp_path.iterdir()] == ["record"]


def test_what_can_not_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "record").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "record", b"x")
    assert [found.name for found in tmp_path.iterdir()] == ["record"]


@pytest.mark.slow
def test_a_lock_is_held_by_one_process_and_waited_for(holder, tmp_path):
    told, held = [], threading.Event()

    def take():
        with locked(tmp_path / "lock", waiting=lambda: told.append("waiting")):
            held.set()

    thread = threading.Thread(target=take)
    thread.start()
    while not told:
        time.sleep(0.01)
    assert not held.is_set()
    holder.kill()  # the system gives the lock back, however its holder ends
    thread.join(30)
    assert held.is_set()
    assert told == ["waiting"]


def test_two_threads_of_one_process_take_turns(tmp_path):
    inside, most = [], []

    def take():
        for _ in range(5):
            with locked(tmp_path / "lock"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}


@pytest.mark.slow
@pytest.mark.usefixtures("holder")
def test_waiting_for_a_lock_ends_on_cancel_and_when_patience_does(tmp_path):
    cancel = Cancel()
    with pytest.raises(Cancelled), locked(tmp_path / "lock", cancel=cancel, waiting=cancel.set):
        pass
    with pytest.raises(TimeoutError), locked(tmp_path / "lock", patience=0.2):
        pass


def test_the_file_of_a_lock_stays(tmp_path: Path):
    with locked(tmp_path / "lock"):
        inode = (tmp_path / "lock").stat().st_ino
    with locked(tmp_path / "lock"):
        assert (tmp_path / "lock").stat().st_ino == inode
