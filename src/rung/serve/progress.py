"""Distributing progress: every listener gets each update, and a slow listener misses some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from rung.types import Event, Preparing

_MOST = 100
"""Updates that wait for one listener. If it is slower than that, the oldest are dropped."""


class ProgressHub:
    """Passes updates from any thread on to the listeners."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Queue[Mapping[str, Any] | None], asyncio.AbstractEventLoop] = {}
        self._closed = False

    def publish(self, news: Mapping[str, Any]) -> None:
        """Send an update to all listeners. It may be called from any thread.

        Args:
            news: what happened, as JSON.
        """
        self._tell(news)

    def _tell(self, news: Mapping[str, Any] | None) -> None:
        for queue, loop in list(self._listeners.items()):
            try:
                loop.call_soon_threadsafe(_put, queue, news)
            except RuntimeError:  # the listener's loop is closed
                self._listeners.pop(queue, None)

    def told(self, event: Event) -> None:
        """Publish the progress of a tier's preparation; an observer of the ladder."""
        if isinstance(event, Preparing):
            self.publish({"what": event.phase, "tier": event.tier, "done": event.done, "total": event.total})

    def close(self) -> None:
        """End all listeners, now and later. Called on their loop."""
        self._closed = True
        self._tell(None)

    def listen(self) -> AsyncGenerator[Mapping[str, Any]]:
        """The updates from now on, until the hub is closed. Call it on the listener's loop."""
        queue: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue(_MOST)
        if self._closed:
            queue.put_nowait(None)
        else:
            self._listeners[queue] = asyncio.get_running_loop()
        return self._news(queue)

    async def _news(self, queue: asyncio.Queue[Mapping[str, Any] | None]) -> AsyncGenerator[Mapping[str, Any]]:
        try:
            while (news := await queue.get()) is not None:
                yield news
        finally:
            self._listeners.pop(queue, None)


def _put(queue: asyncio.Queue[Mapping[str, Any] | None], news: Mapping[str, Any] | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(news)
