"""From a `[[tier]]` to a tier. Kinds are entry points in the group `rung.tiers`, imported on first use."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from rung.config.tables import PolicyTable, RungTable, TierTable
from rung.errors import ConfigError, RungError
from rung.hiding import hide
from rung.hosts import canonical, covers, zone_of
from rung.redaction import redact
from rung.settings import SettingsTable
from rung.spelling import nearest, shortened
from rung.tier import Rung, Tier, TierKind
from rung.types import Zone

GROUP = "rung.tiers"
Factory = Callable[[str, Mapping[str, Any]], Tier]
"""Makes a tier from its name and settings. Raises `ConfigError` for settings that it doesn't know."""

_ALIKE = 0.8


def kinds() -> dict[str, EntryPoint]:
    """Every installed kind of tier, by name.

    Raises:
        ConfigError: two packages offer different tiers under the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise ConfigError(
                f"two packages offer the tier kind {entry.name!r}: {_package(other)} and {_package(entry)}",
                hint="uninstall one of them",
            )
    return found


def is_ours(kind: str) -> bool:
    """Whether a kind comes with rung, so that the effect of its settings is known."""
    entry = kinds().get(kind)
    return entry is not None and entry.module.startswith("rung.tiers.")


def declared(kind: str) -> type[SettingsTable] | None:
    """The settings that a kind declares; `None` if it declares none. Imports the package of the kind.

    Raises:
        ConfigError: there is no such kind, or its package can't be imported.
    """
    factory = _load(kind, "")
    return factory.settings if isinstance(factory, TierKind) else None


def build(table: TierTable, policy: PolicyTable, policy_file: str, *, redacts: bool) -> Rung:
    """Make the tier that a table describes, with the ladder's settings for it. Sends nothing and loads no model.

    Args:
        table: one `[[tier]]`.
        policy: which kinds and hosts are allowed.
        policy_file: where the policy is.
        redacts: whether prompts that leave this machine are masked, if the table doesn't say.

    Raises:
        ConfigError: the kind or a setting is unknown, or the policy forbids the tier.
    """
    kind = table.rung.kind
    if policy.kinds is not None and kind not in policy.kinds:
        said = f"{table.where}: {policy_file} allows no tier of the kind {hide(kind)!r}"
        raise ConfigError(said, hint="remove the tier")
    rung = Rung(
        _make(table),
        repairs=table.rung.repairs,
        max_seconds=table.rung.max_seconds,
        min_confidence=table.rung.min_confidence,
        feedback=table.rung.feedback,
        max_tokens=table.rung.max_tokens,
        max_cost=table.rung.max_cost,
        redactor=redact if (redacts if table.rung.redact is None else table.rung.redact) else None,
    )
    if policy.hosts is not None and (which := _foreign(rung, policy.hosts)):
        raise ConfigError(
            f"{table.where}: it would reach {which}, which {policy_file} doesn't allow", hint="remove the tier"
        )
    return rung


def hosts(rung: Rung) -> frozenset[str] | None:
    """The hosts that a tier connects to, in their canonical form; `None` if it doesn't say."""
    return None if rung.connects is None else frozenset(canonical(host) or host for host in rung.connects.hosts)


def _foreign(rung: Rung, allowed: frozenset[str]) -> str:
    """The hosts that a tier would reach although neither proven to be this machine nor allowed, as a clause; empty if
    there are none.
    """
    named = hosts(rung)
    if named is None:
        return "a host that it doesn't name" if rung.tier.zone > Zone.HOST else ""
    beyond = {host for host in named if zone_of(host) != Zone.HOST}
    return ", ".join(sorted(host for host in beyond if not covers(allowed, host)))


def _make(table: TierTable) -> Tier:
    name = table.rung.name
    factory = _load(table.rung.kind, f"{table.where}: ")
    try:
        return factory(name, table.settings)
    except RungError as error:
        place = table.where.removesuffix(f": tier {shortened(hide(name))!r}")
        # another package may repeat a value in its message, and a value may be a key in the wrong place
        raise ConfigError(f"{place}: {hide(error.message)}", hint=_own_key(error) or hide(error.hint)) from error
    except Exception as error:  # another package may raise anything, and the user can only correct the table
        raise _broken(table.rung.kind, f"{table.where}: ", error) from error


def _load(kind: str, place: str) -> Factory:
    """The factory for the tiers of a kind. Errors begin with `place`."""
    known = kinds()
    if kind not in known:
        raise ConfigError(f"{place}there is no tier kind {hide(kind)!r}", hint=nearest(kind, known))
    try:
        return cast("Factory", known[kind].load())
    except Exception as error:
        raise _broken(kind, place, error) from error


def _broken(kind: str, place: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{place}the kind {kind!r} of {_package(kinds()[kind])} raised {type(error).__name__}",
        hint="see what that package asks for, or set RUNG_DEBUG=1 for its traceback",
    )


def _own_key(error: RungError) -> str:
    """A hint for a key that a tier doesn't know but that is close to one of the ladder's; empty otherwise."""
    if not isinstance(error, ConfigError) or not error.unknown_key:
        return ""
    close = difflib.get_close_matches(error.unknown_key, RungTable.all_keys(), n=1, cutoff=_ALIKE)
    return f"did you mean {close[0]!r}?" if close else ""


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.module
