"""`rung` as a program of its own, in a home and a working folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.hooks import ending_hooks
from helpers.program import IMPORTED, Program, environment
from helpers.warm import Warm


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm | None]:
    """The interpreter that commands are forked from; `None` where forking is not to be relied on."""
    if sys.platform != "linux":
        yield None
        return
    with Warm(environment(tmp_path_factory.mktemp("warm")), IMPORTED) as warm:
        yield warm


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
