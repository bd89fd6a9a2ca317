"""Reading a request: its body, within limits on size and time, and whether its client is still connected.

This is pure ASGI, because a middleware on Starlette's base class hides disconnects from the app behind it.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rung.errors import ConfigError
from rung.limits import Cancel
from rung.parsing import parse_json
from rung.serve.door import CALLER
from rung.serve.errors import ApiError, Gone

INTAKE = "rung.intake"
"""Key of the `Taken` in the scope of a request."""

_MOST_OPEN = 1024
"""Most bytes of a body from somebody without a token. The paths that are open to them take none; some clients send an
empty object with every request."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""The escape of a surrogate in JSON. Only an escape can leave half of a pair in a text."""

_CLOSE = {"connection": "close"}
"""Closes the connection after the answer, so that the rest of the body isn't read."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that was read completely.

    Args:
        body: its bytes.
        gone: set when the client disconnects.
    """

    body: bytes = field(repr=False)
    gone: Cancel

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ApiError: the body isn't JSON.
        """
        if not self.body:
            raise ApiError(400, "the body is empty, and has to be JSON", code="invalid_json")
        try:
            value = parse_json(self.body, "the body")
        except ConfigError as error:
            raise ApiError(400, str(error), code="invalid_json") from None
        if _SURROGATE.search(self.body) and not _is_text(value):
            said = "the body holds half of a surrogate pair, which is not a character"
            raise ApiError(400, said, code="invalid_json")
        return value


def _is_text(value: Any) -> bool:
    """Whether every text of a JSON value can be written as UTF-8, which whatever repeats a part of it has to do."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


class Intake:
    """Reads bodies and watches connections; ASGI middleware.

    Args:
        app: the app behind it.
        most: most bytes of a body.
        seconds: seconds that a client may take to send a body.
    """

    def __init__(self, app: ASGIApp, *, most: int, seconds: float) -> None:
        self._app = app
        self._most = most
        self._seconds = seconds
        self._under_way: set[Cancel] = set()

    def cancel(self) -> None:
        """Cancel every request under way, as if its client had disconnected. The client is still told. Called on the
        server's loop.
        """
        for gone in list(self._under_way):
            gone.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on once its body was read."""
        body = await self._body(scope, receive)
        taken = scope[INTAKE] = Taken(body, Cancel())
        self._under_way.add(taken.gone)
        left = asyncio.Event()
        watcher = asyncio.create_task(_watch(receive, taken.gone, left))
        unread = True

        async def replay() -> Message:
            nonlocal unread
            if unread:
                unread = False
                return {"type": "http.request", "body": body, "more_body": False}
            await left.wait()
            return {"type": "http.disconnect"}

        try:
            await self._app(scope, replay, send)
        finally:
            self._under_way.discard(taken.gone)
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        most = self._most if CALLER in scope else _MOST_OPEN
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or len(value) > 15 or int(value) > most):
                raise self._too_large(most)
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise self._too_large(most)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            said = f"the body didn't come within {self._seconds:g} s"
            raise ApiError(408, said, code="request_timeout", headers={**_CLOSE, "x-should-retry": "false"}) from None

    def _too_large(self, most: int) -> ApiError:
        allows = "; serve.body_mib in rung.toml allows more" if most == self._most else ""
        said = f"the body is larger than {most:,} bytes{allows}"
        return ApiError(413, said, code="body_too_large", headers=_CLOSE)


async def _watch(receive: Receive, gone: Cancel, left: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()
    left.set()
