"""Reading files that somebody named: a regular file, of bounded size, without waiting for anything."""

from __future__ import annotations

import os
import stat
from typing import NoReturn

from rung.errors import ConfigError

_CHUNK = 1 << 20
"""Bytes that are read at once: a file that claims to be small gets no more memory than it fills."""

_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"))


def read_bounded(path: str | os.PathLike[str], limit: int, what: str) -> bytes:
    """The bytes of a regular file that is not larger than `limit`.

    Pipes, devices and folders are refused: reading one can wait for ever, never end, or change something.

    Args:
        path: of the file.
        limit: most that it may hold, in bytes.
        what: the file is for, as errors name it: "chat template".

    Raises:
        ConfigError: it can't be read, is not a regular file, or is larger.
    """
    try:
        # Opening alone can do something to a device, so what it is comes first, and once more for what was opened.
        _check(os.stat(path), path, limit, what)  # noqa: PTH116  takes what `os.open` takes
        file = os.open(path, _FLAGS)
        try:
            _check(os.fstat(file), path, limit, what)
            return _all_of(file, path, limit, what)
        finally:
            os.close(file)
    except OSError as error:
        raise ConfigError(f"the {what} {path} can't be read: {error.strerror or type(error).__name__}") from None
    except ValueError:
        # A path that no system call takes: it holds a NUL, or characters that the file system can't encode.
        raise ConfigError(f"the path of the {what} is not a valid path") from None


def _check(found: os.stat_result, path: str | os.PathLike[str], limit: int, what: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise ConfigError(f"the {what} {path} is {kind}", mend="name a regular file")
    if found.st_size > limit:
        _too_large(path, limit, what)


def _all_of(file: int, path: str | os.PathLike[str], limit: int, what: str) -> bytes:
    read = bytearray()
    # Its size is no promise: files of /proc claim none, and others grow.
    while chunk := os.read(file, min(_CHUNK, limit + 1 - len(read))):
        read += chunk
        if len(read) > limit:
            _too_large(path, limit, what)
    return bytes(read)


def _too_large(path: str | os.PathLike[str], limit: int, what: str) -> NoReturn:
    raise ConfigError(f"the {what} {path} is larger than {limit:,} bytes", mend="name a smaller file")
