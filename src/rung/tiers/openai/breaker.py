"""A breaker for each endpoint: while an endpoint is dead, calls fail at once instead of waiting for it again."""

from __future__ import annotations

import functools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rung.errors import TierUnavailable

Health = Literal["alive", "ill", "dead"]
"""What a call shows about its endpoint: it answered, if only to refuse; it failed quickly; it let the caller wait."""

_STRIKES = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0
_ENDPOINTS = 1024


class Breaker:
    """What this process knows about an endpoint's health. Safe from any thread.

    It opens after one call that waited in vain, or after three in a row that failed quickly. A 4xx is the request's
    fault, and proves that somebody is there. After a pause, one call is let through to try. If that fails too, the next
    pause is twice as long, up to a minute. Because of the jitter, no two processes come back together.

    Args:
        where: the endpoint, for messages.
        clock: returns seconds, like `time.monotonic`.
        dice: source of the jitter.
    """

    def __init__(
        self, where: str, *, clock: Callable[[], float] = time.monotonic, dice: random.Random | None = None
    ) -> None:
        self._where = where
        self._clock = clock
        self._dice = dice or random.Random()
        self._lock = threading.Lock()
        self._recover()

    def check(self) -> None:
        """Raise `TierUnavailable` while a call would be refused."""
        with self._lock:
            self._refuse_while_open()

    def enter(self) -> BreakerTrial:
        """Let a call through.

        Raises:
            TierUnavailable: the endpoint is in trouble, and it is not yet time to try it again.
        """
        with self._lock:
            self._refuse_while_open()
            self._trying = self._again is not None
            return BreakerTrial(self, self._trying)

    def _leave(self, trial: BreakerTrial, health: Health | None, wait: float | None) -> None:
        with self._lock:
            if trial.tries:
                self._trying = False
            if health == "alive":
                self._recover()
            elif health is not None and (trial.tries or self._again is None):
                self._strike(health, wait)

    def _recover(self) -> None:
        self._strikes = self._pauses = 0
        self._since = 0.0
        self._again: float | None = None
        self._trying = False

    def _strike(self, health: Health, wait: float | None) -> None:
        if self._strikes == 0:
            self._since = time.time()
        self._strikes += 1
        if health == "ill" and self._strikes < _STRIKES and self._again is None:
            return
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._pauses) * self._dice.uniform(0.8, 1.0)
        self._pauses = min(self._pauses + 1, 8)
        self._again = self._clock() + (pause if wait is None else min(wait, _LONGEST_PAUSE))

    def _refuse_while_open(self) -> None:
        if self._again is None:
            return
        left = self._again - self._clock()
        if left <= 0 and not self._trying:
            return
        when = "being tried by another call" if left <= 0 else f"tried again at {_of_day(time.time() + left)}"
        raise TierUnavailable(
            f"{self._where} has not worked since {_of_day(self._since)} and is {when}",
            hint="wait until then, or see what is wrong with the endpoint",
        )


@dataclass(frozen=True, slots=True)
class BreakerTrial:
    """One call that was let through.

    Args:
        breaker: the breaker that let it through.
        tries: whether it is the one call that tries a troubled endpoint.
    """

    breaker: Breaker
    tries: bool

    def end(self, health: Health | None, wait: float | None = None) -> None:
        """Report what the call met, once.

        Args:
            health: `None` if the call shows nothing about the endpoint, for example because the caller cancelled.
            wait: seconds that the endpoint asked to be left alone.
        """
        self.breaker._leave(self, health, wait)


@functools.lru_cache(_ENDPOINTS)
def breaker_of(endpoint: str, where: str) -> Breaker:
    """The breaker that all tiers of one endpoint share, for as long as the process lives.

    Args:
        endpoint: its base URL, with that of its proxy.
        where: the endpoint, for messages.
    """
    return Breaker(where)


def _of_day(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))
