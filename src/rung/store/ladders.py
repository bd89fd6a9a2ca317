"""The ladders that suit machines of different sizes, from the catalogue."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pydantic import Field

from rung.errors import ConfigError
from rung.settings import SettingsTable, read
from rung.spelling import nearest
from rung.store.entries import read_catalogue_file, shipped_ladders

GIB = 1 << 30


class MachineLadder(SettingsTable):
    """Models that suit a machine as a ladder.

    Args:
        machine: what machine, in a person's words.
        models: names of the catalogue, smallest first.
        memory: memory that they need at the same time, in GiB.
        gpu: whether that is memory of a GPU.
    """

    machine: str
    models: tuple[str, ...] = Field(min_length=1)
    memory: float = Field(gt=0, lt=1 << 20)
    gpu: bool = False

    @property
    def bytes(self) -> int:
        """Memory that they need at the same time, in bytes."""
        return int(self.memory * GIB)


class _File(SettingsTable):
    ladder: tuple[MachineLadder, ...]


def ladders(known: Collection[str], path: Path | None = None) -> tuple[MachineLadder, ...]:
    """The ladders of the catalogue, those that need least first.

    Args:
        known: names of the catalogue.
        path: the file; by default the one that comes with this package.

    Raises:
        ConfigError: the file is malformed, or names a model that the catalogue doesn't have.
    """
    path = path or shipped_ladders()
    found = read(_File, read_catalogue_file(path), str(path)).ladder
    for name in (name for ladder in found for name in ladder.models):
        if name not in known:
            raise ConfigError(f"{path}: no model is called {name!r}", hint=nearest(name, known))
    return found
