"""What the waiting thread and the sending task both know about one request."""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from rung.errors import TierUnavailable
from rung.hosts import zone_of
from rung.tiers.openai.breaker import Health
from rung.types import Zone

_CONNECTS_WITHIN, _ANSWERS_WITHIN = 1.0, 10.0
"""Seconds after which silence, of a connection and of a request, counts against the endpoint. If a caller gives up
sooner, the time was short, which shows nothing about an endpoint that answers in two seconds."""


@dataclass(slots=True)
class Exchange:
    """One call under way.

    Args:
        key: value for the `Authorization` header; `None` sends none.
        began: when the current request was begun, in seconds of `time.monotonic`; `None` before.
        zone: how far away the peer that accepts the connection may be.
        connected: whether an address accepted the connection.
        sent: whether a request has left, and nothing has shown yet that it wasn't billed.
        handed: whether any byte of the call has left, in any request.
        heard: whether the endpoint has begun to respond to the request.
        health: what the call has shown about the endpoint, once it is over.
        wait: seconds that the endpoint asked to be left alone.
    """

    key: str | None = field(repr=False)
    began: float | None = None
    zone: Zone = Zone.INTERNET
    connected: bool = False
    sent: bool = False
    handed: bool = False
    heard: bool = False
    health: Health | None = None
    wait: float | None = None
    _left: bool = field(default=False, init=False, repr=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def begin(self) -> None:
        """A new request is begun."""
        self.began, self.sent, self.heard, self.health = time.monotonic(), False, False, None

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Called by the HTTP client at each of its steps.

        Raises:
            TierUnavailable: the peer that accepted the connection is farther away than the address that was asked for.
            CancelledError: nobody waits for the answer any more, and no part of the call has left yet.
        """
        if event == "connection.connect_tcp.complete":
            await self._judge(info["return_value"])
            self.connected = True
        elif event.endswith("send_request_headers.started"):
            # CONNECT is for the proxy, and contains nothing of the call.
            if info["request"].method != b"CONNECT":
                self._hand_over()
        elif event.endswith("receive_response_headers.complete"):
            self.heard = self.sent

    def leave(self) -> bool:
        """Nobody waits any more. Returns whether any byte of the call has left. If not, none will."""
        with self._turn:
            self._left = True
            return self.handed

    def _hand_over(self) -> None:
        with self._turn:
            if self._left:
                raise asyncio.CancelledError
            self.sent = self.handed = True

    async def _judge(self, stream: Any) -> None:
        """Check that the peer is where the tier says its prompts go, before any byte is sent, including TLS's own."""
        peer = stream.get_extra_info("server_addr")
        zone = zone_of(str(peer[0])) if isinstance(peer, tuple) and peer else None
        if self.zone == Zone.INTERNET or (zone is not None and zone <= self.zone):
            return
        await stream.aclose()
        where = "somewhere unknown" if zone is None else f"in the zone {zone}"
        raise TierUnavailable(
            f"who took the connection is {where} and not in the zone {self.zone}; nothing was sent",
            hint="see what redirects connections on this machine",
        )

    def given_up(self) -> Health | None:
        """What a deadline that passes now shows about the endpoint. If it was short, the caller is the cause."""
        if self.began is None or self.heard:
            return None
        waited = time.monotonic() - self.began
        if not self.connected and not self.sent:
            return "dead" if waited >= _CONNECTS_WITHIN else None
        return "dead" if waited >= _ANSWERS_WITHIN else None


EXCHANGE: ContextVar[Exchange] = ContextVar("rung_openai_exchange")
"""The exchange of the running task. The SDK has no argument by which it could be passed to the transport."""
