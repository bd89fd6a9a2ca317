"""Prefixes on disk: the memory of a prompt's beginning that its caller marked as reusable, kept for the next start.

The files hold bytes of llama.cpp behind a digest, and are named by everything that they depend on. Deleting them is
always safe.
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
    """A bounded folder of prefixes of one model. If one can't be read or written, that costs only time.

    Args:
        directory: the folder. It is made if it is missing, for this user alone.
        limit: most bytes that it may hold. The least recently used prefixes are deleted first.
        key: everything that the bytes depend on besides the tokens: model, library, settings of the context.
    """

    def __init__(self, directory: Path, limit: int, key: str) -> None:
        self._directory = directory
        self._limit = limit
        self._key = key.encode()

    def find(self, tokens: Sequence[int]) -> Saved | None:
        """The prefix that was put for exactly these tokens; `None` if there is none, or it is damaged."""
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
        """Keep this prefix, and delete older ones if the folder would outgrow its limit."""
        if _DIGEST + len(saved.data) > self._limit:
            return
        with suppress(OSError):
            private_folder(self._directory)
            # Only its owner may read it, because a prefix is as good as its text.
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
