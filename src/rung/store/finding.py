"""Finding: files that people already have become models, and stay where they are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rung.errors import Cancelled, ModelNotFound, StoreError
from rung.files import full
from rung.limits import Cancel
from rung.store.architectures import read_usable
from rung.store.caches import FoundFile, Passed, in_file, in_folder, known_places
from rung.store.layout import Place, Store, sha256_of, user_store, writing
from rung.store.naming import alone, give, name_for, names_of
from rung.store.pulling import PullProgress, Tell
from rung.store.resolving import ModelFile

_FIND = "find:"
"""Key of the lock that lets only one search run at a time. No name of a model has a colon."""


@dataclass(frozen=True, slots=True)
class Found:
    """A model that is used in the place where it was found.

    Args:
        file: the file, with the model's name.
        origin: where it comes from, in words.
        fresh: whether its bytes were hashed just now, because it is new or was written to.
    """

    file: ModelFile
    origin: str
    fresh: bool


def find(
    folders: Sequence[Path] = (),
    *,
    progress: Tell = lambda _: None,
    cancel: Cancel | None = None,
    store: Store | None = None,
) -> Iterator[Found | Passed]:
    """Look for GGUF files, hash those that are new or were written to, and tell the store where they are.

        for it in find([Path("downloads")]):
            print(it.file.path if isinstance(it, Found) else f"{it.path}: {it.reason}")

    A file with the bytes of a catalogue entry makes that entry present. Any other file gets a name of its own, and
    keeps it. Nothing is copied, and no file is changed.

    Args:
        folders: folders or files to look in; by default the caches of the Hugging Face hub, Ollama, LM Studio and
            llama.cpp.
        progress: called for each mebibyte that is hashed, on the calling thread.
        cancel: ends the search within 200 ms. What was found until then stays known.
        store: the store that is told; by default the user's.

    Yields:
        What was found, and what was passed over and why.

    Raises:
        ModelNotFound: there is no such folder.
        StoreError: the store can't be written.
        Cancelled: `cancel` was set.
    """
    store, cancel = store or user_store(), cancel or Cancel()
    folders = [full(folder, "the folder").absolute() for folder in folders]
    for folder in folders:
        if not os.path.lexists(folder):
            raise ModelNotFound(f"there is no folder {folder}", hint="check the path")
    with writing(store.root), alone(store, _FIND, cancel=cancel):
        root = store.root.resolve()
        search = _Search(store, progress, cancel)
        seen: set[tuple[int, int]] = set()
        for it in _named(folders) if folders else known_places(os.environ, Path.home()):
            if cancel.is_set():
                raise Cancelled("cancelled while looking for model files")
            if isinstance(it, Passed):
                yield it
                continue
            try:
                status = it.path.stat()
            except OSError as error:
                yield Passed(it.path, f"it can't be read: {error.strerror}")
                continue
            # One file may have many names. Files inside the store are not finds.
            if (status.st_dev, status.st_ino) not in seen and not it.path.resolve().is_relative_to(root):
                seen.add((status.st_dev, status.st_ino))
                yield search.look(it)


def _named(folders: Sequence[Path]) -> Iterator[FoundFile | Passed]:
    for folder in folders:
        if folder.is_dir():
            yield from in_folder(folder, "a folder")
        else:
            yield in_file(folder, "a folder")


@dataclass(frozen=True, slots=True)
class _Search:
    store: Store
    tell: Tell
    cancel: Cancel

    def look(self, it: FoundFile) -> Found | Passed:
        try:
            return self._take(it)
        except StoreError as error:
            return Passed(it.path, error.fault or error.message)

    def _take(self, it: FoundFile) -> Found:
        """Hash a file unless it is known and unchanged, and make sure that it has a name."""
        header = read_usable(it.path)
        with _reading(it.path):
            # Taken before the bytes are read: whoever writes meanwhile leaves a later time behind.
            place = Place.of(it.path)
            sha256 = self._known(place)
            fresh = sha256 is None
            if sha256 is None:
                sha256 = self._hash(it, place)
        if fresh and it.sha256 not in (None, sha256):
            raise StoreError.of_file(it.path, f"is damaged: its sha256 is {sha256}, and its owner says {it.sha256}")
        name = name_for(it.name, sha256, self.store)
        with alone(self.store, name, sha256, cancel=self.cancel):
            self.store.put_place(sha256, place)
            if name not in names_of(sha256, self.store):
                give(name, sha256, header, it.origin, self.store)
        model = ModelFile(name, it.path, place.size, sha256, header.licence, header.context_length)
        return Found(model, it.origin, fresh)

    def _known(self, place: Place) -> str | None:
        """The hash of a file that was found earlier and is unchanged."""
        return next((sha256 for sha256, other in self.store.places() if other == place), None)

    def _hash(self, it: FoundFile, place: Place) -> str:
        def report(done: int) -> None:
            self.tell(PullProgress(it.name, "checking", str(it.path), done, place.size))

        return sha256_of(it.path, cancel=self.cancel, report=report)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError.of_file(path, f"can't be read: {error.strerror or error}") from None
