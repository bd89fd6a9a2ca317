"""Server-sent events: the response, its comment lines, and the events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rung.serve.errors import Gone

COMMENT = b": waiting\n\n"
"""Keeps a silent connection open. Some clients read a bare colon as the end of the stream."""

PAUSE = 10.0
"""Seconds of silence before a comment is sent: less than the shortest timeout of common proxies."""

STALLED = 60.0
"""Seconds that a client may take nothing of what is sent. It would hold a turn, and keep others waiting."""

DONE = b"data: [DONE]\n\n"


def event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    """Encode an event.

    Args:
        data: its JSON.
        name: of the event; `None` for an unnamed one.
    """
    head = f"event: {name}\n" if name else ""
    # escaped as ASCII, because clients might take Unicode line separators for the end of a line
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


class EventStream(Response):
    """A response of server-sent events. Each event is sent at once, and a comment at the start and in each silence.

    Args:
        parts: events as bytes. It is closed when the response ends or the client disconnects.
        headers: further headers.
        held: a context that is held until the response ends.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        parts: AsyncGenerator[bytes],
        headers: Mapping[str, str] | None = None,
        held: AbstractAsyncContextManager[Any] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self._parts = parts
        self._held = held or nullcontext()
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until there are no more, or the client disconnects.

        Raises:
            Gone: the client takes nothing of what is sent.
        """
        async with self._held, aclosing(self._parts) as parts:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            await self._send(send, COMMENT)
            left = asyncio.create_task(_left(receive))
            try:
                await self._all(parts, left, send)
            finally:
                left.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _all(self, parts: AsyncGenerator[bytes], left: asyncio.Task[None], send: Send) -> None:
        while True:
            coming = asyncio.ensure_future(anext(parts, None))
            try:
                while not coming.done():
                    await asyncio.wait({coming, left}, timeout=PAUSE, return_when=asyncio.FIRST_COMPLETED)
                    if left.done():
                        return
                    if not coming.done():
                        await self._send(send, COMMENT)
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.wait({coming})
            part = coming.result()
            if part is None:
                return
            await self._send(send, part)

    async def _send(self, send: Send, part: bytes) -> None:
        try:
            async with asyncio.timeout(STALLED):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except TimeoutError:
            raise Gone from None


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
