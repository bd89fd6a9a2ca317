"""Writing the archive of a kit: one tar that is the same for the same files, cut into parts."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rung.bundle.install import CHUNK, File, Part, safe
from rung.errors import Cancelled, ChecksumMismatch
from rung.limits import Cancel
from rung.writing import sync

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@dataclass(frozen=True, slots=True)
class Item:
    """A file to be packed.

    Args:
        path: path in the archive.
        kind: what the installer does with it: `wheel`, `weights`, `name` (of weights) or `file`.
        source: its bytes, or the path of its file.
        sha256: hash that they must have; `None` if any bytes will do.
        carried: whether the archive contains them. Otherwise only the base does.
    """

    path: str
    kind: str
    source: bytes | Path
    sha256: str | None = None
    carried: bool = True

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


def write(items: Iterable[Item], folder: Path, part_size: int, cancel: Cancel) -> tuple[list[Part], list[File]]:
    """Pack files into `folder`.

    Args:
        items: files in the order of the archive.
        folder: folder of the parts.
        part_size: size in bytes of each part, except the last.
        cancel: ends the packing.

    Raises:
        ChecksumMismatch: the bytes of a file are not those that it must have.
        OSError: a file can't be read or written.
        Cancelled: `cancel` was set.
    """
    files = []
    with (
        _Parts(folder, part_size) as parts,
        tarfile.open(fileobj=parts, mode="w|", bufsize=CHUNK, format=tarfile.GNU_FORMAT) as tar,
    ):
        for item in items:
            size, sha256 = item.size, item.sha256
            if item.carried:
                sha256 = _add(tar, item, size, cancel)
            files.append(File(item.path, size, str(sha256), item.kind, item.carried))
    return parts.done, files


def _add(tar: tarfile.TarFile, item: Item, size: int, cancel: Cancel) -> str:
    info = tarfile.TarInfo(safe(item.path))
    info.size = size
    with io.BytesIO(item.source) if isinstance(item.source, bytes) else item.source.open("rb") as file:
        source = _Hashed(file.read, cancel)
        tar.addfile(info, source)
    actual = source.sha256.hexdigest()
    if item.sha256 not in (None, actual):
        raise ChecksumMismatch(
            f"{item.path} changed or is damaged: its sha256 is {actual}, not {item.sha256}",
            hint="run `rung models verify`",
        )
    return actual


class _Hashed(io.RawIOBase):
    """A file that is hashed as it is read."""

    def __init__(self, read: Callable[[int], bytes], cancel: Cancel) -> None:
        super().__init__()
        self.sha256 = hashlib.sha256()
        self._read, self._cancel = read, cancel

    def read(self, size: int = -1) -> bytes:
        if self._cancel.is_set():
            raise Cancelled("cancelled while packing a kit")
        piece = self._read(size)
        self.sha256.update(piece)
        return piece


class _Parts(io.RawIOBase):
    """A file that is written as several."""

    def __init__(self, folder: Path, size: int) -> None:
        super().__init__()
        self.done: list[Part] = []
        self._folder, self._size = folder, size
        self._file: io.BufferedWriter | None = None
        self._left = 0
        self._sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        rest = memoryview(data)
        while rest:
            if self._left == 0:
                self._finish()
                self._file = (self._folder / f"part-{len(self.done) + 1:03}.tar").open("wb")
                self._left, self._sha256 = self._size, hashlib.sha256()
            assert self._file is not None
            piece = rest[: self._left]
            self._file.write(piece)
            self._sha256.update(piece)
            self._left -= len(piece)
            rest = rest[len(piece) :]
        return len(memoryview(data))

    def close(self) -> None:
        self._finish()
        super().close()

    def _finish(self) -> None:
        if self._file is None:
            return
        with self._file as file:
            file.flush()
            sync(file.fileno())
            path = Path(file.name)
            self.done.append(Part(path.name, os.fstat(file.fileno()).st_size, self._sha256.hexdigest()))
        self._file = None
