"""HTTP as the server reads it: h11, which is strict about where one request ends, with a time limit on heads."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_SECONDS = 10.0
"""How long a client may take to send a head. Who sends it byte by byte holds a connection no longer."""

_MOST_CONNECTIONS = 512
"""Open connections. A machine's own clients have some dozens; each costs memory whether or not it has a token."""


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP, with limits on what it does before a request is there."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()
            return
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take what came, and see whether a head is under way."""
        super().data_received(data)
        under_way = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not under_way:
            self._forget()
        elif self._head is None:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._head = self.loop.call_later(_HEAD_SECONDS, self._too_slow)

    def _forget(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _too_slow(self) -> None:
        self._head = None
        self.transport.close()
