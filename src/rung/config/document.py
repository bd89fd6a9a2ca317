"""One configuration file, read: its content, its place, and whether the user trusts it."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from rung.config.tables import FileTable, TierTable, tier_tables
from rung.errors import ConfigError
from rung.files import read_bounded, unreadable
from rung.parsing import parse_toml
from rung.settings import SettingsTable, read

T = TypeVar("T")
M = TypeVar("M", bound=SettingsTable)
_MOST = 1 << 20
"""Bytes of a configuration file. The largest that people write by hand have a few thousand."""
_WHAT = "the configuration"
Source = Literal["default", "user file", "project file", "named file", "environment", "option", "policy"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from.

    Args:
        source: the layer.
        where: the file or the variable; `None` for a layer that has neither.
    """

    source: Source
    where: str = ""

    def __str__(self) -> str:
        return f"{self.source} {self.where}".rstrip()


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A value and where it came from."""

    value: T
    origin: Origin


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration file.

    Args:
        path: absolute, without links.
        origin: which layer it is.
        sha256: of its bytes, in hexadecimal.
        table: its content.
        tiers: its tiers.
        trusted: whether it may ask for what only the user can grant.
        foreign: whether it belongs to another user, who may have planted it.
    """

    path: Path
    origin: Origin
    sha256: str
    table: FileTable
    tiers: tuple[TierTable, ...]
    trusted: bool
    foreign: bool


def read_table(path: Path, model: type[M]) -> tuple[M, str]:
    """Read a TOML file as settings, and hash its bytes.

    Args:
        path: the file.
        model: the settings that it may contain.

    Raises:
        ConfigError: it can't be read, isn't a file of at most a mebibyte, isn't TOML, or contains an unknown or wrong
            setting.
    """
    # the usual way to say that a file doesn't exist
    content = b"" if str(path) == os.devnull else read_bounded(path, _MOST, _WHAT)
    return read(model, _parse(content, path), str(path)), hashlib.sha256(content).hexdigest()


def _parse(content: bytes, path: Path) -> dict[str, Any]:
    values = parse_toml(content, str(path))
    if isinstance(values.get("tier"), dict):
        raise ConfigError(f"{path}: 'tier' is not a list of tables", hint="write [[tier]]")
    return values


def open_document(path: Path, source: Source, *, trusted: bool | None = None, recorded: str | None = None) -> Document:
    """Read the configuration file at `path`.

    Args:
        path: the file.
        source: which layer it is.
        trusted: whether to trust it whatever it contains; `None` looks at `recorded`.
        recorded: sha256 of the content that the user trusts; `None` if there is no such record.

    Raises:
        ConfigError: it can't be read or is wrong.
    """
    try:
        path = Path(os.path.realpath(path))  # unlike `resolve`, this ends in a loop of links
        table, sha256 = read_table(path, FileTable)
        foreign = sys.platform != "win32" and path.stat().st_uid not in (0, os.geteuid())
    except (OSError, ValueError) as error:
        raise unreadable(path, _WHAT, error) from None
    return Document(
        path=path,
        origin=Origin(source, str(path)),
        sha256=sha256,
        table=table,
        tiers=tier_tables(table.tier, str(path)),
        trusted=sha256 == recorded if trusted is None else trusted,
        foreign=foreign,
    )
