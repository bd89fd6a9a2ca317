"""Fixtures that every part of the suite may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from rung.errors import StoreError


def pytest_configure() -> None:
    """Programs that a test starts answer to Ctrl-C, even where this run began in the background and ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # what tests ask is no business of the ledger of whoever runs them
    os.environ["RUNG_LEDGER"] = "off"


@pytest.fixture(scope="session")
def weights() -> Callable[[str], Path]:
    """Gives the file of a catalogue model; skips the test where it was never pulled."""

    def find(name: str) -> Path:
        from rung.store import resolve

        try:
            return resolve(name).path
        except StoreError as error:
            pytest.skip(f"needs real weights: {error}")

    return find
