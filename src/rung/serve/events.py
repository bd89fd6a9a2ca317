"""Server-sent events: the response, its comment lines, and the events themselves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

COMMENT = b": waiting\n\n"
"""Bridges a silence. A bare colon is read as the end of the stream by some clients."""

PAUSE = 10.0
"""Seconds of silence after which a comment is sent: less than the shortest timeout of the usual proxies."""

DONE = b"data: [DONE]\n\n"


def event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    """An event as it is sent.

    Args:
        data: its JSON.
        name: of the event; `None` for a plain one.
    """
    head = f"event: {name}\n" if name else ""
    # the ASCII form has no line separator that a client could take for the end of a line
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


class EventStream(Response):
    """A response of server-sent events, each sent as it comes. A comment is sent at once and in each silence.

    Args:
        parts: events as bytes. Closed when the response is over, or the client is gone.
        headers: further headers.
        held: what is held until the response is over.
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
        """Send the events until there are no more, or nobody reads them."""
        async with self._held, aclosing(self._parts) as parts:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
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
        await send({"type": "http.response.body", "body": part, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
