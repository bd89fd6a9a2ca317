"""A pytest plugin that forbids the network beyond this machine, from before the first test is imported.

It can't be lifted again within the process; `--network` leaves it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rung import guard
from rung.types import Zone

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--network`."""
    parser.addoption("--network", action="store_true", help="let tests reach beyond this machine")


def pytest_configure(config: pytest.Config) -> None:
    """Install the guard."""
    if not config.getoption("--network"):
        guard.install(Zone.HOST)
