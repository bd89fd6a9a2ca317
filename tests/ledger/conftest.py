"""A ledger in a folder of its own, and programs that use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from helpers.running import run_python, start_python
from rung.ledger import Ledger


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "data" / "ledger.sqlite3"


@pytest.fixture
def ledger(path):
    with Ledger(path) as made:
        yield made


@pytest.fixture
def program(warm) -> Iterator[Callable[..., Any]]:
    """Starts Python on a text or a file, with rung in reach; what is still alive after the test is killed."""
    with ExitStack() as started:

        def start(code: str | Path, *arguments: object) -> Any:
            process = started.enter_context(start_python(warm, code, *arguments))
            started.callback(process.kill)
            return process

        yield start


@pytest.fixture
def finish(warm) -> Callable[..., str]:
    """Runs such a program to its end; what it printed."""

    def run(code: str | Path, *arguments: object) -> str:
        ended, out, err = run_python(warm, code, *arguments)
        assert ended == 0, err
        return out

    return run
