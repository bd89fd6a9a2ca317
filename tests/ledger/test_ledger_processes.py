"""Eight processes, killed at random, one budget, and an endpoint that keeps its own books."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import threading
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from spender import PRICE

from helpers.warm import Forked
from openai_tier.server import Peer, Server, cut, events, piece, status, usage
from rung.ledger import Ledger

SPENDER = Path(__file__).with_name("spender.py")
PROCESSES, REQUESTS, KILLS = 8, 200, 10
BUDGET = Decimal("0.8")


@dataclass
class Books:
    """What the endpoint charges, by key.

    `told` are charges that an answer's usage reports, `untold` those of answers that break off before that.
    """

    chance: random.Random = field(default_factory=lambda: random.Random(5))
    told: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    untold: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    answers: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, peer: Peer) -> None:
        """Charge, and only then answer; some answers are an error before any charge, and some break off after it."""
        key = peer.request.headers["authorization"].removeprefix("Bearer ")
        with self.lock:
            self.answers += 1
            fate, tokens = self.chance.random(), self.chance.randint(1, peer.request.json["max_tokens"])
            amount = int(PRICE.cost(10, tokens) * 10**12)
            if fate >= 0.06:
                self.told[key] += amount
            elif fate >= 0.03:
                self.untold[key] += amount
        answer = [piece("fine"), piece(finish="stop"), usage(10, tokens)]
        reply = status(400) if fate < 0.03 else cut(answer[0]) if fate < 0.06 else events(*answer, pause=0.0005)
        reply(peer)

    @property
    def charged(self) -> int:
        with self.lock:
            return sum(self.told.values()) + sum(self.untold.values())


@dataclass
class Started:
    """A process of its own key, and how many requests it has to make."""

    key: str
    requests: int
    process: Forked | subprocess.Popen[bytes]
    killed: bool = False

    def reasons(self) -> list[str]:
        """How each of its requests ended, once it is over."""
        out, err = self.process.communicate(timeout=10)
        self.killed = self.process.returncode < 0
        assert self.killed or self.process.returncode == 0, err
        return [line.split()[1] for line in out.decode().splitlines()]


@pytest.mark.proof
@pytest.mark.slow
def test_no_money_is_lost_or_overspent_by_eight_processes_that_are_killed_at_random(path, program):
    """8 x 200 requests on one daily budget, with kills in between.

    At every sample charges <= spent + reserved <= budget. At the end, for each process: what the ledger calls settled
    is what the endpoint told it; an answer that broke off before its usage counts with its bound; and a killed process
    leaves at most one reservation open, whose bound covers whatever it was charged and never wrote down.
    """
    books, chance = Books(), random.Random(7)
    everybody: list[Started] = []
    reasons: Counter[str] = Counter()
    with Ledger(path) as ledger:
        ledger.reserve(Decimal(0)).release()  # so that there is a file to look into
    watcher = sqlite3.connect(path, timeout=5)
    with Server(*[books] * (2 * PROCESSES * REQUESTS)) as server:

        def start(requests: int) -> Started:
            key = f"key-{len(everybody)}"
            everybody.append(Started(key, requests, program(SPENDER, path, server.url, key, BUDGET, requests)))
            return everybody[-1]

        running = [start(REQUESTS) for _ in range(PROCESSES)]
        kills = deque(60 * n for n in range(1, KILLS + 1))
        while running:
            charged = books.charged
            (counted,) = watcher.execute("SELECT sum(counted) FROM reservations").fetchone()
            assert charged <= counted <= BUDGET * 10**12
            if kills and books.answers >= kills[0]:
                kills.popleft()
                chance.choice(running).process.kill()
            for one in [s for s in running if s.process.poll() is not None]:
                running.remove(one)
                done = one.reasons()
                reasons.update(done)
                if one.killed and len(done) < one.requests:
                    running.append(start(one.requests - len(done)))
            time.sleep(0.005)
    assert sum(one.killed for one in everybody) >= KILLS // 2
    assert min(reasons["valid"], reasons["over_budget"], reasons["TierCrashed"]) > 0
    assert sum(reasons.values()) == PROCESSES * REQUESTS

    held: defaultdict[int, dict[str, tuple[int, int]]] = defaultdict(dict)
    for pid, state, *sums in watcher.execute(
        "SELECT pid, state, sum(counted), count(*) FROM reservations WHERE bound > 0 GROUP BY pid, state"
    ):
        held[pid][state] = tuple(sums)
    assert watcher.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    watcher.close()
    for one in everybody:
        states = held[one.process.pid]
        settled, unknown, opened = (states.get(s, (0, 0)) for s in ("settled", "unknown", "open"))
        told, untold = books.told[one.key], books.untold[one.key]
        assert opened[1] <= one.killed
        if one.killed:
            assert settled[0] <= told
            assert settled[0] + unknown[0] + opened[0] >= told + untold
        else:
            assert settled[0] == told
            assert unknown[0] >= untold
