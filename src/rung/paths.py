"""The folders of this user's data, caches and configuration: as the system has them, or in an app's own place."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from rung.errors import ConfigError

_home: Path | None = None
_asked: bool = False
"""Whether anybody was told a folder yet, and may have put something there."""


def home(path: Path) -> None:
    """Put everything into an app's own folder from now on.

    Args:
        path: the folder. What is stored there first makes it.

    Raises:
        ConfigError: somebody was told another folder before.
    """
    global _home
    if _asked and path != _home:
        raise ConfigError(
            "rung.home(...) comes too late: rung has already looked into another folder",
            hint="call it before anything else of rung, in the app's main script",
        )
    _home = path


def named(variable: str) -> str | None:
    """The place that the environment names for something; `None` in an app's own place, which no variable moves.

    Args:
        variable: name of the variable.
    """
    return None if _home is not None else os.environ.get(variable) or None


def user_data() -> Path:
    """For files that must not be lost: model files, the ledger, the record of trusted files."""
    return _own() or platformdirs.user_data_path("rung", appauthor=False)


def user_cache() -> Path:
    """For files that can be made anew: prefixes of prompts, builds."""
    own = _own()
    return platformdirs.user_cache_path("rung", appauthor=False) if own is None else own / "cache"


def user_config() -> Path:
    """For files that the person wrote: the user's own `rung.toml`."""
    return _own() or platformdirs.user_config_path("rung", appauthor=False)


def common_cache() -> Path:
    """For what all programs of this user have to share, whatever place they have of their own: claims on memory."""
    return platformdirs.user_cache_path("rung", appauthor=False)


def _own() -> Path | None:
    global _asked
    _asked = True
    return _home
