"""Running the app on a socket, and stopping it: what is under way may end, within a set time."""

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

_AT_ONCE = 0.5
"""Seconds that requests have to notice their cancellation where nobody is left who could read an answer."""


class Server:
    """A server on one socket.

    Args:
        app: what it serves.
        stop_seconds: how long requests may go on once it is asked to stop.
        started: called when it takes requests.
        certificate: for TLS, and its key; `None` speaks plain HTTP.
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
        """Serve until somebody asks it to stop.

        Args:
            listener: the socket. It is closed.
        """
        asyncio.run(self._serve(listener))

    def stop(self, *, at_once: bool = False) -> None:
        """Take no more requests, and end when those under way have. It may be called from any thread, and again.

        Args:
            at_once: whether to cancel them now, because nobody waits for them.
        """
        with self._lock:
            wait = _AT_ONCE if at_once else self._seconds
            self._asked = wait if self._asked is None else min(wait, self._asked)
            loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._stop)
            except RuntimeError:  # it has ended already
                pass

    def _stop(self) -> None:
        self._uvicorn.config.timeout_graceful_shutdown = self._asked  # type: ignore[assignment]  # seconds, any number
        self._uvicorn.should_exit = True
        self._app.close()

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
            if self._asked is not None:  # somebody was quicker than the start
                self._stop()

        return call


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._call = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._call()
