"""A worker's interpreter that starts before `rung ask` has imported what reads its configuration.

Reading it properly takes as long to import as a worker takes to start. So the files are glanced at first: do they
begin with a local model, and leave no worker behind? Whatever is wrong with them, the proper reading says. If the guess
is wrong, an interpreter has started for nothing, and ends.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rung.ladder import Ladder
    from rung.tiers.llama.host.head_start import HeadStart

_MOST = 1 << 20
"""Bytes of a configuration file."""


def begin(config: Path | None) -> HeadStart | None:
    """Start an interpreter for a worker if one will most likely be needed.

    Args:
        config: the configuration's file, if the person names one.
    """
    if not begins_locally(config):
        return None
    from rung.tiers.llama.host.channel import interpreter
    from rung.tiers.llama.host.head_start import HeadStart

    return HeadStart("rung-ahead", interpreter())


def hand_over(begun: HeadStart | None, ladder: Ladder, *, load: bool) -> None:
    """Give it to the first tier if that is a local model, which may begin to load, or let it end.

    Args:
        begun: what `begin` returned.
        ladder: who is asked.
        load: whether the first tier is certainly asked. A task may have found that it isn't worth it.
    """
    from rung.tiers.llama import LlamaTier

    first = ladder.rungs[0].tier
    if not isinstance(first, LlamaTier):
        if begun is not None:
            begun.drop()
        return
    first.head_start = begun
    if load:
        first.preload()


def begins_locally(config: Path | None) -> bool:
    """Whether the first tier is most likely a local model whose worker has yet to be started.

    Args:
        config: the configuration's file, if the person names one.
    """
    try:
        tables = [_glance(path) for path in ([config] if config is not None else _files())]
    except (OSError, ValueError, RecursionError):
        return False
    if any("linger" in table for table in tables):
        return False
    tiers = next((table["tier"] for table in tables if table.get("tier")), [{"kind": "llama"}])
    first = tiers[0] if isinstance(tiers, list) else None
    return isinstance(first, dict) and first.get("kind") == "llama"


def _files() -> list[Path]:
    from rung.config.places import Places, is_there

    places = Places.standard()
    return [path for path in (places.project(), places.user) if path is not None and is_there(path)]


def _glance(path: Path) -> dict[str, Any]:
    # a pipe could be read only once, and a file that isn't there would be missed again
    if not path.is_file() or path.stat().st_size > _MOST:
        raise OSError(path)
    return tomllib.loads(path.read_text(encoding="utf-8"))
