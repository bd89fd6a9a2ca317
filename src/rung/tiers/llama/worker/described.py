"""What a model file says of itself, kept on disk. Nobody needs the 300,000 words and pairs of words in a header, but to
get past them takes longer than all else before llama.cpp reads the file.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from rung.errors import StoreError
from rung.store.gguf import Header, Tensor, read_header
from rung.tiers.llama.worker.kept import KeptFile

_SUFFIX = ".header"
_VERSION = 1
"""Raised whenever the same file would be described otherwise. A test holds one description against it."""
_MOST = 64 << 20
"""Bytes at the beginning of a file that its digest covers: more than a header may have."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a file says of itself.

    Args:
        header: what it is, and how large.
        digest: of all that stands before its weights, vocabulary and kinds of weights included.
    """

    header: Header
    digest: bytes


class DescribedFile:
    """A model file, and where what it says of itself is kept.

    A file is known by its path, inode, size, and the times of the last changes of its bytes and of anything else about
    it. The last of these can't be set back.

    Args:
        path: the file.
        folder: where that is kept; `None` keeps nothing.
    """

    def __init__(self, path: Path, folder: Path | None) -> None:
        self._path = path
        self._folder = folder
        self._known = _state(path)
        self._new: Described | None = None

    def read(self) -> Described:
        """What the file says of itself.

        Raises:
            MalformedModel: it is not a GGUF file, is cut off, or contradicts itself.
            StoreError: the file can't be read.
        """
        kept = self._kept()
        body = None if kept is None else kept.read()
        found = None if body is None else _parsed(bytes(body))
        if found is None:
            found = self._new = _read(self._path)
        return found

    def keep(self) -> None:
        """Keep what was read, if it isn't kept yet. Writing waits for the disk, so a load does this at its end."""
        kept = self._kept()
        # if somebody has written to it meanwhile, what was read may be the one or the other
        if self._new is not None and kept is not None and _state(self._path) == self._known:
            header, digest = asdict(self._new.header), self._new.digest.hex()
            kept.write(json.dumps({"header": header, "digest": digest}).encode())

    def _kept(self) -> KeptFile | None:
        if self._folder is None or self._known is None:
            return None
        return KeptFile(self._folder, _SUFFIX, json.dumps((_VERSION, str(self._path), self._known)).encode())


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; `None` if it can't be read."""
    try:
        # Checked before it is opened, because opening a pipe waits for a writer.
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path) -> Described:
    header = read_header(path)
    left, digest = min(_MOST, max(0, header.file_size - header.weights)), blake2b()
    try:
        with path.open("rb") as file:
            while left > 0 and (chunk := file.read(min(left, 1 << 20))):
                digest.update(chunk)
                left -= len(chunk)
    except OSError as error:
        raise StoreError.of_file(
            path, f"can't be read: {error.strerror}", hint="see the file's path and permissions"
        ) from None
    return Described(header, digest.digest())


def _parsed(body: bytes) -> Described | None:
    """What was kept; `None` if another development version wrote it."""
    try:
        values = json.loads(body)
        header: dict[str, Any] = values["header"]
        tensors = tuple(Tensor(**{**it, "shape": tuple(it["shape"])}) for it in header["tensors"])
        read = Header(**{**header, "kv_heads": tuple(header["kv_heads"]), "tensors": tensors})
        return Described(read, bytes.fromhex(values["digest"]))
    except (ValueError, TypeError, KeyError):
        return None
