"""`POST /v1/responses`, and what is kept of it: `GET` and `DELETE /v1/responses/{id}`."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rung.serve import responses
from rung.serve.answers import ApiAnswer, said
from rung.serve.bodies import read
from rung.serve.door import CALLER
from rung.serve.errors import ApiError
from rung.serve.events import EventStream
from rung.serve.response_answers import Frame
from rung.serve.response_events import ResponseStream
from rung.serve.responses_bodies import ResponsesBody
from rung.serve.routes.work import parts_of, planned, taken_of
from rung.serve.running import finished
from rung.serve.telling import headers


async def respond(request: Request) -> Response:
    """Answer a conversation, which a later request may continue."""
    taken, parts, caller = taken_of(request), parts_of(request), request.scope[CALLER]
    body = read(ResponsesBody, taken.json())
    earlier = parts.conversations.continued(caller.name, body.previous_response_id)
    asked = responses.asked(body, earlier, parts.settings.drop_system_lines)
    frame = Frame(asked)

    def ended(answer: ApiAnswer, whole: dict[str, Any]) -> None:
        if body.store is not False:
            parts.conversations.keep(caller.name, whole, asked.ended(answer))

    async with AsyncExitStack() as stack:
        [plan] = await stack.enter_async_context(planned(request, asked.asking))
        if not body.stream:
            [found] = await finished([plan], taken.gone)
            answer = said(asked.asking, found.outcome)
            whole = frame.ended(answer, found.outcome)
            ended(answer, whole)
            return JSONResponse(whole, headers=headers(found.outcome))
        flows = parts.host.flows(plan)
        if flows:
            plan = parts.host.flowing(plan)
        elif asked.asking.limits.drafts:
            plan = parts.host.showing(plan)
        return EventStream(ResponseStream(frame, plan, ended, flows).parts(), held=stack.pop_all())
    raise AssertionError("every way out of the block returns")


async def kept(request: Request) -> Response:
    """Send a response again, as it was when it ended, or delete it."""
    conversations, caller, name = parts_of(request).conversations, request.scope[CALLER].name, request.path_params["id"]
    if request.method == "DELETE":
        conversations.forget(caller, name)
        return JSONResponse({"id": name, "object": "response", "deleted": True})
    if request.query_params.get("stream", "false") != "false":
        said = "a response that has ended is not streamed again; ask without stream"
        raise ApiError(400, said, code="unsupported", param="stream")
    return JSONResponse(dict(conversations.find(caller, name).body))
