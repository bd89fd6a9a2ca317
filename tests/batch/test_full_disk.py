"""The disk fills while the output is written: on a real file system of eight megabytes, in a mount namespace."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest

from batch.jobs import Answering, Forked, read, rows, run
from rung.batch import outputs
from rung.batch.manifest import JobManifest
from rung.errors import ConfigError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system in a namespace")
_NEW_MOUNTS, _NEW_USER, _PRIVATE = 0x00020000, 0x10000000, 0x00040000 | 0x4000
COUNT, SIZE = 60, 8 << 20


def mounted(folder: Path) -> None:
    """Mount a small file system, which only this process and its children see.

    Raises:
        OSError: this user may not.
    """
    libc, me = ctypes.CDLL(None, use_errno=True), os.getuid()
    if libc.unshare(_NEW_MOUNTS | (_NEW_USER if me else 0)):
        raise OSError(ctypes.get_errno(), "unshare")
    if me:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {me} 1")
    if libc.mount(b"none", b"/", None, _PRIVATE, None):
        raise OSError(ctypes.get_errno(), "mount")
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=%d" % SIZE):
        raise OSError(ctypes.get_errno(), "mount")


def may_mount(folder: Path) -> bool:
    return Forked(lambda: mounted(folder)).wait() == 0


def fill(path: Path, left: int) -> None:
    """A file that takes all the room but some bytes."""
    room = os.statvfs(path.parent)
    with path.open("wb") as out:
        out.write(b"\0" * (room.f_bavail * room.f_bsize - left))


def filled_and_emptied(folder: Path, suffix: str) -> None:
    mounted(folder)
    data, first = rows(folder / "in.jsonl", [f"q{n}" for n in range(COUNT)]), folder / "first.jsonl"
    found = run(data, first, Answering("small", lambda prompt: f"{prompt} " + os.urandom(1200).hex()))
    first.unlink()
    out, rejects = folder / f"out{suffix}", folder / "rejects.jsonl"
    with JobManifest(Path(f"{first}.job")) as manifest:
        outputs.write(manifest, out, rejects)
        before = out.read_bytes()
        fill(folder / "ballast", 64 << 10)
        with pytest.raises(ConfigError, match="no space left") as raised:
            outputs.write(manifest, out, rejects, attempts=True)
        assert "same command again" in raised.value.hint
        # the old output is whole, and nothing is left of the new one
        assert out.read_bytes() == before
        assert not list(folder.glob(".*"))
        (folder / "ballast").unlink()
        outputs.write(manifest, out, rejects, attempts=True)
    assert len(out.read_bytes()) > len(before)
    if suffix == ".jsonl":
        assert [{name: value for name, value in row.items() if name != "attempts"} for row in read(out)] == found


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_an_output_that_finds_no_room_leaves_the_old_one_and_is_whole_once_there_is_room(tmp_path, suffix):
    if not may_mount(tmp_path):
        pytest.skip("this user may not mount a file system")
    assert Forked(lambda: filled_and_emptied(tmp_path, suffix)).wait() == 0
