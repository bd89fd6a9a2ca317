"""`GET /`, its style and its script; the page's state, and the answers to its questions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from importlib import resources
from typing import Any

import psutil
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rung import __version__, guard
from rung.serve.bodies import read
from rung.serve.door import CALLER, Caller
from rung.serve.errors import ApiError
from rung.serve.events import EventStream, event
from rung.serve.routes.work import Parts, parts_of, taken_of
from rung.tier import Rung
from rung.types import Zone

FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
"""The page's files by their URL path. They need no token, because they reveal nothing about this server."""

_EVERY = 0.5
"""Seconds between two checks for changes. A person doesn't notice a shorter delay."""

_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class ConsentBody(BaseModel):
    """The body of `POST /page/consent`: the answer to a question."""

    id: str
    send: bool


async def part(request: Request) -> Response:
    """Send a file of the page."""
    name, media_type = FILES[request.url.path]
    content = resources.files("rung.serve").joinpath("page", name).read_bytes()
    return Response(content, media_type=media_type, headers=_HEADERS)


async def watch(request: Request) -> Response:
    """Stream the page's state whenever it changes."""
    return EventStream(_states(parts_of(request), request.scope[CALLER]))


async def consent(request: Request) -> Response:
    """Receive the answer to a question."""
    body = read(ConsentBody, taken_of(request).json())
    if not parts_of(request).questions.answer(request.scope[CALLER].name, body.id, body.send):
        raise ApiError(404, "there is no such question any more", code="question_not_found", param="id")
    return JSONResponse({"status": "ok"})


async def _states(parts: Parts, caller: Caller) -> AsyncGenerator[bytes]:
    last = None
    with parts.questions.watching(caller.name):
        while not parts.queue.closed:
            state = event(_state(parts, caller), "state")
            if state != last:
                yield state
            last = state
            await asyncio.sleep(_EVERY)


def _state(parts: Parts, caller: Caller) -> Mapping[str, Any]:
    memory = psutil.virtual_memory()
    allowed = Zone.HOST if guard.offline() else parts.host.ladder.reach
    reach = allowed if caller.reach is None else min(allowed, caller.reach)
    models = parts.host.models()
    return {
        "version": __version__,
        "caller": caller.name,
        "reach": str(reach),
        "models": [model.id for model in models],
        "tiers": [_tier(parts, model.rung) for model in models if model.rung is not None],
        # rounded, so that not every check finds a change
        "memory_mib": {"available": memory.available // 2**20 // 100 * 100, "total": memory.total // 2**20},
        "queue": {"running": parts.queue.running, "waiting": parts.queue.waiting},
        "requests": parts.recent.of(caller.name),
        "questions": parts.questions.of(caller.name),
    }


def _tier(parts: Parts, rung: Rung) -> Mapping[str, Any]:
    tier, resides = rung.tier, rung.resides
    return {
        "name": tier.name,
        "zone": str(tier.zone),
        "paid": rung.may_cost,
        "loaded": None if resides is None else resides.loaded,
        "memory_mib": _memory(getattr(tier, "worker_pid", None)),
        "progress": parts.recent.progress(tier.name),
    }


def _memory(pid: int | None) -> int | None:
    """Memory of a worker in MiB, rounded down to tens; `None` without a worker."""
    try:
        return None if pid is None else int(psutil.Process(pid).memory_info().rss // 2**20 // 10 * 10)
    except psutil.Error:
        return None
