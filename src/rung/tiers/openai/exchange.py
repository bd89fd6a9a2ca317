"""What the thread that waits and the task that sends know of one request together."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Exchange:
    """One call on its way.

    Args:
        key: what goes into the `Authorization` header; `None` sends none.
        connected: whether an address took the connection.
        sent: whether a request has left and nothing has said yet that it wasn't billed.
    """

    key: str | None = field(repr=False)
    connected: bool = False
    sent: bool = False

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Called by the HTTP client at each of its steps."""
        if event == "connection.connect_tcp.complete":
            self.connected = True
        elif event.endswith("send_request_headers.started"):
            # CONNECT is for the proxy, and holds nothing of the call.
            self.sent = info["request"].method != b"CONNECT"


EXCHANGE: ContextVar[Exchange] = ContextVar("rung_openai_exchange")
"""The exchange of the running task: the SDK has no argument to hand it through to the transport."""
