"""Removing: the name goes, and so do its bytes if no other name stands for them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from rung.limits import Cancel
from rung.store.files import wanted
from rung.store.layout import Store, user_store, writing
from rung.store.naming import alone, names_of
from rung.writing import unlink


@dataclass(frozen=True, slots=True)
class Removed:
    """What happened to a model.

    Args:
        name: the name that was removed.
        freed: bytes that were freed on the store's disk.
        shared: other names of the same bytes. Because of them the bytes stay.
        left: the other program's file that is no longer used, and stays as it is; `None` if there is none.
    """

    name: str
    freed: int
    shared: tuple[str, ...] = ()
    left: Path | None = None


def remove(name: str, *, cancel: Cancel | None = None, store: Store | None = None) -> Removed:
    """Take a model out of the store, together with what an unfinished pull of it has fetched.

        removed = remove("mine")
        removed.freed > 0  # True

    An entry of the catalogue stays known and can be pulled again. A file of another program is only forgotten. The name
    goes before the bytes, so that a kill in between leaves no name without bytes.

    Args:
        name: a catalogue name, a name of your own, or `hf:owner/repo/file.gguf@commit`.
        cancel: ends the wait for a pull or an import of the same model.
        store: the store to remove it from; by default the user's.

    Raises:
        ModelNotFound: no model has this name.
        StoreError: the store can't be written, or an `hf:` name has another form.
        Cancelled: `cancel` was set.
    """
    store = store or user_store()
    it = wanted(name, store)
    keys = (it.name,) if it.sha256 is None else (it.name, it.sha256)
    with writing(store.root), alone(store, *keys, cancel=cancel or Cancel()):
        freed = sum(_take_partial(store, key) for key in keys)
        unlink(store.name(it.name))
        if it.sha256 is None:
            return Removed(it.name, freed)
        shared = tuple(other for other in names_of(it.sha256, store) if other != it.name)
        if shared:
            return Removed(it.name, freed, shared)
        place = store.place(it.sha256)
        unlink(store.place_record(it.sha256))
        blob = store.blob(it.sha256)
        freed += blob.stat().st_size if blob.exists() else 0
        unlink(blob)
        return Removed(it.name, freed, left=None if place is None else place.path)


def _take_partial(store: Store, key: str) -> int:
    folder = store.partial(key)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder, ignore_errors=True)
    return size
