"""`GET /v1/models`, `/health`, `/metrics` and `/events`: the models, and the state of the server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rung.engine import gate
from rung.errors import RungError
from rung.limits import Deadline
from rung.serve.events import EventStream, event
from rung.serve.host import ServedModel
from rung.serve.routes.work import parts_of
from rung.tier import Rung
from rung.types import Call, Message

_PATIENCE = 1.0
"""Seconds that a tier has to report the length of its context. A list of models isn't worth a longer wait."""


async def models(request: Request) -> Response:
    """The ladder, its tiers and its tasks as models."""
    found = parts_of(request).host.models()
    told = await anyio.to_thread.run_sync(lambda: [_model(model) for model in found], abandon_on_cancel=True)
    return JSONResponse({"object": "list", "data": told})


async def model(request: Request) -> Response:
    """One model."""
    found = parts_of(request).host.find(request.path_params["name"])
    return JSONResponse(await anyio.to_thread.run_sync(_model, found, abandon_on_cancel=True))


async def health(request: Request) -> Response:
    """Whether the server accepts requests. It needs no token, and reveals nothing else."""
    closed = parts_of(request).queue.closed
    return JSONResponse({"status": "stopping" if closed else "ok"}, 503 if closed else 200)


async def metrics(request: Request) -> Response:
    """The metrics in the format of Prometheus."""
    text, media_type = parts_of(request).metrics.text()
    return Response(text, media_type=media_type)


async def events(request: Request) -> Response:
    """Stream the progress of loading and fetching models."""
    return EventStream(_progress(parts_of(request).hub.listen()))


async def _progress(news: AsyncGenerator[Mapping[str, Any]]) -> AsyncGenerator[bytes]:
    async with aclosing(news) as found:
        async for item in found:
            yield event(item, "progress")


def _model(model: ServedModel) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": model.kind}
    if model.rung is not None:
        resides = model.rung.resides
        told |= {
            "zone": str(model.rung.tier.zone),
            "loaded": resides.loaded if resides is not None else None,
            "context": _context(model.rung),
        }
    return {"id": model.id, "object": "model", "created": 0, "owned_by": "rung", "x_rung": told}


def _context(rung: Rung) -> int | None:
    """Tokens that prompt and answer may have together on a tier; `None` if a model has to be loaded to find out."""
    if rung.quotes is None or (rung.resides is not None and not rung.resides.loaded):
        return None
    try:
        quote = gate.quote(rung, Call((Message("user", "?"),), deadline=Deadline.after(_PATIENCE)))
    except RungError:
        return None
    return None if quote is None else quote.context
