"""How many requests run at once, and how many may wait."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rung.limits import Cancel
from rung.serve.errors import ApiError, Gone, stopping

_LONGEST_WAIT = 60
"""The longest `retry-after` that a client is sent, in seconds."""

_WEIGHT = 0.2
"""Weight of the latest request in the moving average of durations, so that a handful of requests dominate it."""


class Queue:
    """Slots for requests, first come, first served. Used from one event loop.

    Args:
        concurrent: number of slots.
        most: the most requests that may wait for a slot.
        seconds: the longest that a request may wait.

    `running` and `waiting` count requests. `closed` says whether new requests are refused.
    """

    def __init__(self, concurrent: int, most: int, seconds: float) -> None:
        self.running = 0
        self.closed = False
        self._concurrent = concurrent
        self._most = most
        self._seconds = seconds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._usual = 1.0

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a slot."""
        return len(self._waiting)

    @asynccontextmanager
    async def place(self, gone: Cancel) -> AsyncIterator[None]:
        """Hold a slot for the length of the block.

        Args:
            gone: set when nobody waits for the answer any more.

        Raises:
            ApiError: too many requests wait, or this one has waited too long.
            Gone: the client disconnected.
        """
        await self._enter(gone)
        began = time.monotonic()
        try:
            yield
        finally:
            self._usual += _WEIGHT * (time.monotonic() - began - self._usual)
            self._leave()

    def close(self) -> None:
        """Refuse new requests and those that wait."""
        self.closed = True
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(stopping())

    async def _enter(self, gone: Cancel) -> None:
        if self.closed:
            raise stopping()
        if self.running < self._concurrent and not self._waiting:
            self.running += 1
            return
        if len(self._waiting) >= self._most:
            raise self._full(f"{len(self._waiting)} requests wait already")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)

        def stop() -> None:
            turn.cancel()

        forget = gone.on_set(stop)
        try:
            async with asyncio.timeout(self._seconds):
                await turn
        except BaseException as error:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave()  # the slot was assigned at the same moment
            if isinstance(error, TimeoutError):
                raise self._full(f"its turn didn't come within {self._seconds:g} s") from None
            if isinstance(error, asyncio.CancelledError) and gone.is_set():
                raise Gone from None
            raise
        finally:
            forget()

    def _leave(self) -> None:
        """Pass the slot to the next request, or free it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1

    def _full(self, why: str) -> ApiError:
        wait = math.ceil(self._usual * (len(self._waiting) + 1) / self._concurrent)
        return ApiError(
            429,
            f"the server is busy: {why}",
            "rate_limit_error",
            "overloaded",
            headers={"retry-after": str(min(max(wait, 1), _LONGEST_WAIT))},
        )
