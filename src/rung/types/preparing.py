"""How a tier gets ready: what it takes of this machine, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PreparingPhase = Literal["waiting", "fetching", "checking", "source_failed", "loading", "ready"]


@dataclass(frozen=True, slots=True)
class Preparing:
    """How far a tier has come in getting ready. `Ladder.prepare` tells it, and a stream while a model is loaded.

    Args:
        tier: name of the tier.
        phase: `waiting` for another process that fetches the same file, `fetching` it, `checking` its sha256,
            `source_failed` where one place didn't give it and another is tried, `loading` the model, or `ready`.
        done: bytes that are here, are checked, or are in memory. For a load it is an estimate, from the memory that
            the worker has taken: a load can end earlier, since nobody reads all of some files.
        total: size of the file in bytes; `None` where nobody knows yet.
        source: where the file comes from, as a person would name it; empty where it comes from nowhere.
        detail: why a source failed.
    """

    tier: str
    phase: PreparingPhase
    done: int = 0
    total: int | None = None
    source: str = ""
    detail: str = ""

    @property
    def share(self) -> float | None:
        """How much is done of this phase, in [0, 1]; `None` where nobody knows yet."""
        return None if not self.total else min(1.0, self.done / self.total)


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a tier takes of this machine before it can answer.

    Args:
        tier: name of the tier.
        model: name of its model, or the path of its file.
        path: where the file lies; `None` while it isn't on this machine.
        size: size of the file in bytes; `None` if nobody knows yet.
        memory: bytes of memory that the loaded model takes, with the context that it begins with. Where the file isn't
            here, the least that it can be. `None` if nobody knows yet.
        licence: SPDX identifier of the model's licence; `None` if nobody said.
        licence_address: where the licence is to be read; empty if nobody said.
        asks: whether the licence asks for acceptance (`rung.store.accept`), and nobody accepted it.
    """

    tier: str
    model: str
    path: Path | None = None
    size: int | None = None
    memory: int | None = None
    licence: str | None = None
    licence_address: str = ""
    asks: bool = False

    @property
    def missing(self) -> int | None:
        """Bytes that are still to be fetched; `None` if nobody knows."""
        return 0 if self.path is not None else self.size
