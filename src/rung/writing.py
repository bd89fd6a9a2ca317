"""Writing to disk: whole, durably, and readable by this user alone."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import IO, Any

_OWNER_FILE, _OWNER_FOLDER = 0o600, 0o700


def write_whole(path: Path, content: bytes, *, private: bool = True) -> None:
    """Replace a small file at once. A reader sees the old or the new content, even after a power cut.

    Args:
        path: the file. Missing folders are made.
        content: the whole content.
        private: whether only this user may read the file and enter the folders that are made for it. A file in
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
    """Make a folder, and missing ones above it, for this user alone. A folder that exists is left as it is.

    Raises:
        OSError: a folder can't be made.
    """
    try:
        path.mkdir(mode=_OWNER_FOLDER, exist_ok=True)
    except FileNotFoundError:
        private_folder(path.parent)
        path.mkdir(mode=_OWNER_FOLDER, exist_ok=True)


def open_private(path: Path, mode: str) -> IO[Any]:
    """Open a file for writing. If it is new, only this user may read it.

    Args:
        path: the file. Its folder must exist.
        mode: as `open` takes it.

    Raises:
        OSError: it can't be opened.
    """
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, _OWNER_FILE))


def rename(source: Path, target: Path) -> None:
    """Give a finished file its name, at once and durably."""
    private_folder(target.parent)
    source.replace(target)
    _sync_folder(target.parent)


def unlink(path: Path) -> None:
    """Remove a file, if it is there, durably."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    _sync_folder(path.parent)


def write_all(fd: int, content: bytes) -> None:
    """Write everything, however many calls the system takes for it."""
    while content:
        content = content[os.write(fd, content) :]


def sync(fd: int) -> None:
    """Make sure that what was written is on the disk, if the file system can tell."""
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
