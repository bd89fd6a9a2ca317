"""Libraries of the extra `eval`, which rung itself doesn't install."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rung.errors import ConfigError


def library(name: str) -> Any:
    """A module of scipy, scikit-learn or matplotlib, imported on first use.

        special = library("scipy.special")

    Args:
        name: of the module.

    Raises:
        ConfigError: the extra isn't installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name.partition(".")[0]:
            raise
        raise ConfigError(f"this needs {name}, which isn't installed", hint='pip install "rung[eval]"') from error
