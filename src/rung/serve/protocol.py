"""HTTP parsing by h11, which is strict about where a request ends. Request heads have a time limit."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_SECONDS = 10.0
"""Seconds that a client may take to send a request head. A slow sender can't hold a connection longer."""

_MOST_CONNECTIONS = 512
"""Most open connections. Local clients use a few dozen. Each costs memory, with or without a token."""


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP protocol, with limits that apply before a request is complete."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Accept a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()
            return
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Process received data, and start or stop the time limit on the head."""
        super().data_received(data)
        under_way = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not under_way:
            self._forget()
        elif self._head is None:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time limit of a lost connection."""
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
