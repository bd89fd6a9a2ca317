"""The first steps of every endpoint that asks the ladder: read the request, wait for a slot, make the plans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio.to_thread
from starlette.requests import Request

from rung import engine
from rung.config.tables import ServeTable
from rung.limits import Cancel
from rung.serve.asking import Asking
from rung.serve.conversations import Conversations
from rung.serve.door import CALLER
from rung.serve.errors import Gone
from rung.serve.host import LadderHost
from rung.serve.intake import INTAKE, Taken
from rung.serve.metrics import Metrics
from rung.serve.progress import ProgressHub
from rung.serve.questions import PageQuestions
from rung.serve.queueing import Queue
from rung.serve.recent import Recent
from rung.serve.tokens import Quotas

PARTS = "rung.parts"
"""Key of the `Parts` in the scope of every request."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Objects that the endpoints share.

    Args:
        host: the ladder.
        queue: slots for requests.
        metrics: counters.
        hub: distributes progress.
        settings: of the server.
        recent: the latest requests, for the page.
        questions: asks the people who have the page open.
        quotas: what each token has left for today.
        conversations: conversations that a later response may continue.
    """

    host: LadderHost
    queue: Queue
    metrics: Metrics
    hub: ProgressHub
    settings: ServeTable
    recent: Recent
    questions: PageQuestions
    quotas: Quotas
    conversations: Conversations = field(default_factory=Conversations)


def parts_of(request: Request) -> Parts:
    """The shared objects, found from a request."""
    parts: Parts = request.scope[PARTS]
    return parts


def taken_of(request: Request) -> Taken:
    """The body of a request, and whether its client is still connected."""
    taken: Taken = request.scope[INTAKE]
    return taken


@asynccontextmanager
async def planned(request: Request, asking: Asking) -> AsyncIterator[Sequence[engine.Plan]]:
    """Wait for a slot, and plan each requested answer. The slot is held for the length of the block.

    Args:
        request: the request. If its client disconnects, the plans are cancelled.
        asking: what is asked.

    Raises:
        ApiError: the server is busy, the caller's quota is used up, or there is no such model.
        ConfigError, ContractError: a part of the request can't be used.
    """
    parts, gone, caller = parts_of(request), taken_of(request).gone, request.scope[CALLER]
    parts.host.find(asking.model)  # a wrong name is refused without waiting for a slot
    async with parts.queue.place(gone):

        def plans() -> list[engine.Plan]:
            parts.quotas.take(caller, asking.answers)
            return [parts.host.plan(asking, gone, caller, number=number) for number in range(asking.answers)]

        yield await _unless_gone(plans, gone)


async def _unless_gone(make: Callable[[], list[engine.Plan]], gone: Cancel) -> list[engine.Plan]:
    """Call `make` in a thread, because a contract may take a while to compile, and a quota may be counted from a file.

    If the client disconnects, the wait ends.

    Raises:
        Gone: the client disconnected.
    """
    made = asyncio.ensure_future(anyio.to_thread.run_sync(make, abandon_on_cancel=True))

    def stop() -> None:
        made.cancel()

    forget = gone.on_set(stop)
    try:
        return await made
    except asyncio.CancelledError:
        if gone.is_set():
            raise Gone from None
        made.cancel()
        raise
    finally:
        forget()
