"""Reading a file that somebody named: it is an ordinary file of bounded size, or the result is an error in a sentence.

The path in a configuration, an option or a variable may be anything: a pipe that nobody writes to, a device without an
end, a folder, a file of a terabyte. None of these may hang a command or fill the memory.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from rung.errors import ConfigError

Fingerprint = tuple[int, int, int, int]
"""Device, inode, bytes, and time of the last change in nanoseconds."""

_CHUNK = 1 << 20
_TRIES = 3
"""How often a file is read if somebody writes to it meanwhile. An editor has finished a small file by then."""
_LONGEST_SHOWN = 1024
"""Characters of a path that a message repeats. Few systems have longer paths."""
_QUIET = (
    getattr(os, "O_NONBLOCK", 0)  # neither opening nor reading waits, whatever has taken the file's place
    | getattr(os, "O_NOCTTY", 0)  # a terminal doesn't become this process's own
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOINHERIT", 0)
    | getattr(os, "O_BINARY", 0)
)
_KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFIFO: "it is a pipe, which may never end",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device, which may never end",
    stat.S_IFBLK: "it is a device",
}


class _Changed(Exception):
    """Somebody wrote to the file while it was read."""


def read_bounded(path: str | os.PathLike[str], limit: int, what: str) -> bytes:
    """The content of a file that a person, a configuration or the environment named. It never waits for a writer.

    It may still wait for a file system that doesn't answer, such as a lost network share. Whoever has a deadline calls
    it through `rung.threads.run`.

    Args:
        path: path of an ordinary file. Links to one are followed.
        limit: largest size in bytes that makes sense for the file. No more than that is read.
        what: what the file is, for the error: `the schema`.

    Raises:
        ConfigError: it is missing, larger, not an ordinary file or not readable, or somebody keeps writing to it.
    """
    try:
        for _ in range(_TRIES):
            try:
                return _read(path, limit, what)
            except _Changed:
                continue
    except (OSError, ValueError) as error:
        raise unreadable(path, what, error) from None
    raise ConfigError(
        f"{what} {named(path)} can't be read: it changes while it is read", hint="try again when nobody writes to it"
    )


def opened(path: str | os.PathLike[str], what: str) -> BufferedReader:
    """A file that somebody named, opened for reading. It may have any size, because it is read piece by piece.

    Args:
        path: path of an ordinary file. Links to one are followed.
        what: what the file is, for the error: `the data`.

    Raises:
        ConfigError: it is missing, not an ordinary file or not readable.
    """
    try:
        _demand_ordinary(path, os.stat(path), what)  # noqa: PTH116
        file = os.fdopen(os.open(path, os.O_RDONLY | _QUIET), "rb")
        try:
            _demand_ordinary(path, os.fstat(file.fileno()), what)
        except BaseException:
            file.close()
            raise
    except (OSError, ValueError) as error:
        raise unreadable(path, what, error) from None
    return file


def unreadable(path: str | os.PathLike[str], what: str, error: OSError | ValueError) -> ConfigError:
    """The error for a file that can't be opened, looked at or read.

    Args:
        path: path of the file.
        what: what the file is: `the schema`.
        error: error of the system or of Python.
    """
    if not isinstance(error, OSError):  # a NUL, or a character that the file system's encoding doesn't have
        why = "this can't be a path"
    elif error.errno == errno.ENOENT and Path(path).is_symlink():
        why = "it is a link to a file that isn't there"
    elif error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
        why = "it has nothing to read now, and may never have"
    elif error.errno == errno.ENXIO:
        why = _KINDS[stat.S_IFSOCK]
    else:
        why = (error.strerror or str(error)).lower()
    return ConfigError(f"{what} {named(path)} can't be read: {why}", hint="check the path and its permissions")


def demand_size(path: str | os.PathLike[str], size: int, limit: int, what: str) -> None:
    """Refuse something that is larger than makes sense for it.

    Args:
        path: path of the file, or name of the source.
        size: size in bytes.
        limit: largest size in bytes.
        what: what it is: `the schema`.

    Raises:
        ConfigError: it is larger.
    """
    if size > limit:
        raise ConfigError(
            f"{what} {named(path)} is larger than the {limit:,} bytes that are read of such a file",
            hint="check that it is the right file",
        )


def named(path: str | os.PathLike[str]) -> str:
    """A path as messages show it."""
    text = os.fspath(path) or "''"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def full(path: str | os.PathLike[str], what: str) -> Path:
    """A path with `~` replaced.

    Args:
        path: path as it was written.
        what: what the file is, or the setting that names it, for the error.

    Raises:
        ConfigError: the home folder at its beginning is unknown, or no file can have this name.
    """
    try:
        whole = Path(path).expanduser()
        if "\0" in str(whole):
            raise ValueError
        return whole
    except ValueError as error:
        raise unreadable(path, what, error) from None
    except RuntimeError:
        raise ConfigError(
            f"{what} {named(path)} can't be read: there is no such home folder", hint="write the path from the root"
        ) from None


def _read(path: str | os.PathLike[str], limit: int, what: str) -> bytes:
    # Checked before it is opened, because opening some devices has effects, and again after, because it may be another
    # file by then.
    _demand_ordinary(path, os.stat(path), what)  # noqa: PTH116
    fd = os.open(path, os.O_RDONLY | _QUIET)
    try:
        before = os.fstat(fd)
        _demand_ordinary(path, before, what)
        demand_size(path, before.st_size, limit, what)
        content = bytearray()
        while piece := os.read(fd, min(_CHUNK, limit + 1 - len(content))):
            content += piece
            demand_size(path, len(content), limit, what)
        after = os.fstat(fd)
    finally:
        os.close(fd)
    # files in /proc say that their size is 0
    if (before.st_size and len(content) != before.st_size) or _state(before) != _state(after):
        raise _Changed
    return bytes(content)


def _demand_ordinary(path: str | os.PathLike[str], status: os.stat_result, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        why = _KINDS.get(stat.S_IFMT(status.st_mode), "it is not a file")
        raise ConfigError(f"{what} {named(path)} can't be read: {why}", hint="name an ordinary file")


def fingerprint(path: str | os.PathLike[str]) -> Fingerprint | None:
    """What distinguishes a file from one that replaces it, or from what is written into it; `None` if there is none.

    Args:
        path: of the file.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  a path may be a text
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _state(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns
