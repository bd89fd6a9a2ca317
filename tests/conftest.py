"""Fixtures that every part of the suite may use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rung.errors import StoreError


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
