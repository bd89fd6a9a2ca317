import threading
import time
from collections.abc import Callable, Iterator

import pytest

from openai_tier.server import Reply, Server
from rung.tiers.openai import OpenAITier
from rung.tiers.openai import tier as tier_module
from rung.tiers.openai.breaker import breaker_of
from rung.tiers.openai.memory import memory_of
from rung.types import Call, Delta, Message

Ask = Callable[..., list[Delta]]


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts a scripted server that ends with the test."""
    servers: list[Server] = []

    def start(*script: Reply) -> Server:
        servers.append(Server(*script))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def tier_at() -> Iterator[Callable[..., OpenAITier]]:
    """Makes a tier that is closed with the test, and whose thread is then gone."""
    tiers: list[OpenAITier] = []

    def make(server: Server, **settings: object) -> OpenAITier:
        tiers.append(OpenAITier("m", **{"base_url": server.url, "seed": 1, **settings}))
        return tiers[-1]

    yield make
    for tier in tiers:
        tier.close()
    assert eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("rung-openai")])


def call(text: str = "hi", **fields: object) -> Call:
    return Call((Message("user", text),), **fields)


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def notes_of(deltas: list[Delta]) -> str:
    return " ".join(note for delta in deltas for note in delta.notes)


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(autouse=True)
def _no_memory() -> None:
    """A port that another test's dead server had is a stranger."""
    breaker_of.cache_clear()
    memory_of.cache_clear()


@pytest.fixture(autouse=True)
def questions(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """No loopback server is asked where it runs its model, so that a test sees its own requests alone, unless it calls
    this."""
    usual = tier_module._QUESTIONS
    monkeypatch.setattr(tier_module, "_QUESTIONS", 0)
    return lambda: monkeypatch.setattr(tier_module, "_QUESTIONS", usual)
