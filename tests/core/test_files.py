"""A file that somebody named is a regular one of bounded size, and reading it waits for nothing."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from rung.errors import ConfigError
from rung.files import full, read_bounded


def refused(path, limit=100) -> str:
    began = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        read_bounded(path, limit, "chat template")
    assert time.monotonic() - began < 5
    assert "chat template" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_a_file_up_to_the_limit_is_read_whole(tmp_path, size):
    (tmp_path / "f").write_bytes(b"x" * size)
    assert read_bounded(tmp_path / "f", 100, "file") == b"x" * size
    assert read_bounded(str(tmp_path / "f"), 100, "file") == b"x" * size


def test_a_link_leads_to_its_file(tmp_path):
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "link").symlink_to("f")
    assert read_bounded(tmp_path / "link", 100, "file") == b"x"


def test_a_larger_file_is_refused_and_its_bytes_are_not_read(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"x" * 101)
    assert "larger than the 100 bytes" in refused(path)
    try:
        os.truncate(path, 1 << 40)
    except OSError:
        pytest.skip("this file system has no file of 1 TiB")
    assert "larger than the 100 bytes" in refused(path)


def test_a_file_that_is_not_there_or_not_ours_is_named(tmp_path):
    assert str(tmp_path / "none") in refused(tmp_path / "none")
    assert "a folder" in refused(tmp_path)
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path / "f" / "below")
    refused(tmp_path / "loop")
    refused(tmp_path / ("x" * 5000))
    refused("nul\0byte")
    refused("")


@pytest.mark.skipif(os.name == "nt", reason="POSIX kinds of files")
def test_pipes_devices_and_sockets_are_not_waited_for(tmp_path):
    import socket

    os.mkfifo(tmp_path / "fifo")
    refused(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        refused(tmp_path / "socket")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in ("/dev/zero", "/dev/null", "/dev/tty", tmp_path / "link"):
        refused(path)


@pytest.mark.skipif(os.name == "nt", reason="POSIX kinds of files")
def test_a_pipe_that_somebody_writes_to_is_refused_too(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    writer = threading.Thread(target=lambda: (tmp_path / "fifo").write_bytes(b"x"), daemon=True)
    writer.start()
    refused(tmp_path / "fifo")
    assert (tmp_path / "fifo").read_bytes() == b"x", "nothing was taken from it"
    writer.join(5)


def test_a_file_that_says_it_is_empty_is_read_as_far_as_the_limit():
    if not Path("/proc/self/maps").exists():
        pytest.skip("reads /proc")
    assert "larger" in refused("/proc/self/maps")
    assert read_bounded("/proc/self/comm", 100, "file")


@pytest.mark.parametrize("path", ["~\0", "~/\0", "a\0b", "~nobody-of-this-name/x"])
def test_a_path_that_cant_be_one_is_a_sentence_before_it_is_used(path):
    with pytest.raises(
        ConfigError, match=r"^the ledger .* can't be read: (this can't be a path|there is no such home)"
    ):
        full(path, "the ledger")


def test_a_path_is_repeated_in_a_length_that_can_be_read():
    assert len(refused("x" * 100_000)) < 1500
