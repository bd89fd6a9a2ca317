"""Prefixes on disk: the memory of a prompt's beginning that its caller marked as reusable, for the next start.

Files are bytes of llama.cpp behind a digest, named by everything they depend on. Deleting them is always safe.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rung.tiers.llama.worker.memory import Saved
from rung.writing import private_folder

_SUFFIX = ".prefix"
_DIGEST = 32


class Snapshots:
    """A bounded directory of prefixes of one model. Failing to read or write one costs time and nothing else.

    Args:
        directory: made where it is missing, for this user alone.
        limit: most bytes that it may hold, the least recently used go first.
        key: everything beside the tokens that the bytes depend on: model, library, settings of the context.
    """

    def __init__(self, directory: Path, limit: int, key: str) -> None:
        self._directory = directory
        self._limit = limit
        self._key = key.encode()

    def find(self, tokens: Sequence[int]) -> Saved | None:
        """What was put for just these tokens; `None` where there is nothing, or nothing whole."""
        path = self._path(tokens)
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        digest, data = content[:_DIGEST], content[_DIGEST:]
        if hashlib.blake2b(data, digest_size=_DIGEST).digest() != digest:
            with suppress(OSError):
                path.unlink()
            return None
        return Saved(tuple(tokens), data)

    def put(self, saved: Saved) -> None:
        """Keep this one, and forget older ones where the directory would outgrow its limit."""
        if _DIGEST + len(saved.data) > self._limit:
            return
        with suppress(OSError):
            private_folder(self._directory)
            # Only its owner may read it: a prefix is as good as its text.
            handle, name = tempfile.mkstemp(dir=self._directory, suffix=_SUFFIX)
            part = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.blake2b(saved.data, digest_size=_DIGEST).digest())
                    file.write(saved.data)
                part.replace(self._path(saved.tokens))
            except OSError:
                part.unlink()
                raise
            self._trim()

    def _path(self, tokens: Sequence[int]) -> Path:
        name = hashlib.blake2b(self._key + b"\0" + array("i", tokens).tobytes(), digest_size=_DIGEST).hexdigest()
        return self._directory / (name + _SUFFIX)

    def _trim(self) -> None:
        files = []
        for path in self._directory.glob("*" + _SUFFIX):
            with suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._limit:
                return
            with suppress(FileNotFoundError):
                path.unlink()
            total -= size
