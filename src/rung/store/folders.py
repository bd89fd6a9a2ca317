"""Fetching a file from a folder or a mounted share. It is found by size and sha256, and linked or copied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR
from typing import BinaryIO

from rung.errors import Cancelled
from rung.store.entries import Folder
from rung.store.layout import check_space, sha256_of, writing
from rung.store.sources import Fetch, SourceFailed
from rung.writing import open_private, sync

_CHUNK = 1 << 20


def fetch_folder(source: Folder, fetch: Fetch) -> None:
    """Get the file from a folder, as a hard link if the file system allows. A copy that was cut off is continued.

    Args:
        source: where to look. Links to folders are not followed, so that a loop of links ends.
        fetch: what to look for.

    Raises:
        SourceFailed: the folder can't be read, or holds no such file.
        StoreError: there is no space left.
        Cancelled: the pull was cancelled.
    """
    if fetch.size is None or fetch.sha256 is None:
        raise SourceFailed("a folder serves only models whose sha256 is known")
    found = _candidates(source.where, fetch)
    if len(found) > 1:
        # The bytes of a single candidate are checked once they are here, so that a share isn't read twice.
        found = [path for path in found if _has_the_bytes(path, fetch)]
    if not found:
        raise SourceFailed("it holds no file with these bytes")
    _take(found[0], fetch.size, fetch)


def _candidates(where: Path, fetch: Fetch) -> list[Path]:
    """The files of the right size at `where` and below."""
    with _reading(where):
        folder = S_ISDIR(where.stat().st_mode)
        return sorted(path for path in (_below(where, fetch) if folder else [where]) if _size(path) == fetch.size)


def _below(folder: Path, fetch: Fetch) -> Iterator[Path]:
    # Left alone, os.walk passes over folders that can't be read.
    os.scandir(folder).close()
    for at, _, files in os.walk(folder):
        if fetch.cancel.is_set():
            raise Cancelled("cancelled while looking for a model file")
        yield from (Path(at) / file for file in files)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _has_the_bytes(path: Path, fetch: Fetch) -> bool:
    try:
        return sha256_of(path, cancel=fetch.cancel, report=lambda _: None) == fetch.sha256
    except OSError:
        return False


def _take(path: Path, size: int, fetch: Fetch) -> None:
    if fetch.part.exists() and fetch.part.stat().st_nlink > 1:
        # This is a link to somebody's file, left by a pull that was killed. Nothing may be appended to it.
        fetch.part.unlink()
    try:
        fresh = fetch.folder / "link"
        fresh.unlink(missing_ok=True)
        fresh.hardlink_to(path.resolve())
        fresh.replace(fetch.part)
    except OSError:
        _copy(path, size, fetch)


def _copy(path: Path, size: int, fetch: Fetch) -> None:
    with _reading(path):
        source = path.open("rb")
    with source, open_private(fetch.part, "ab") as part:
        if part.tell() > size:
            part.truncate(0)
        check_space(fetch.root, size - part.tell())
        source.seek(part.tell())
        while piece := _read(source, path):
            if fetch.cancel.is_set():
                raise Cancelled("cancelled while copying a model file")
            with writing(fetch.root, size - part.tell()):
                part.write(piece)
            fetch.report(part.tell(), size)
        part.flush()
        sync(part.fileno())


def _read(source: BinaryIO, path: Path) -> bytes:
    with _reading(path):
        return source.read(_CHUNK)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Report errors of the source as the source's: they aren't the store's fault."""
    try:
        yield
    except OSError as error:
        raise SourceFailed(f"{path} can't be read: {(error.strerror or str(error)).lower()}") from error
