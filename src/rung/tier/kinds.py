"""Kinds of tier, as packages offer them to `rung.toml`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rung.settings import SettingsTable, read
from rung.tier.abilities import Tier

M = TypeVar("M", bound=SettingsTable)
T = TypeVar("T", bound=Tier)


@dataclass(frozen=True, slots=True)
class TierKind(Generic[M, T]):
    """What an entry point in the group `rung.tiers` names: a kind of tier that declares its settings.

    A plain function that takes a name and a mapping will do, too; it checks its settings itself then, and the reference
    knows nothing of them.

    Args:
        settings: the keys of its table.
        make: makes a tier of its name and settings.
    """

    settings: type[M]
    make: Callable[[str, M], T]

    def __call__(self, name: str, table: Mapping[str, Any]) -> T:
        """The tier of a table.

        Args:
            name: of the tier.
            table: its keys as they were written, without those that every `[[tier]]` may hold.

        Raises:
            ConfigError: a key is unknown or missing, or a value is not allowed.
        """
        return self.make(name, read(self.settings, table, f"tier {name!r}"))


def tier_kind(settings: type[M]) -> Callable[[Callable[[str, M], T]], TierKind[M, T]]:
    """Makes a `TierKind` of a function that takes a tier's name and its settings.

    Args:
        settings: the keys of its table.
    """
    return lambda make: TierKind(settings, make)
