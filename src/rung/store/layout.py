"""Where things lie on disk, and how a file gets there whole.

blobs/sha256-HEX.gguf       weights, each once whatever they are called
names/SPEC.json             which blob a file of the hub turned out to be
partial/KEY/SOURCE/         what a pull has fetched so far, per source
locks/KEY.lock              one pull of the same bytes at a time
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from platformdirs import user_data_path

from rung.errors import Cancelled, ConfigError, RungError, StoreError
from rung.limits import Cancel
from rung.settings import Settings, read
from rung.store.entries import Entry, Hub, Sha256, shipped_catalogue

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CHUNK = 1 << 20


class Pulled(Settings):
    """What a file of the hub turned out to be.

    Args:
        sha256: of the file, in hexadecimal.
        size: of the file, in bytes.
    """

    sha256: Sha256
    size: int


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of model files and the catalogue that names them.

    Args:
        root: the folder; made by the first pull.
        catalogue: entries by name.
    """

    root: Path
    catalogue: Mapping[str, Entry]

    def blob(self, sha256: str) -> Path:
        """Where the weights with this hash lie, if they do."""
        return self.root / "blobs" / f"sha256-{sha256}.gguf"

    def partial(self, key: str) -> Path:
        """The folder of an unfinished pull."""
        return self.root / "partial" / quote(key, safe="")

    def lock(self, key: str) -> Path:
        """The lock file of a pull."""
        return self.root / "locks" / f"{quote(key, safe='')}.lock"

    def pulled(self, hub: Hub) -> Pulled | None:
        """What this file of the hub turned out to be; `None` where it was never pulled."""
        path = self._name(hub)
        try:
            return read(Pulled, json.loads(path.read_bytes()), str(path))
        except (OSError, ValueError, TypeError, ConfigError):
            return None

    def record(self, hub: Hub, pulled: Pulled) -> None:
        """Remember what this file of the hub turned out to be."""
        write_whole(self._name(hub), pulled.model_dump_json().encode())

    def recorded(self) -> Iterator[Hub]:
        """Every file of the hub that was pulled under its own name."""
        for path in sorted((self.root / "names").glob("*.json")):
            try:
                yield Hub.parse(unquote(path.stem))
            except StoreError:
                continue

    def _name(self, hub: Hub) -> Path:
        return self.root / "names" / f"{quote(hub.spec, safe='')}.json"


def user_store() -> Store:
    """The store of this user: `RUNG_MODELS_DIR`, else a folder among the user's data.

    Raises:
        ConfigError: an entry of the catalogue is malformed.
    """
    chosen = os.environ.get("RUNG_MODELS_DIR")
    root = Path(chosen).expanduser().absolute() if chosen else user_data_path("rung", appauthor=False) / "models"
    return Store(root, shipped_catalogue())


@contextmanager
def writing(root: Path, needed: int | None = None) -> Iterator[None]:
    """Turn what the file system refuses into a `StoreError` that says what to do.

    Args:
        root: the store's folder.
        needed: how much is still to be written, in bytes.

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
            mend="set RUNG_MODELS_DIR to a folder that can be written",
        ) from error


def check_space(root: Path, needed: int) -> None:
    """See that `needed` bytes fit on the disk of `root`.

    Raises:
        StoreError: they don't.
    """
    if shutil.disk_usage(root).free < needed:
        raise no_space(root, needed)


def no_space(root: Path, needed: int | None) -> StoreError:
    """The error for a full disk.

    Args:
        root: the store's folder.
        needed: how much is still to be written, in bytes.
    """
    wanted = "" if needed is None else f": {needed:,} bytes are needed"
    return StoreError(
        f"no space left for the model store {root}{wanted}, {shutil.disk_usage(root).free:,} are free",
        mend="free some space or set RUNG_MODELS_DIR, then pull again (what was fetched is kept)",
    )


def sha256_of(path: Path, *, cancel: Cancel, report: Callable[[int], None]) -> str:
    """The hash of a file, in hexadecimal.

    Args:
        path: the file.
        cancel: ends it.
        report: called with the number of bytes read so far.

    Raises:
        Cancelled: between two pieces of the file.
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


def write_whole(path: Path, content: bytes) -> None:
    """Replace a small file at once: a reader sees the old or the new content, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with fresh.open("wb") as file:
        file.write(content)
        sync(file.fileno())
    rename(fresh, path)


def rename(source: Path, target: Path) -> None:
    """Give a finished file its name, atomically and to last."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    if os.name == "posix":
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            sync(folder)
        finally:
            os.close(folder)


def sync(fd: int) -> None:
    """See that what was written is on the disk, where the file system can tell."""
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
