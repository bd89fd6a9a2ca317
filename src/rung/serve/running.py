"""Running the plans of a request: either to their outcomes, or as a stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from rung import engine
from rung.ladder import bridge
from rung.limits import Cancel
from rung.serve.errors import Gone
from rung.types import Event, Finished, Reason


async def finished(plans: Sequence[engine.Plan], gone: Cancel) -> list[Finished]:
    """Run several plans concurrently, and return their results.

    Args:
        plans: the plans. The first error cancels the others.
        gone: their cancel flag.

    Raises:
        Gone: the client disconnected.
        Exception: a bug in a validator.
    """
    running = [asyncio.create_task(_finished(plan)) for plan in plans]
    try:
        found = await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
    if gone.is_set() and any(it.outcome.reason == Reason.CANCELLED for it in found):
        raise Gone
    return found


async def _finished(plan: engine.Plan) -> Finished:
    async with aclosing(bridge.events(plan)) as events:
        async for event in events:
            if isinstance(event, Finished):
                return event
    raise AssertionError("a run ends with Finished")


async def merged(plans: Sequence[engine.Plan]) -> AsyncGenerator[tuple[int, Event]]:
    """The events of several plans as they come, each with the index of its plan.

    Args:
        plans: run concurrently. Abandoning the iteration cancels all of them.

    Raises:
        Exception: a bug in a validator.
    """
    queue: asyncio.Queue[tuple[int, Event | BaseException | None]] = asyncio.Queue()

    async def drain(number: int, plan: engine.Plan) -> None:
        try:
            async with aclosing(bridge.events(plan)) as events:
                async for event in events:
                    queue.put_nowait((number, event))
            queue.put_nowait((number, None))
        except Exception as error:  # noqa: BLE001  re-raised where the events are read
            queue.put_nowait((number, error))

    running = [asyncio.create_task(drain(number, plan)) for number, plan in enumerate(plans)]
    try:
        left = len(running)
        while left:
            number, item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                left -= 1
            else:
                yield number, item
    finally:
        for task in running:
            task.cancel()
