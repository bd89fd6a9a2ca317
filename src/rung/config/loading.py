"""Putting the layers of configuration together."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from rung import guard
from rung.config.config import Config
from rung.config.document import Document, Origin, Setting, open_document, read_table
from rung.config.ledger import ledger_config
from rung.config.lingering import linger_config
from rung.config.places import Places, is_there
from rung.config.serve import serve_config
from rung.config.tables import FileTable, PolicyTable, TierTable
from rung.config.tasks import task_places
from rung.config.trusting import recorded
from rung.errors import ConfigError
from rung.files import full
from rung.hiding import hide
from rung.limits import Budget, Money, usd
from rung.money import PaidAfter
from rung.store.sourcing import see_place
from rung.types import Zone

T = TypeVar("T")
_DEFAULT = Origin("default")
_OPTION = Origin("option")


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    reach: Zone | None = None,
    seconds: float | None = None,
    tokens: int | None = None,
    money: Money | None = None,
    models_from: Sequence[str] = (),
    packages: bool = False,
    project: str | os.PathLike[str] | None = None,
    places: Places | None = None,
) -> Config:
    """Load the configuration in force.

    Args:
        path: the only file to read. Naming it trusts it. `None` looks for a project file and the user's file.
        reach: how far a prompt may travel. Giving it is consent.
        seconds: wall time of each request.
        tokens: tokens of each request.
        money: US dollars of each request.
        models_from: folders and web servers that model files are looked for in first.
        packages: whether model files may come from package wheels, if the files don't allow it already.
        project: the project file, instead of the one that a search would find. Naming it here doesn't trust it.
        places: where to look; this user's places by default.

    Raises:
        ConfigError: a file can't be read, or a setting in it or in the environment is unknown or wrong.
    """
    places = places or Places.standard()
    policy = _policy(places.policy)
    files = _files(places, path, project)
    layers = _Layers(files, [])
    chosen_reach = _reach(layers, reach, policy, places)
    paid_after: Setting[PaidAfter] = layers.pick(
        "paid_after", lambda t: t.paid_after, looser=lambda new, old: new == "any_failure" != old
    )
    linger, unlingering = linger_config(layers.pick, policy, Origin("policy", str(places.policy)))
    amount = None if money is None else usd(money, "money")
    Budget(seconds, tokens)  # refuses invalid limits
    return Config(
        reach=chosen_reach,
        paid_after=paid_after,
        redact=layers.pick("redact", lambda t: t.redact, looser=lambda new, old: old and not new),
        unload_after=layers.pick("unload_after", lambda t: t.unload_after),
        linger=linger,
        drafts=layers.pick("drafts", lambda t: t.drafts),
        seconds=_given(seconds) or layers.pick("budget.seconds", lambda t: t.budget.seconds),
        tokens=_given(tokens) or layers.pick("budget.tokens", lambda t: t.budget.tokens),
        money=_given(amount) or layers.pick("budget.money", lambda t: t.budget.money, looser=_more_money),
        ledger=ledger_config(layers.pick, _more_money, policy, Origin("policy", str(places.policy))),
        models_from=_models_from(layers, models_from),
        packages=_given(packages or None)
        or layers.pick("models.packages", lambda t: t.models.packages, looser=lambda new, old: new and not old),
        # shadows make more work for this machine, and lead to more consent questions where the reach is wide
        shadow=layers.pick("shadow.share", lambda t: t.shadow.share, looser=lambda new, old: new > old),
        shadow_busy=layers.pick("shadow.busy", lambda t: t.shadow.busy, looser=lambda new, old: new > old),
        serve=serve_config(layers.pick),
        tiers=_tiers(files),
        policy=policy,
        policy_file=places.policy,
        files=tuple(files),
        tasks=task_places(tuple(files), places),
        denied=tuple(layers.denied),
        notes=(*_notes(chosen_reach, reach), *unlingering),
    )


def farthest(places: Places | None = None) -> Setting[Zone]:
    """How far anything may travel whatever the user wants: the system's policy and the environment's switch.

    Raises:
        ConfigError: the policy can't be read or is wrong.
    """
    places = places or Places.standard()
    return _held(Setting(Zone.INTERNET, _DEFAULT), _policy(places.policy), places)


def _policy(path: Path) -> PolicyTable:
    return read_table(path, PolicyTable)[0] if _is_there(path) else PolicyTable()


def _is_there(path: Path) -> bool:
    """Whether there is a policy. Only a missing file or folder means that there is none. A dangling link, or a path
    that can't be examined, stops everything. Otherwise breaking the policy's path would be a way around it.

    Raises:
        ConfigError: the path can't be examined.
    """
    for part in (*reversed(path.parents), path):
        try:
            entry = os.lstat(part)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unreadable(path, error) from None
        if stat.S_ISLNK(entry.st_mode):
            try:
                part.stat()
            except OSError as error:
                raise _unreadable(path, error, f": {part} is a link to what isn't there") from None
    return True


def _unreadable(path: Path, error: OSError, why: str = "") -> ConfigError:
    why = why if why and isinstance(error, FileNotFoundError) else f": {(error.strerror or str(error)).lower()}"
    return ConfigError(f"the policy {path} can't be read{why}", hint="have an administrator repair or remove it")


def _files(
    places: Places, path: str | os.PathLike[str] | None, project: str | os.PathLike[str] | None
) -> list[Document]:
    """The files in force, highest precedence first."""
    if path is not None:
        return [open_document(full(path, "the configuration"), "named file", trusted=True)]
    found = []
    nearest = full(project, "the configuration") if project is not None else places.project()
    if nearest is not None:
        found.append(open_document(nearest, "project file", recorded=recorded(nearest, places)))
    # a dangling link counts as a file: the user who made it wants its target
    there = is_there(places.user)
    if places.named and not there:
        raise ConfigError(
            f"RUNG_CONFIG names {places.user}, and there is no such file", hint="correct RUNG_CONFIG, or unset it"
        )
    if there:
        found.append(open_document(places.user, "user file", trusted=True))
    return found


@dataclass(frozen=True, slots=True)
class _Layers:
    """The files, and what an untrusted one asked for and was denied."""

    files: Sequence[Document]
    denied: list[str]

    def pick(
        self,
        key: str,
        get: Callable[[FileTable], T],
        looser: Callable[[T, T], bool] = lambda new, old: False,
    ) -> Setting[T]:
        """Pick a setting by precedence.

        Args:
            key: its name, for the list of what was denied.
            get: takes it out of a file.
            looser: whether a value allows more than the one of lower precedence. Only a trusted file may do that.
        """
        found = Setting(get(FileTable()), _DEFAULT)
        for file in reversed(self.files):
            if not file.table.says(key):
                continue
            value = get(file.table)
            if not file.trusted and looser(value, found.value):
                self.denied.append(f"set {key} = {_shown(value)}")
            else:
                found = Setting(value, file.origin)
        return found


def _reach(layers: _Layers, option: Zone | None, policy: PolicyTable, places: Places) -> Setting[Zone]:
    if option is not None:
        found = Setting(Zone(option), _OPTION)
    else:
        found = layers.pick(
            "reach",
            lambda t: Zone.parse(t.reach),
            looser=lambda new, old: new > old,
        )
        found = _tighter(found, os.environ.get("RUNG_REACH"), Origin("environment", "RUNG_REACH"))
    return _held(found, policy, places)


def _held(found: Setting[Zone], policy: PolicyTable, places: Places) -> Setting[Zone]:
    found = _tighter(found, policy.reach, Origin("policy", str(places.policy)))
    named = guard.switches()
    return _tighter(found, "host" if named else None, Origin("environment", " and ".join(named)))


def _models_from(layers: _Layers, option: Sequence[str]) -> Setting[tuple[str, ...]]:
    if option:
        return Setting(tuple(_here(place, _OPTION) for place in option), _OPTION)
    variable = os.environ.get("RUNG_MODELS_FROM", "")
    if given := [place.strip() for place in variable.split(",") if place.strip()]:
        origin = Origin("environment", "RUNG_MODELS_FROM")
        return Setting(tuple(_here(place, origin) for place in given), origin)
    # an untrusted file could cause a connection, or choose which files of this machine are read
    return layers.pick("models.from", lambda t: t.models.places, looser=lambda new, old: bool(set(new) - set(old)))


def _here(place: str, origin: Origin) -> str:
    """A place in full. A folder may be relative to the working folder."""
    whole = place if "://" in place else os.path.normpath(full(place, str(origin)).absolute())
    try:
        see_place(whole)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {hide(place)!r} is not a valid place: {error.message}") from None
    return whole


def _tighter(found: Setting[Zone], limit: str | None, origin: Origin) -> Setting[Zone]:
    if not limit:
        return found
    try:
        zone = Zone.parse(limit)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {hide(error.message)}", hint=error.hint) from None
    return Setting(zone, origin) if zone < found.value else found


def _tiers(files: Sequence[Document]) -> Setting[tuple[TierTable, ...]]:
    for file in files:
        if file.tiers:
            return Setting(file.tiers, file.origin)
    return Setting((), _DEFAULT)


def _notes(reach: Setting[Zone], option: Zone | None) -> tuple[str, ...]:
    """What the user asked for and doesn't get."""
    notes = []
    if option is not None and reach.value < option:
        notes.append(f"the reach is {reach.value} and not {option}: {reach.origin} allows no more")
    wish = os.environ.get("RUNG_REACH")
    if option is None and wish and Zone.parse(wish) > reach.value:
        notes.append(f"RUNG_REACH={wish} has no effect: the environment only tightens; use --reach")
    return tuple(notes)


def _given(value: T | None) -> Setting[T] | None:
    return None if value is None else Setting(value, _OPTION)


def _more_money(new: Decimal | None, old: Decimal | None) -> bool:
    return old is not None and new is not None and new > old


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    # a zone is an int, too, but is shown by its name
    return str(value) if isinstance(value, Decimal) or type(value) is int else f'"{hide(str(value))}"'
