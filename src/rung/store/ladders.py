"""The ladders that suit machines of a size, as the catalogue has them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pydantic import Field

from rung.errors import ConfigError
from rung.settings import SettingsTable, nearest, read
from rung.store.entries import read_catalogue_file, shipped_ladders

GIB = 1 << 30


class MachineLadder(SettingsTable):
    """Models that together suit a machine.

    Args:
        machine: which, as a person would say it.
        models: names of the catalogue, the smallest first.
        memory: what they need at once, in GiB.
        gpu: whether that is memory of a GPU.
    """

    machine: str
    models: tuple[str, ...] = Field(min_length=1)
    memory: float = Field(gt=0, lt=1 << 20)
    gpu: bool = False

    @property
    def bytes(self) -> int:
        """What they need at once, in bytes."""
        return int(self.memory * GIB)


class _File(SettingsTable):
    ladder: tuple[MachineLadder, ...]


def ladders(known: Collection[str], path: Path | None = None) -> tuple[MachineLadder, ...]:
    """The ladders of the catalogue, the most modest first.

    Args:
        known: names of the catalogue.
        path: the file; the one that comes with this package where none is given.

    Raises:
        ConfigError: the file is malformed, or names a model that the catalogue doesn't have.
    """
    path = path or shipped_ladders()
    found = read(_File, read_catalogue_file(path), str(path)).ladder
    for name in (name for ladder in found for name in ladder.models):
        if name not in known:
            raise ConfigError(f"{path}: no model is called {name!r}", hint=nearest(name, known))
    return found
