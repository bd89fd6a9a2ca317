from __future__ import annotations

import functools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import psutil
import pytest

from rung.tiers.llama import LlamaTier
from rung.tiers.llama.host.build import NoBuild, build
from rung.types import Call, Delta, Message

EVERY_LAYER = 999
"""More layers than any model has: all go to a GPU if the build has one. Otherwise the CPU computes."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What `cpu` marks holds only where the CPU computes."""
    if item.get_closest_marker("cpu") is not None and gpu_computes():
        pytest.skip("a GPU computes here")


@functools.cache
def gpu_computes() -> bool:
    """Whether the installed build of llama.cpp finds a GPU, which then holds and computes every model that fits."""
    try:
        return any(device.kind in ("gpu", "igpu") for device in build().devices)
    except NoBuild:
        return False


@pytest.fixture(autouse=True)
def workers_of_its_own(monkeypatch) -> None:
    """Tiers of a test share workers with each other, but not with tiers of other tests."""
    monkeypatch.setattr("rung.tiers.llama.host.sharing._WORKERS", {})


@pytest.fixture(scope="session")
def small(weights) -> Iterator[LlamaTier]:
    """SmolLM2-135M, one worker for the whole session; tests that harm a worker make their own tier."""
    tier = LlamaTier(weights("smollm2-135m"), name="small")
    yield tier
    tier.close()


@pytest.fixture
def make(weights) -> Iterator[Callable[..., LlamaTier]]:
    """Makes tiers of SmolLM2-135M that end with the test."""
    tiers: list[LlamaTier] = []

    def new(**settings) -> LlamaTier:
        tiers.append(LlamaTier(weights("smollm2-135m"), name="small", **settings))
        return tiers[-1]

    yield new
    for tier in tiers:
        tier.close()


@pytest.fixture
def script(weights) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a host process of its own: a program in which `MODEL` is the path of SmolLM2-135M."""
    started: list[subprocess.Popen[str]] = []

    def run(source: str) -> subprocess.Popen[str]:
        program = f"MODEL = {str(weights('smollm2-135m'))!r}\n{source}"
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def call(prompt: str | Sequence[Message] = "Name three colours.", **settings) -> Call:
    messages = (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
    return Call(messages, **{"max_tokens": 24, **settings})


def text(deltas: Sequence[Delta]) -> str:
    return "".join(d.text for d in deltas)


def gone(pid: int, within: float = 10.0) -> bool:
    """Whether the process is away, or a zombie that only waits for its parent to look."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
