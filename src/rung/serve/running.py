"""Running the plans of a request: either to their outcomes, or as a stream of events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from rung import engine
from rung.ladder import bridge
from rung.limits import Cancel
from rung.serve.errors import Gone, unexpected
from rung.types import Event, Finished, Reason

_log = logging.getLogger(__name__)


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
    async with aclosing(_events(plan)) as events:
        async for event in events:
            if isinstance(event, Finished):
                return event
    raise AssertionError("a run ends with Finished")


async def _events(plan: engine.Plan) -> AsyncGenerator[Event]:
    """The events of a plan.

    Raises:
        ApiError: a tier or a validator raised what isn't an `Exception`, such as `SystemExit`. It would end this
            server, or look as if this task was cancelled.
        Exception: a bug in a validator.
    """
    try:
        async with aclosing(bridge.events(plan)) as events:
            async for event in events:
                yield event
    except (Exception, GeneratorExit):
        raise
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        _log.error("%s in a run", type(error).__name__)
        raise unexpected(error) from error


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
            async with aclosing(_events(plan)) as events:
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
