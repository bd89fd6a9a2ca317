"""Where things are stored on disk, and how a file gets there whole.

blobs/sha256-HEX.gguf       weights, each once whatever they are called
places/sha256-HEX.json      a file of another program with these bytes, which is used where it lies
names/NAME.json             which bytes a file of the hub turned out to be, or a name of one's own stands for
partial/KEY/SOURCE/         what a pull has fetched so far, per source; what an import has copied
locks/KEY.lock              one at a time for a name, or for the same bytes

A reader never finds a name without its bytes: the bytes come before the name, and are removed after it. Whoever needs
both the lock of a name and the lock of bytes takes them in this order.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from rung.errors import Cancelled, ConfigError, RungError, StoreError
from rung.files import full, read_bounded
from rung.limits import Cancel
from rung.parsing import parse_json
from rung.paths import named, user_data
from rung.settings import SettingsTable, read
from rung.store.entries import Entry, Hub, Sha256, user_catalogue
from rung.writing import write_whole

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CHUNK = 1 << 20
_LONGEST_RECORD = 1 << 20
"""Largest record, in bytes. No record has more than a few thousand."""
# Shorter than a hash, so that no name can share a lock file with some bytes.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

R = TypeVar("R", bound=SettingsTable)


class Pulled(SettingsTable):
    """What a file of the hub turned out to be.

    Args:
        sha256: hash of the file, in hexadecimal.
        size: size of the file, in bytes.
    """

    sha256: Sha256
    size: int


class Named(Pulled):
    """What a name of your own stands for.

    Args:
        origin: where the file came from, in words.
        licence: licence that the file states; `None` if it states none.
        context: context that the model was trained for, in tokens; `None` if the file doesn't say.
    """

    origin: str
    licence: str | None = None
    context: int | None = None


class Place(SettingsTable):
    """A file that is used in its place, and what identified it when it was hashed.

    Args:
        path: absolute path.
        size: size in bytes.
        mtime_ns: when it was last written, in nanoseconds.
        inode: its number in the file system.
    """

    path: Path
    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Place:
        """The place of a file as it is now.

        Raises:
            OSError: the file can't be looked at.
        """
        found = path.stat()
        return cls(path=path, size=found.st_size, mtime_ns=found.st_mtime_ns, inode=found.st_ino)

    def unchanged(self) -> bool:
        """Whether the file is still there, and nobody has written to it since."""
        try:
            return self == Place.of(self.path)
        except (OSError, ValueError):  # a record that somebody edited may hold a path that no system accepts
            return False


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of model files and the catalogue that names them.

        shared = Store(Path("shared"), user_store().catalogue)
        [it for it in models(store=shared) if it.file is not None]  # []

    Args:
        root: the folder. The first pull makes it.
        catalogue: entries by name.
    """

    root: Path
    catalogue: Mapping[str, Entry]

    def blob(self, sha256: str) -> Path:
        """Where the weights with this hash are stored, if they are."""
        return self.root / "blobs" / f"sha256-{sha256}.gguf"

    def partial(self, key: str) -> Path:
        """The folder of an unfinished pull."""
        return self.root / "partial" / quote(key, safe="")

    def lock(self, key: str) -> Path:
        """The lock file of a pull."""
        return self.root / "locks" / f"{quote(key, safe='')}.lock"

    def pulled(self, hub: Hub) -> Pulled | None:
        """What this file of the hub turned out to be; `None` if it was never pulled."""
        return _read(Pulled, self.name(hub.spec))

    def record(self, hub: Hub, pulled: Pulled) -> None:
        """Remember what this file of the hub turned out to be."""
        _write(self.name(hub.spec), pulled)

    def recorded(self) -> Iterator[Hub]:
        """Every file of the hub that was pulled under its own name."""
        for path in sorted((self.root / "names").glob("*.json")):
            try:
                yield Hub.parse(unquote(path.stem))
            except StoreError:
                continue

    def named(self, name: str) -> Named | None:
        """What a name of your own stands for; `None` if there is no such name."""
        return _read(Named, self.name(name)) if is_name(name) else None

    def give_name(self, name: str, named: Named) -> None:
        """Let a name stand for these bytes, which must be there."""
        _write(self.name(name), named)

    def own_names(self) -> Iterator[tuple[str, Named]]:
        """Every name of your own, with what it stands for."""
        for path in sorted((self.root / "names").glob("*.json")):
            named = self.named(unquote(path.stem))
            if named is not None:
                yield unquote(path.stem), named

    def place(self, sha256: str) -> Place | None:
        """Where a file of another program with these bytes was found, if one was."""
        return _read(Place, self.place_record(sha256))

    def places(self) -> Iterator[tuple[str, Place]]:
        """Every file of another program that was found: its hash at that time, and its place."""
        for path in sorted((self.root / "places").glob("sha256-*.json")):
            place = _read(Place, path)
            if place is not None:
                yield path.stem.removeprefix("sha256-"), place

    def put_place(self, sha256: str, place: Place) -> None:
        """Remember where these bytes were found."""
        _write(self.place_record(sha256), place)

    def name(self, name: str) -> Path:
        """The record of a name."""
        return self.root / "names" / f"{quote(name, safe='')}.json"

    def place_record(self, sha256: str) -> Path:
        """The record of a place."""
        return self.root / "places" / f"sha256-{sha256}.json"


