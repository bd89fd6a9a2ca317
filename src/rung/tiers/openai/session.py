"""The SDK's client and its event loop, on one thread that the first call starts and `close` ends."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rung.errors import ConfigError, TierUnavailable
from rung.tiers.openai.endpoint import Endpoint
from rung.types import Zone

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_LONGEST_END = 5.0
Job = Callable[["AsyncOpenAI"], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Route:
    """How the client reaches its endpoint.

    Args:
        endpoint: the endpoint.
        leads_to: the zone of the addresses that the endpoint's name may lead to.
        proxy: the proxy on the way; `None` goes straight there.
        ca_bundle: file of certificates to trust; `None` trusts the system's.
        connect_seconds: longest wait for a connection.
        stall_seconds: longest wait between two pieces of a response.
        max_answer_bytes: longest response that is read.
    """

    endpoint: Endpoint
    leads_to: Zone
    proxy: Endpoint | None
    ca_bundle: str | None
    connect_seconds: float
    stall_seconds: float
    max_answer_bytes: int

    def client(self) -> AsyncOpenAI:
        """The SDK's client. Everything that it would look for in the environment is given.

        Raises:
            TierUnavailable: the SDK is not installed, or the bundle can't be read or holds no certificates.
        """
        try:
            import httpx2
            from openai import AsyncOpenAI
        except ImportError:
            raise TierUnavailable("the package openai is not installed", hint="pip install openai") from None
        from rung.tiers.openai.transport import Transport

        timeout = httpx2.Timeout(self.stall_seconds, connect=self.connect_seconds)
        try:
            transport = Transport(self.endpoint, self.leads_to, self.proxy, self.ca_bundle, self.max_answer_bytes)
        except ConfigError as error:
            raise TierUnavailable(error.message, hint=error.hint) from None
        except (OSError, ValueError):
            raise TierUnavailable("ca_bundle holds no certificates", hint="give a PEM file") from None
        http = httpx2.AsyncClient(transport=transport, timeout=timeout, trust_env=False, follow_redirects=False)
        return AsyncOpenAI(
            base_url=self.endpoint.url,
            api_key="the transport adds it",
            http_client=http,
            timeout=timeout,
            max_retries=0,
        )


class EndpointSession:
    """Runs jobs on an event loop of its own, and gives them the client.

    A session may be used from any thread. After `close`, and in a forked child, the next job starts a new loop.

    Args:
        line: how the client reaches its endpoint.
    """

    def __init__(self, line: Route) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._current: _Loop | None = None
        # A forked child shares the file descriptors of its parent's loop. Closing them here would disturb the parent.
        self._inherited: list[_Loop] = []

    def start(self, job: Job) -> Future[None]:
        """Run a job. Cancelling the result cancels the job, from any thread and at once."""
        with self._lock:
            if self._current is not None and self._current.pid != os.getpid():
                self._inherited.append(self._current)
                self._current = None
            if self._current is None:
                self._current = _Loop(self._line)
            return self._current.start(job)

    def close(self) -> None:
        """Cancel what runs, close the connections and end the thread."""
        with self._lock:
            loop, self._current = self._current, None
        if loop is None:
            return
        if loop.pid == os.getpid():
            loop.stop()
        else:
            self._inherited.append(loop)


class _Loop:
    def __init__(self, line: Route) -> None:
        self.pid = os.getpid()
        self._line = line
        self._client: AsyncOpenAI | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="rung-openai", daemon=True)
        self._thread.start()

    def start(self, job: Job) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(self._work(job), self._loop)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        # The finalizer of a forgotten tier may run on any thread, even on the loop's own.
        if threading.current_thread() is not self._thread:
            self._thread.join(_LONGEST_END)

    async def _work(self, job: Job) -> None:
        if self._client is None:
            # Here and not on a caller's thread, because importing the SDK takes a second, and deadlines must hold
            # meanwhile.
            self._client = self._line.client()
        await job(self._client)

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        jobs = asyncio.all_tasks() - {asyncio.current_task()}
        for task in jobs:
            task.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
        await self._loop.shutdown_asyncgens()
