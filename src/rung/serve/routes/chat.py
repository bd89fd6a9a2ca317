"""`POST /v1/chat/completions`."""

from __future__ import annotations

from contextlib import AsyncExitStack

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rung.serve import answers, chat
from rung.serve.bodies import ChatBody, read
from rung.serve.chunks import ChatStream
from rung.serve.events import EventStream
from rung.serve.routes.work import parts_of, planned, taken_of
from rung.serve.running import finished
from rung.serve.telling import headers


async def complete(request: Request) -> Response:
    """Answer a conversation."""
    taken, parts = taken_of(request), parts_of(request)
    body = read(ChatBody, taken.json())
    asking = chat.asking(body, parts.settings.drop_system_lines)
    async with AsyncExitStack() as stack:
        plans = await stack.enter_async_context(planned(request, asking))
        if not body.stream:
            outcomes = [it.outcome for it in await finished(plans, taken.gone)]
            return JSONResponse(answers.completion(asking, outcomes), headers=headers(outcomes[0]))
        flows = all(parts.host.flows(plan) for plan in plans)
        if flows:
            plans = [parts.host.flowing(plan) for plan in plans]
        elif asking.limits.drafts:
            plans = [parts.host.showing(plan) for plan in plans]
        wants_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        stream = ChatStream(asking, plans, flows, wants_usage)
        return EventStream(stream.parts(), held=stack.pop_all())
    raise AssertionError("every way out of the block returns")
