"""`rung` as a program of its own, in a home and a working folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.hooks import ending_hooks
from helpers.program import Program
from helpers.warm import Warm


@pytest.fixture(autouse=True)
def guards_end() -> Iterator[None]:
    """What guard a command installs that is run in this process ends with its test."""
    with ending_hooks():
        yield


@pytest.fixture
def program(tmp_path: Path, warm: Warm | None) -> Program:
    home, work = tmp_path / "home", tmp_path / "home" / "work"
    work.mkdir(parents=True)
    (work / ".git").mkdir()
    return Program(home, work, warm)
