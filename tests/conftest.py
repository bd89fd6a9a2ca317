"""Fixtures that every part of the suite may use."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from helpers.fetching import warm_fetching
from helpers.warm import Warm
from rung.errors import StoreError

# the same examples each time, and nothing kept between two runs, which may go on side by side
settings.register_profile("light", derandomize=True, database=None, deadline=None, max_examples=20)
settings.register_profile("thorough", settings.get_profile("light"), max_examples=100)
settings.load_profile("light")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--no-skips` and `--own-core`."""
    parser.addoption("--no-skips", action="store_true", help="a test that would be skipped fails")
    parser.addoption("--own-core", action="store_true", help="each process of xdist keeps to one core, as Linux can")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under `--no-skips`, what a test needs and doesn't find is a failure."""
    report = yield
    if report.skipped and item.config.getoption("--no-skips"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"--no-skips, and it would be skipped: {reason}"
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Programs that a test starts answer to Ctrl-C, even where this run began in the background and ignores it. They
    inherit the core, too.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if config.getoption("--own-core") and worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
    # what tests ask is no business of the ledger of whoever runs them
    os.environ["RUNG_LEDGER"] = "off"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each process of xdist begins with its share of the slow tests, so that none of them is what all wait for at the
    end. Those of one file stay together, because they often share what takes long to make. The others stay in their
    order, of which each process is given a piece.
    """
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = [item for item in items if item.get_closest_marker("slow") is not None]
    others = [item for item in items if item.get_closest_marker("slow") is None]
    files = [[*its] for _, its in itertools.groupby(slow, key=lambda item: item.path)]
    piece = -(-len(others) // processes)
    if processes > 1 and slow:
        items[:] = [
            item
            for number in range(processes)
            for item in (
                *itertools.chain.from_iterable(files[number::processes]),
                *others[number * piece : (number + 1) * piece],
            )
        ]


def pytest_collection() -> None:
    """What is imported and collected stays, so looking for garbage among it would be in vain."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From here on garbage is only looked for among what tests make."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def fetcher() -> Iterator[Warm | None]:
    """What pulls may fork their fetching from; `None` where forking is not to be relied on."""
    if sys.platform != "linux":
        yield None
        return
    with warm_fetching() as warm:
        yield warm


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm | None]:
    """The interpreter that commands are forked from; `None` where forking is not to be relied on."""
    if sys.platform != "linux":
        yield None
        return
    from helpers.program import IMPORTED, environment

    with Warm(environment(tmp_path_factory.mktemp("warm")), IMPORTED) as warm:
        yield warm


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
