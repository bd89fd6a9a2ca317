"""Running the app on a socket, and stopping it. Requests under way may finish within a set time."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn

from rung.serve.app import ServeApp
from rung.serve.door import HEAD_BYTES
from rung.serve.protocol import BoundedProtocol

_AT_ONCE = 0.3
"""Seconds that requests may continue if nobody is left to read an answer."""

_LAST = 0.5
"""Seconds that cancelled requests have to end and to tell their clients. A tier ends within 0.2 s."""


class Server:
    """A server on one socket.

    Args:
        app: what it serves.
        stop_seconds: how long requests may continue after the server was asked to stop.
        started: called when the server accepts requests.
        certificate: for TLS, and its key; `None` serves plain HTTP.
    """

    def __init__(
        self,
        app: ServeApp,
        *,
        stop_seconds: float,
        started: Callable[[], None],
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        chain, key = certificate or (None, None)
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ssl_certfile=chain,
            ssl_keyfile=key,
            h11_max_incomplete_event_size=HEAD_BYTES,
        )
        self._app = app
        self._seconds = stop_seconds
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: float | None = None
        self._uvicorn = _Uvicorn(config, self._on_started(started))

    def run(self, listener: socket.socket) -> None:
        """Serve until `stop` is called.

        Args:
            listener: the socket. It is closed afterwards.
        """
        asyncio.run(self._serve(listener))

    def stop(self, *, at_once: bool = False) -> None:
        """Refuse new requests, and end when those under way have ended. Any thread may call it, more than once.

        Args:
            at_once: whether to cancel requests under way now, because nobody waits for them.
        """
        with self._lock:
            wait = _AT_ONCE if at_once else self._seconds
            self._asked = wait if self._asked is None else min(wait, self._asked)
            loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._stop)
            except RuntimeError:  # the server has already ended
                pass

    def _stop(self) -> None:
        if self._asked is None or self._loop is None:
            return
        # each stop has its own timer, because a later one may be more urgent; uvicorn's own timeout is for what ignores
        # all of that
        limit = self._seconds + 2 * _LAST
        self._uvicorn.config.timeout_graceful_shutdown = limit  # type: ignore[assignment]  # seconds, any number
        self._uvicorn.should_exit = True
        self._app.close()
        self._loop.call_later(self._asked, self._cancel, self._loop)

    def _cancel(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what is under way."""
        self._app.cancel()
        loop.call_later(_LAST, self._abort)

    def _abort(self) -> None:
        """End what ignores that, and clients that don't read."""
        for task in list(self._uvicorn.server_state.tasks):
            task.cancel()
        for connection in list(self._uvicorn.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def _serve(self, listener: socket.socket) -> None:
        with self._lock:
            self._loop = asyncio.get_running_loop()
        try:
            await self._uvicorn.serve(sockets=[listener])
        finally:
            with self._lock:
                self._loop = None

    def _on_started(self, started: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            started()
            if self._asked is not None:  # stopped before it had started
                self._stop()

        return call


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._call = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._call()
