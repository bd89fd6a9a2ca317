"""Shadows: answers that are also asked of the next tier, to learn how often the two agree. When, and how often."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from rung import checking
from rung.engine.idle import machine_is_idle
from rung.limits import LONGEST, Cancel
from rung.types import Shadowed, Toss

PATIENCE = 600.0
"""Seconds that a shadow waits for the machine to be idle, by default."""

_MOST = 32
"""Shadows that may wait. Each keeps its prompt in memory. At a share of 5% they are those of 640 requests."""

_QUIET = 1.0
"""Seconds without a request after which the ladder counts as idle. In a burst the next request comes sooner."""

_LOOK = 0.25
"""Seconds between two checks."""

_TRIES = 5
"""How often a shadow is begun. A request that comes meanwhile stops it."""

_ENDING = 2.0
"""Seconds for a cancelled call to end. It needs 0.2."""

_COIN = random.SystemRandom()
"""Not the module's own generator: a program that seeds that one would get the same draws every time."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """How often an accepted answer of a local tier is also asked of the next tier, and when.

        ladder = rung.Ladder(small, shadow=rung.Shadow(0.05, patience=60))
        ladder.run("Is water wet?", ["yes", "no"]).value  # yes

    Args:
        share: probability that a request gets a shadow. A random draw decides before the request is answered.
        idle: says whether the machine has time to spare. It is called on a separate thread, again and again while no
            request is under way. By default: less than half of the processors' time was used in half a second.
        patience: seconds that a shadow waits for an idle machine before it is dropped.

    Raises:
        ConfigError: a value has the wrong type, or is out of range.
    """

    share: float
    idle: Callable[[], bool] = machine_is_idle
    patience: float = PATIENCE

    def __post_init__(self) -> None:
        checking.real("shadow.share", self.share, 0.0, 1.0)
        checking.function("shadow.idle", self.idle)
        checking.real("shadow.patience", self.patience, 0.0, LONGEST)


@dataclass(slots=True, eq=False)
class ShadowJob:
    """A shadow that waits until it may be asked.

    Args:
        toss: the draw.
        against: the tier to ask.
        ask: asks it, until the flag is set.
        tell: told the result.
        here: whether that tier is on this machine. Then a request stops it. A tier elsewhere takes nothing from a
            request.
    """

    toss: Toss
    against: str
    ask: Callable[[Cancel], Shadowed]
    tell: Callable[[Shadowed], None]
    here: bool = True
    since: float = field(default_factory=time.monotonic)
    tries: int = 0
    closed: bool = False

    def drop(self, reason: str) -> None:
        """Report that the shadow was dropped."""
        self.tell(Shadowed(self.toss, self.against, None, reason))


@dataclass(slots=True)
class _Process:
    """The shadows that wait in one process. After a fork the child has none, because those are the parent's."""

    news: threading.Condition = field(default_factory=threading.Condition)
    jobs: deque[ShadowJob] = field(default_factory=deque)
    under_way: int = 0
    quiet_since: float = -LONGEST
    running: tuple[ShadowJob, Cancel] | None = None
    thread: threading.Thread | None = None


class Shadows:
    """Draws which requests of one ladder get a shadow, and asks shadows one by one on a thread while no request runs.

    A request that comes meanwhile stops the shadow, which is begun again later. A dropped shadow is reported with its
    reason. If the process is killed, nobody reports its shadows, and the ledger has their draws without a result.

    Args:
        settings: how often and when.
        asks: whether shadows are asked here. Otherwise there are only draws, and another process asks.
    """

    def __init__(self, settings: Shadow, *, asks: bool = True) -> None:
        self.settings = settings
        self.asks = asks
        self._said = False
        self._processes: dict[int, _Process] = {}

    def tossing(self) -> Shadows:
        """The same settings without a thread: only draws, and another process asks."""
        return Shadows(self.settings, asks=False)

    def toss(self) -> Toss:
        """Draw for a request. The draw comes before the answer, so that it can't depend on it."""
        return Toss(self.settings.share, _COIN.random() < self.settings.share, os.urandom(8).hex())

    def once(self) -> bool:
        """Whether this is the first call. What is to be said only once is said then."""
        said, self._said = self._said, True
        return not said

    @contextmanager
    def request(self) -> Iterator[None]:
        """A block in which a request is under way. The shadow that is being asked makes room for it."""
        here = self._here()
        with here.news:
            here.under_way += 1
            if here.running is not None and here.running[0].here:
                here.running[1].set()
        try:
            yield
        finally:
            with here.news:
                here.under_way -= 1
                here.quiet_since = time.monotonic()

    def put(self, job: ShadowJob) -> None:
        """Have a shadow asked when the machine is idle."""
        here = self._here()
        with here.news:
            full = len(here.jobs) >= _MOST
            if not full:
                here.jobs.append(job)
                if here.thread is None:
                    here.thread = threading.Thread(target=self._work, args=(here,), name="rung-shadow", daemon=True)
                    here.thread.start()
        if full:
            job.drop("too many are waiting")

    def close(self) -> None:
        """Drop the shadows that wait, and stop the one that is being asked."""
        here = self._here()
        with here.news:
            waiting = list(here.jobs)
            here.jobs.clear()
            if here.running is not None:
                here.running[0].closed = True
                here.running[1].set()
            here.news.notify_all()
        for job in waiting:
            job.drop("the ladder was closed")
        with here.news:
            here.news.wait_for(lambda: here.running is None, _ENDING)

    def _here(self) -> _Process:
        return self._processes.setdefault(os.getpid(), _Process())

    def _work(self, here: _Process) -> None:
        while True:
            with here.news:
                if not here.jobs:
                    here.thread = None
                    return
                job = here.jobs[0]
            if time.monotonic() - job.since > self.settings.patience:
                self._take(here, job, "the machine was never idle")
            elif self._is_quiet(here) and self._is_idle():
                self._run(here, job)
            else:
                with here.news:
                    here.news.wait(_LOOK)

    def _take(self, here: _Process, job: ShadowJob, reason: str) -> None:
        with here.news:
            if job not in here.jobs:
                return  # the ladder was closed meanwhile, which reported it
            here.jobs.remove(job)
        job.drop(reason)

    def _is_quiet(self, here: _Process) -> bool:
        with here.news:
            return not here.under_way and time.monotonic() - here.quiet_since >= _QUIET

    def _is_idle(self) -> bool:
        with suppress(Exception):  # a user's function that fails says nothing
            return bool(self.settings.idle())
        return False

    def _run(self, here: _Process, job: ShadowJob) -> None:
        cancel = Cancel()
        with here.news:
            if job not in here.jobs or here.under_way:
                return
            here.jobs.remove(job)
            here.running = job, cancel
        job.tries += 1
        try:
            found = job.ask(cancel)
        except Exception as error:  # noqa: BLE001  a validator's own bug, on a thread where nobody could be told
            found = Shadowed(job.toss, job.against, None, type(error).__name__)
        with here.news:
            again = cancel.is_set() and not job.closed and job.tries < _TRIES
            if again:
                here.jobs.appendleft(job)
        if not again:
            if cancel.is_set():
                found = Shadowed(
                    job.toss,
                    job.against,
                    None,
                    "the ladder was closed" if job.closed else "requests kept coming",
                    found.attempts,
                )
            job.tell(found)
        with here.news:
            here.running = None
            here.news.notify_all()
