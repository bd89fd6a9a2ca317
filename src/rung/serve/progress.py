"""Who is told of progress: every listener gets each piece of news, and a slow one misses some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from rung.types import Event, Preparing

_MOST = 100
"""Pieces of news that wait for one listener. Who reads slower than that wants the latest ones."""


class ProgressHub:
    """Passes news from any thread on to the listeners."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Queue[Mapping[str, Any] | None], asyncio.AbstractEventLoop] = {}

    def publish(self, news: Mapping[str, Any]) -> None:
        """Tell everybody who listens. It may be called from any thread.

        Args:
            news: what happened, as JSON.
        """
        self._tell(news)

    def _tell(self, news: Mapping[str, Any] | None) -> None:
        for queue, loop in list(self._listeners.items()):
            try:
                loop.call_soon_threadsafe(_put, queue, news)
            except RuntimeError:  # that loop is closed, and nobody listens there
                self._listeners.pop(queue, None)

    def told(self, event: Event) -> None:
        """Pass on how far a tier has come in getting ready; an observer of the ladder."""
        if isinstance(event, Preparing):
            self.publish({"what": event.phase, "tier": event.tier, "done": event.done, "total": event.total})

    def close(self) -> None:
        """Nothing more will be told."""
        self._tell(None)

    def listen(self) -> AsyncGenerator[Mapping[str, Any]]:
        """The news from now on, until the hub is closed. Called on the listener's loop."""
        queue: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue(_MOST)
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
