"""The limits of `rung serve`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rung.config.document import Origin
from rung.config.ledger import Pick
from rung.config.tables import FileTable, ServeTable


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """The server's part of the configuration in force.

    Args:
        table: the values.
        origins: where each comes from, by its key.
    """

    table: ServeTable
    origins: Mapping[str, Origin]


def serve_config(pick: Pick) -> ServeConfig:
    """The server's part of the configuration.

    An untrusted project file can lower the limits, but it can't raise them or have lines removed.

    Args:
        pick: picks a setting from the files.
    """

    def get(key: str) -> Any:
        def of(table: FileTable) -> Any:
            return getattr(table.serve, key)

        return pick(f"serve.{key}", of, looser=_is_looser)

    found = {key: get(key) for key in ServeTable.model_fields}
    table = ServeTable(**{key: setting.value for key, setting in found.items()})
    return ServeConfig(table, {key: setting.origin for key, setting in found.items()})


def _is_looser(new: Any, old: Any) -> bool:
    return bool(set(new) - set(old)) if isinstance(new, tuple) else bool(new > old)