def is_name(text: str) -> bool:
    """Whether a model of your own may have this name. A text that ends in `.gguf` is the path of a file."""
    return _NAME.fullmatch(text) is not None and not text.endswith(".gguf")


def _read(kind: type[R], path: Path) -> R | None:
    try:
        return read(kind, read_record(path), str(path))
    except (ValueError, TypeError, ConfigError):
        return None


def read_record(path: Path) -> Any:
    """The content of a small file of the store. The store may be a folder that others write to.

    Raises:
        ConfigError: it can't be read, or is not JSON.
    """
    return parse_json(read_bounded(path, _LONGEST_RECORD, "the record"), str(path))


def _write(path: Path, record: SettingsTable) -> None:
    write_whole(path, record.model_dump_json().encode())


def user_store() -> Store:
    """The store of this user: `RUNG_MODELS_DIR`, or else a folder among the user's data or in the app's own place.

        "smollm2-135m" in user_store().catalogue  # True

    Raises:
        ConfigError: an entry of the catalogue is malformed.
    """
    chosen = named("RUNG_MODELS_DIR")
    root = full(chosen, "RUNG_MODELS_DIR").absolute() if chosen else user_data() / "models"
    return Store(root, user_catalogue())


@contextmanager
def writing(root: Path, needed: int | None = None) -> Iterator[None]:
    """Turn a refusal of the file system into a `StoreError` that says what to do.

    Args:
        root: the store's folder.
        needed: bytes that are still to be written.

    Raises:
        StoreError: no space, no permission, or any other refusal.
    """
    try:
        yield
    except RungError:
        raise
    except OSError as error:
        if error.errno in NO_SPACE:
            raise no_space(root, needed) from error
        raise StoreError(
            f"the model store {root} can't be used: {error.strerror or error}",
            hint="set RUNG_MODELS_DIR to a folder that can be written",
        ) from error


def check_space(root: Path, needed: int) -> None:
    """Check that `needed` bytes fit on the disk of `root`.

    Raises:
        StoreError: they don't.
    """
    if shutil.disk_usage(root).free < needed:
        raise no_space(root, needed)


def no_space(root: Path, needed: int | None) -> StoreError:
    """The error for a full disk.

    Args:
        root: the store's folder.
        needed: bytes that are still to be written.
    """
    wanted = "" if needed is None else f": {needed:,} bytes are needed"
    return StoreError(
        f"no space left for the model store {root}{wanted}, {shutil.disk_usage(root).free:,} are free",
        hint="free some space or set RUNG_MODELS_DIR, then run this again (a pull continues where it stopped)",
    )


def sha256_of(path: Path, *, cancel: Cancel, report: Callable[[int], None]) -> str:
    """The hash of a file, in hexadecimal.

    Args:
        path: the file.
        cancel: ends the hashing.
        report: called with the number of bytes read so far.

    Raises:
        Cancelled: `cancel` was set between two pieces of the file.
        OSError: the file can't be read.
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_CHUNK):
            if cancel.is_set():
                raise Cancelled("cancelled while checking a model file")
            digest.update(piece)
            report(file.tell())
    return digest.hexdigest()
