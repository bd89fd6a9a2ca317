"""Importing: a file that somebody has becomes a model in the store."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from rung.errors import Cancelled, StoreError
from rung.files import full
from rung.limits import Cancel
from rung.store.architectures import read_usable
from rung.store.layout import Store, check_space, user_store, writing
from rung.store.naming import alone, demand_name, give, name_for
from rung.store.pulling import PullProgress, Tell
from rung.store.resolving import ModelFile, resolve
from rung.writing import open_private, private_folder, rename, sync

IMPORT = "import:"
"""Key of the lock that lets only one import run at a time, and name of the folder of its copy. No name of a model has a
colon."""

_CHUNK = 1 << 20


def import_file(
    path: Path,
    *,
    name: str | None = None,
    progress: Tell = lambda _: None,
    cancel: Cancel | None = None,
    store: Store | None = None,
) -> ModelFile:
    """Copy a GGUF file into the store, and give it a name.

        import_file(Path("downloads/other.gguf"), name="other").name  # other

    It is a copy, not a hard link, so that nobody who writes to the file later changes the model. The header is read
    before a byte is copied, and again in the copy.

    Args:
        path: the file. It stays as it is.
        name: name for the model; by default that of a model with the same bytes, else one made from the file's name.
        progress: called for each mebibyte, on the calling thread.
        cancel: ends the import within 200 ms.
        store: the store to import into; by default the user's.

    Raises:
        MalformedModel: it is not a GGUF file, contradicts itself, or is not a model that a tier could answer with.
        StoreError: the file can't be read, the name is not valid or is taken, no space is left, or the store can't be
            written.
        Cancelled: `cancel` was set.
    """
    store, cancel = store or user_store(), cancel or Cancel()
    path = full(path, "the file").absolute()
    if path.is_dir():
        raise StoreError(f"{path} is a folder", hint="name a file, or run `rung models find` with the folder")
    if name is not None:
        demand_name(name, None, store)
    header = read_usable(path)
    label = name or path.name

    def waiting() -> None:
        progress(PullProgress(label, "waiting"))

    with writing(store.root, header.file_size), alone(store, IMPORT, cancel=cancel, waiting=waiting):
        folder = store.partial(IMPORT)
        try:
            sha256 = _copy(path, folder / "weights.part", label, progress, cancel, store)
            header = read_usable(folder / "weights.part")
            chosen = name or name_for(path.stem, sha256, store)
            with alone(store, chosen, sha256, cancel=cancel, waiting=waiting):
                demand_name(chosen, sha256, store)
                rename(folder / "weights.part", store.blob(sha256))
                give(chosen, sha256, header, f"imported from {path}", store)
        finally:
            # This also removes what a killed import has left.
            shutil.rmtree(folder, ignore_errors=True)
    return resolve(chosen, store=store)


def _copy(path: Path, part: Path, label: str, progress: Tell, cancel: Cancel, store: Store) -> str:
    """Copy a file, and return its hash."""
    private_folder(part.parent)
    size = path.stat().st_size
    check_space(store.root, size)
    digest = hashlib.sha256()
    done = 0
    with path.open("rb", buffering=0) as source, open_private(part, "wb") as target:
        while piece := source.read(_CHUNK):
            if cancel.is_set():
                raise Cancelled("cancelled while importing a model file")
            digest.update(piece)
            target.write(piece)
            done += len(piece)
            progress(PullProgress(label, "checking", str(path), done, size))
        target.flush()
        sync(target.fileno())
    return digest.hexdigest()
