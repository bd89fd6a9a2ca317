"""Writing to disk: whole, to last, and for this user's eyes alone."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import IO, Any

_OWNER_FILE, _OWNER_FOLDER = 0o600, 0o700


def write_whole(path: Path, content: bytes, *, private: bool = True) -> None:
    """Replace a small file at once: a reader sees the old or the new content, also after a power cut.

    Args:
        path: the file; folders that are missing are made.
        content: all of it.
        private: whether only this user may read the file, and enter the folders that are made for it. A file of
            somebody's project gets the usual permissions.

    Raises:
        OSError: it can't be written.
    """
    if private:
        private_folder(path.parent)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_native_id()}.new")
    try:
        with open_private(fresh, "wb") if private else fresh.open("wb") as file:
            file.write(content)
            file.flush()
            sync(file.fileno())
        rename(fresh, path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def private_folder(path: Path) -> None:
    """Make a folder, and those that are missing above it, for this user alone. One that is there stays as it is.

    Raises:
        OSError: it can't be made.
    """
    try:
        path.mkdir(mode=_OWNER_FOLDER, exist_ok=True)
    except FileNotFoundError:
        private_folder(path.parent)
        path.mkdir(mode=_OWNER_FOLDER, exist_ok=True)


def open_private(path: Path, mode: str) -> IO[Any]:
    """Open a file for writing; where it is made, only this user may read it.

    Args:
        path: the file; its folder is there.
        mode: as `open` takes it.

    Raises:
        OSError: it can't be opened.
    """
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, _OWNER_FILE))


def rename(source: Path, target: Path) -> None:
    """Give a finished file its name, at once and to last."""
    private_folder(target.parent)
    source.replace(target)
    _sync_folder(target.parent)


def unlink(path: Path) -> None:
    """Take a file away, if it is there, to last."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    _sync_folder(path.parent)


def sync(fd: int) -> None:
    """See that what was written is on the disk, where the file system can tell."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _sync_folder(path: Path) -> None:
    if os.name == "posix":
        folder = os.open(path, os.O_RDONLY)
        try:
            sync(folder)
        finally:
            os.close(folder)
