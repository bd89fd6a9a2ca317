"""What the thread that waits and the task that sends know of one request together."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from rung.tiers.openai.breaker import Health

_CONNECTS_WITHIN, _ANSWERS_WITHIN = 1.0, 10.0
"""Seconds after which silence, of a connection and of a request, is held against the endpoint itself."""


@dataclass(slots=True)
class Exchange:
    """One call on its way.

    Args:
        key: what goes into the `Authorization` header; `None` sends none.
        began: when the request that is under way was begun, in seconds of `time.monotonic`; `None` before.
        connected: whether an address took the connection.
        sent: whether a request has left and nothing has said yet that it wasn't billed.
        heard: whether the endpoint has begun to respond to it.
        health: what the call has shown of the endpoint, once it is over.
        wait: seconds that the endpoint asked to be left alone.
    """

    key: str | None = field(repr=False)
    began: float | None = None
    connected: bool = False
    sent: bool = False
    heard: bool = False
    health: Health | None = None
    wait: float | None = None

    def begin(self) -> None:
        """Another request is begun."""
        self.began, self.sent, self.heard, self.health = time.monotonic(), False, False, None

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Called by the HTTP client at each of its steps."""
        if event == "connection.connect_tcp.complete":
            self.connected = True
        elif event.endswith("send_request_headers.started"):
            # CONNECT is for the proxy, and holds nothing of the call.
            self.sent = info["request"].method != b"CONNECT"
        elif event.endswith("receive_response_headers.complete"):
            self.heard = self.sent

    def given_up(self) -> Health | None:
        """What it says of the endpoint that the deadline passed now: a short deadline is the caller's own."""
        if self.began is None or self.heard:
            return None
        waited = time.monotonic() - self.began
        if not self.connected and not self.sent:
            return "dead" if waited >= _CONNECTS_WITHIN else None
        return "dead" if waited >= _ANSWERS_WITHIN else "ill"


EXCHANGE: ContextVar[Exchange] = ContextVar("rung_openai_exchange")
"""The exchange of the running task: the SDK has no argument to hand it through to the transport."""
