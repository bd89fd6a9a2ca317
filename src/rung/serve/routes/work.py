"""What every endpoint that asks the ladder does first: take the request, wait for a place, make its plans."""

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
    """What the endpoints share.

    Args:
        host: the ladder.
        queue: places for requests.
        metrics: what is counted.
        hub: who is told of progress.
        settings: of the server.
        recent: what the page shows of requests.
        questions: to those who have the page open.
        quotas: what the tokens have left for today.
        conversations: that a later response may go on from.
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
    """What the endpoints share, from the request that one of them answers."""
    parts: Parts = request.scope[PARTS]
    return parts


def taken_of(request: Request) -> Taken:
    """The body of a request, and whether its client is still there."""
    taken: Taken = request.scope[INTAKE]
    return taken


@asynccontextmanager
async def planned(request: Request, asking: Asking) -> AsyncIterator[Sequence[engine.Plan]]:
    """A place among the requests that are worked on, and a plan for each answer that is wanted.

    Args:
        request: its client's leaving cancels the plans.
        asking: what is asked.

    Raises:
        ApiError: the server is busy, the caller's requests are used up, or there is no such model.
        ConfigError, ContractError: something in the request can't be used.
    """
    parts, gone, caller = parts_of(request), taken_of(request).gone, request.scope[CALLER]
    parts.host.find(asking.model)  # a wrong name needn't wait for its turn
    async with parts.queue.place(gone):

        def plans() -> list[engine.Plan]:
            parts.quotas.take(caller, asking.answers)
            return [parts.host.plan(asking, gone, caller, number=number) for number in range(asking.answers)]

        yield await _unless_gone(plans, gone)


async def _unless_gone(make: Callable[[], list[engine.Plan]], gone: Cancel) -> list[engine.Plan]:
    """What `make` makes, in a thread: a contract may take a while to compile, and a quota may be counted from a file.

    Nobody waits for it any longer than the client does.

    Raises:
        Gone: the client left.
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
