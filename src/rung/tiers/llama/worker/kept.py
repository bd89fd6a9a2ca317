"""What is kept on disk for the next start of a worker. All of it can be made anew, so deleting it is always safe."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from rung.writing import write_whole

_DIGEST = 32
_MOST_FILES = 16
"""Files of one kind that are kept: few people use more models."""


class KeptFile:
    """Some bytes, behind a digest of them. If they can't be read or written, that costs only time.

    Args:
        folder: where such files lie. It is made if it is missing, for this user alone.
        suffix: ending of its name, the same for all files of its kind.
        key: everything that the bytes depend on. The file is named by it.
    """

    def __init__(self, folder: Path, suffix: str, key: bytes) -> None:
        self._suffix = suffix
        self._path = folder / (hashlib.blake2b(key, digest_size=_DIGEST).hexdigest() + suffix)

    def read(self) -> memoryview | None:
        """The bytes; `None` if there is no such file, or it is damaged."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return None
        body = memoryview(content)[_DIGEST:]
        if hashlib.blake2b(body, digest_size=_DIGEST).digest() != content[:_DIGEST]:
            return None
        with suppress(OSError):
            os.utime(self._path)
        return body

    def write(self, body: bytes) -> None:
        """Keep the bytes. If there are many files of this kind, those that were used longest ago are deleted."""
        with suppress(OSError):
            write_whole(self._path, hashlib.blake2b(body, digest_size=_DIGEST).digest() + body)
            files = sorted(self._path.parent.glob("*" + self._suffix), key=lambda file: file.stat().st_mtime)
            for file in files[:-_MOST_FILES]:
                file.unlink(missing_ok=True)
