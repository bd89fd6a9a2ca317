"""The folders of this user's data, caches and configuration, as the system has them."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def user_data() -> Path:
    """For files that must not be lost: model files, the ledger, the record of trusted files."""
    return platformdirs.user_data_path("rung", appauthor=False)


def user_cache() -> Path:
    """For files that can be made anew: prefixes of prompts, builds, the claims of running workers."""
    return platformdirs.user_cache_path("rung", appauthor=False)


def user_config() -> Path:
    """For files that the person wrote: the user's own `rung.toml`."""
    return platformdirs.user_config_path("rung", appauthor=False)
