"""`GET /v1/models`, `/health`, `/metrics` and `/events`: what there is, and how it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rung.serve.events import EventStream, event
from rung.serve.host import ServedModel
from rung.serve.routes.work import parts_of


async def models(request: Request) -> Response:
    """The ladder, its tiers and its tasks as models."""
    return JSONResponse({"object": "list", "data": [_model(model) for model in parts_of(request).host.models()]})


async def model(request: Request) -> Response:
    """One of them."""
    return JSONResponse(_model(parts_of(request).host.find(request.path_params["name"])))


async def health(request: Request) -> Response:
    """Whether the server takes requests. It needs no token, and says nothing else."""
    closed = parts_of(request).queue.closed
    return JSONResponse({"status": "stopping" if closed else "ok"}, 503 if closed else 200)


async def metrics(request: Request) -> Response:
    """What was counted, as Prometheus reads it."""
    text, media_type = parts_of(request).metrics.text()
    return Response(text, media_type=media_type)


async def events(request: Request) -> Response:
    """Progress of loading and fetching models, as it is made."""
    return EventStream(_progress(parts_of(request).hub.listen()))


async def _progress(news: AsyncGenerator[Mapping[str, Any]]) -> AsyncGenerator[bytes]:
    async with aclosing(news) as found:
        async for item in found:
            yield event(item, "progress")


def _model(model: ServedModel) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": model.kind}
    if model.rung is not None:
        resides = model.rung.resides
        told |= {"zone": str(model.rung.tier.zone), "loaded": resides.loaded if resides is not None else None}
    return {"id": model.id, "object": "model", "created": 0, "owned_by": "rung", "x_rung": told}
