"""`POST /v1/chat/completions` and `POST /v1/completions`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rung import engine
from rung.serve import answers, chat, completions
from rung.serve.asking import Asking
from rung.serve.bodies import ChatBody, CompletionBody, Sampled, read
from rung.serve.chunks import ChatStream
from rung.serve.completions import CompletionStream
from rung.serve.events import EventStream
from rung.serve.routes.work import parts_of, planned, taken_of
from rung.serve.running import finished
from rung.serve.telling import headers
from rung.types import Outcome


class _Stream(Protocol):
    def parts(self) -> AsyncGenerator[bytes]: ...


_Whole = Callable[[Asking, Sequence[Outcome[Any]]], dict[str, Any]]
_Streamed = Callable[[Asking, Sequence[engine.Plan], bool, bool], _Stream]


async def chat_completion(request: Request) -> Response:
    """Answer a conversation."""
    body = read(ChatBody, taken_of(request).json())
    asking = chat.asking(body, parts_of(request).settings.drop_system_lines)
    return await _answer(request, body, asking, answers.completion, ChatStream)


async def completion(request: Request) -> Response:
    """Answer a bare prompt."""
    body = read(CompletionBody, taken_of(request).json())
    return await _answer(request, body, completions.asking(body), completions.completion, CompletionStream)


async def _answer(request: Request, body: Sampled, asking: Asking, whole: _Whole, streamed: _Streamed) -> Response:
    """Ask the ladder, and send the answer.

    Args:
        request: over HTTP.
        body: its body.
        asking: the same request to the ladder.
        whole: makes an answer that isn't streamed.
        streamed: makes a streamed answer.
    """
    parts = parts_of(request)
    async with AsyncExitStack() as stack:
        plans = await stack.enter_async_context(planned(request, asking))
        if not body.stream:
            outcomes = [it.outcome for it in await finished(plans, taken_of(request).gone)]
            return JSONResponse(whole(asking, outcomes), headers=headers(outcomes[0]))
        flows = all(parts.host.flows(plan) for plan in plans)
        if flows:
            plans = [parts.host.flowing(plan) for plan in plans]
        elif asking.limits.drafts:
            plans = [parts.host.showing(plan) for plan in plans]
        wants_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        stream = streamed(asking, plans, flows, wants_usage)
        return EventStream(stream.parts(), held=stack.pop_all())
    raise AssertionError("every way out of the block returns")
