"""`rung.lock`: the exact file of each local tier, beside the `rung.toml` that names them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from rung.config.config import Config
from rung.errors import ConfigError, StoreError
from rung.files import read_bounded
from rung.limits import Cancel
from rung.parsing import parse_toml
from rung.settings import SettingsTable, read

NAME = "rung.lock"
_VERSION: Literal[1] = 1
_MOST = 1 << 20
"""Bytes of a lock, enough for some thousand tiers."""
_HEAD = "# Written by `rung models lock`: the exact file of each local tier.\n"


class LockedTier(SettingsTable):
    """The file of one tier, as it was locked.

    Args:
        name: of the tier.
        model: as the tier names it.
        sha256: of the file, in hexadecimal.
        size: of the file, in bytes.
        licence: SPDX identifier; empty if unknown.
        source: where to get the file; empty for the user's own file.
    """

    name: str
    model: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(gt=0)
    licence: str = ""
    source: str = ""


class Lock(SettingsTable):
    """A whole `rung.lock`.

    Args:
        version: of its format.
        tier: in the order of the configuration.
    """

    version: Literal[1] = _VERSION
    tier: tuple[LockedTier, ...]

    def text(self) -> str:
        """The file's content. Equal locks give equal text."""
        tables = [f"\n[[tier]]\n{_lines(tier)}" for tier in self.tier]
        return f"{_HEAD}version = {self.version}\n{''.join(tables)}"


def _lines(tier: LockedTier) -> str:
    # JSON strings and whole numbers are valid TOML, except for DEL in a string
    values = {key: json.dumps(value).replace("\x7f", "\\u007f") for key, value in tier.model_dump().items()}
    return "".join(f"{key} = {value}\n" for key, value in values.items())


def lock_path(config: Config) -> Path:
    """The path for the lock of a configuration: beside the file that its tiers come from.

    Raises:
        ConfigError: no file has a tier.
    """
    for file in config.files:
        if file.tiers:
            return file.path.with_name(NAME)
    raise ConfigError("no configuration file has a tier to lock", hint="write a rung.toml, or name one with --config")


def lock(config: Config, *, cancel: Cancel) -> Lock:
    """The lock for the files that the local tiers have now. Hashes each file.

    Args:
        config: the configuration in force.
        cancel: ends it.

    Raises:
        StoreError: a file is missing, damaged, or named by a path, which means nothing on another machine.
        Cancelled: `cancel` was set.
    """
    return Lock(tier=tuple(_locked(name, model, cancel) for name, model in _local(config)))


def _local(config: Config) -> list[tuple[str, str]]:
    """The name and the model of each local tier."""
    return [(table.rung.name, str(table.settings.get("model"))) for table in config.local_tiers]


def _locked(name: str, model: str, cancel: Cancel) -> LockedTier:
    from rung.store import Hub, user_store, verify
    from rung.store.files import wanted
    from rung.store.resolving import is_path

    if is_path(model):
        raise StoreError(
            f"tier {name!r} names its model by the path {model}, and nothing pins the bytes there",
            hint="name a model of `rung models list`",
        )
    store = user_store()
    file = verify(model, cancel=cancel, store=store)
    source = next(iter(wanted(model, store).sources), None)
    label = "" if source is None else source.spec if isinstance(source, Hub) else source.label
    return LockedTier(
        name=name,
        model=model,
        sha256=str(file.sha256),
        size=file.size,
        licence=file.licence or "",
        source=label,
    )


def read_lock(path: Path) -> Lock:
    """Read the lock at `path`.

    Raises:
        ConfigError: it can't be read, is malformed, or is of another version.
    """
    anew = "run `rung models lock` to write it anew"
    if not path.exists():
        raise ConfigError(f"there is no {path}", hint="run `rung models lock`")
    try:
        values = parse_toml(read_bounded(path, _MOST, "the lock"), str(path))
    except ConfigError as error:
        raise ConfigError(error.message, hint=anew) from None
    version = values.get("version")
    if type(version) is not int or version != _VERSION:
        shown = repr(version) if isinstance(version, int | str | float | None) else f"a {type(version).__name__}"
        raise ConfigError(
            f"{path} has the version {shown[:40]}, and this rung reads version {_VERSION}",
            hint=f"use the rung that wrote it, or {anew}",
        )
    found = read(Lock, values, str(path))
    known: set[str] = set()
    for tier in found.tier:
        if tier.name in known:
            raise ConfigError(f"{path} has two tiers {tier.name[:80]!r}", hint=anew)
        known.add(tier.name)
    return found


def differences(locked: Lock, config: Config, *, cancel: Cancel) -> list[str]:
    """What differs between a lock and the present files, one clause for each difference. Hashes each file.

    Args:
        locked: the lock as it was written.
        config: the configuration in force.
        cancel: ends it.

    Raises:
        Cancelled: `cancel` was set.
    """
    old, now = {tier.name: tier for tier in locked.tier}, dict(_local(config))
    found = [f"tier {name!r} is not in the configuration" for name in old if name not in now]
    for name, model in now.items():
        if name not in old:
            found.append(f"tier {name!r} is not in the lock")
            continue
        try:
            new = _locked(name, model, cancel)
        except StoreError as error:
            found.append(f"tier {name!r}: {error}")
            continue
        pairs = [(key, getattr(old[name], key), getattr(new, key)) for key in LockedTier.model_fields]
        found += [f"tier {name!r}: {key} is {b!r}, and the lock has {a!r}" for key, a, b in pairs if a != b]
    if not found and [*old] != [*now]:
        found.append("the tiers stand in another order")
    return found
