"""Async twins: the synchronous engine on a thread, its events on the caller's loop.

There is a thread for each request, because the engine waits for tiers and validators, and in a pool of a fixed size
requests would wait for one another.
"""

from __future__ import annotations

import contextvars
import inspect
import threading
from collections.abc import AsyncGenerator, Awaitable
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import Any

from rung import engine
from rung.errors import Cancelled
from rung.limits import Cancel
from rung.types import Event


async def events(plan: engine.Plan) -> AsyncGenerator[Event]:
    """The events of a run that goes on in a thread of its own.

    Args:
        plan: what to do. Its cancel flag stops the run, and so does abandoning the iteration or cancelling its task.

    Raises:
        BaseException: whatever the run raises.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()

    # for this run alone, because the caller's flag may serve many
    own = Cancel()
    forget = plan.cancel.on_set(own.set)

    def put(item: Event | BaseException | None) -> None:
        try:
            loop.call_soon_threadsafe(queue.put_nowait, item)
        except RuntimeError:  # the loop was closed while the run ended, so nobody is left to tell
            own.set()

    def work() -> None:
        try:
            for event in engine.run(replace(plan, cancel=own, await_=lambda awaitable: _await(awaitable, loop, own))):
                put(event)
            put(None)
        except BaseException as error:  # noqa: BLE001  the caller's task raises it
            put(error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="rung-run", daemon=True).start()
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        forget()
        own.set()


def _await(awaitable: Awaitable[Any], loop: Any, cancel: Cancel) -> Any:
    """Wait on the run's thread for something that the caller's loop has to do."""
    import asyncio

    async def wait() -> Any:
        return await awaitable

    waiting = wait()
    try:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(waiting, loop)
    except RuntimeError:  # the loop was closed: the caller is gone
        waiting.close()
        if inspect.iscoroutine(awaitable):
            awaitable.close()
        raise Cancelled("the caller cancelled") from None

    def stop() -> None:
        future.cancel()

    forget = cancel.on_set(stop)
    try:
        return future.result()
    except CancelledError:
        raise Cancelled("the caller cancelled") from None
    finally:
        forget()
