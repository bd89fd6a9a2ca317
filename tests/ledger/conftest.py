"""A ledger in a folder of its own, and programs that use it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import rung
from rung.ledger import Ledger

SOURCE = Path(rung.__file__).parents[1]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "data" / "ledger.sqlite3"


@pytest.fixture
def ledger(path):
    with Ledger(path) as made:
        yield made


@pytest.fixture
def program() -> Callable[..., subprocess.Popen[str]]:
    """Starts Python on a text or a file, with rung in reach; what is still alive after the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str | Path, *arguments: object) -> subprocess.Popen[str]:
        what = [str(code)] if isinstance(code, Path) else ["-c", code]
        process = subprocess.Popen(
            [sys.executable, *what, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def finish(program) -> Callable[..., str]:
    """Runs such a program to its end; what it printed."""

    def run(code: str | Path, *arguments: object) -> str:
        out, err = (process := program(code, *arguments)).communicate(timeout=60)
        assert process.returncode == 0, err
        return out

    return run
