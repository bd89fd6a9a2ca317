"""The one way out: every request of the tier passes here, and nothing goes anywhere but to its own endpoint.

The environment has no influence, neither on proxies, certificates, headers nor credentials.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2

from rung.errors import TierError, TierUnavailable
from rung.files import read_bounded
from rung.hosts import zone_of
from rung.tiers.openai.endpoint import Endpoint
from rung.tiers.openai.exchange import EXCHANGE
from rung.tiers.openai.unpacking import UNPACKED, Unpacked
from rung.types import Zone

_LONGEST_BUNDLE = 16 << 20
"""Largest file of certificates in bytes. Those of all public authorities together take a quarter of a mebibyte."""
_MOST_CODINGS = 2
"""Layers of compression that are removed. A proxy may add one of its own."""
_HEADERS = ("host", "content-type", "content-length", "accept", "user-agent")


class Transport(httpx2.AsyncBaseTransport):
    """Sends a request to the endpoint's own address, with our headers and no others.

    Args:
        endpoint: the only place to which anything is sent.
        leads_to: the zone of the addresses that its name may lead to, or that of the proxy if there is one.
        proxy: the proxy on the way, which then resolves the endpoint's name.
        ca_bundle: file with the certificates to trust; `None` trusts the system's.
        max_answer_bytes: longest response that is read, in bytes.

    Raises:
        ConfigError: the bundle can't be read, or is not an ordinary file of a bundle's size.
        OSError: there are no certificates in it.
        ValueError: the same.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        leads_to: Zone,
        proxy: Endpoint | None,
        ca_bundle: str | None,
        max_answer_bytes: int,
    ) -> None:
        self._endpoint = endpoint
        self._leads_to = leads_to
        self._proxy = proxy
        self._max_answer_bytes = max_answer_bytes
        logging.getLogger("httpcore2.http11").addFilter(_quotes_nobody)
        self._make = functools.partial(
            httpx2.AsyncHTTPTransport,
            verify=_trust(ca_bundle, encrypted="https" in (endpoint.scheme, proxy.scheme if proxy else "")),
            trust_env=False,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=15),
        )
        self._inner: dict[str | None, httpx2.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request to the endpoint's or the proxy's addresses in turn, until one accepts the connection.

        Raises:
            TierError: the response is encoded in a way that nobody asked for.
            TierUnavailable: the name of the endpoint or the proxy leads to another zone.
        """
        exchange = EXCHANGE.get()
        exchange.connected = False
        url = request.url.copy_with(scheme=self._endpoint.scheme, host=self._endpoint.host, port=self._endpoint.port)
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        headers["accept-encoding"] = "identity"
        if request.headers.get("connection") == "close":
            headers["connection"] = "close"
        if exchange.key is not None:
            # Added here and not by the SDK, so that no request or exception object of the SDK holds it.
            headers["authorization"] = f"Bearer {exchange.key}"
        extensions = {**request.extensions, "trace": exchange.trace, "sni_hostname": self._endpoint.host}
        addresses = await self._addresses()
        waits: dict[str, float | None] = request.extensions.get("timeout", {})
        wait = waits.get("connect")
        until = None if wait is None else time.monotonic() + wait
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            if until is not None:
                # all addresses share one wait, so that a dead endpoint costs only one
                extensions["timeout"] = {**waits, "connect": max(0.001, until - time.monotonic()) / left}
            zone = zone_of(address)
            exchange.zone = Zone.INTERNET if zone is None else zone
            inner, target = self._route(url, address)
            try:
                response = await inner.handle_async_request(
                    httpx2.Request(
                        request.method,
                        target,
                        headers=headers,
                        stream=request.stream,
                        extensions=extensions,
                    )
                )
                break
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if left == 1 or exchange.connected:
                    raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        stream: httpx2.AsyncByteStream = _Limited(
            response.stream, self._max_answer_bytes, self._endpoint, whole=response.is_success
        )
        codings = _codings(response.headers)
        if codings and not set(codings) <= UNPACKED:
            await response.aclose()
            raise TierError(f"{self._endpoint} sent a compressed answer that nobody asked for")
        for _ in codings:
            stream = Unpacked(stream, self._max_answer_bytes, self._endpoint, whole=response.is_success)
        # Without the endpoint's own reason phrase, which the HTTP client would log, and without encodings that are
        # undone here.
        undone = ("content-encoding", "content-length") if codings else ()
        return httpx2.Response(
            response.status_code,
            headers=[(name, value) for name, value in response.headers.multi_items() if name.lower() not in undone],
            stream=stream,
            extensions={"http_version": response.extensions["http_version"]},
        )

    async def aclose(self) -> None:
        """Close every connection."""
        for inner in self._inner.values():
            await inner.aclose()

    def _route(self, url: httpx2.URL, address: str) -> tuple[httpx2.AsyncHTTPTransport, httpx2.URL]:
        """What sends a request to `address`, and the URL that it is given."""
        # by address, because the HTTP client would look the name up again, and go wherever it leads by then
        proxy = None if self._proxy is None else replace(self._proxy, host=address).url
        if proxy not in self._inner:
            self._inner[proxy] = self._make(proxy=proxy)
        return self._inner[proxy], url.copy_with(host=address) if proxy is None else url

    async def _addresses(self) -> list[str]:
        """Addresses to connect to, in turn.

        A name is judged by the addresses that are then connected to. So whoever can change where it leads can't have a
        prompt sent to another machine than the person named.
        """
        peer = self._proxy or self._endpoint
        if peer.addresses:
            return list(peer.addresses)
        found = await _resolve(peer)
        allowed = [address for address in found if zone_of(address) == self._leads_to]
        if not allowed:
            zones = " and ".join(sorted({str(zone_of(address)) for address in found}))
            raise TierUnavailable(
                f"the name of {peer} leads to the zone {zones} and not to {self._leads_to}; nothing was sent",
                hint=f'set leads_to = "{zones}" if that is right',
            )
        return allowed


class _Limited(httpx2.AsyncByteStream):
    """A response body that ends in an error if it grows too long.

    Args:
        inner: the body.
        limit: most bytes of it that are read.
        endpoint: its sender, for the error.
        whole: whether it has to be complete. The body of a refusal needn't be: the status says what happened, and the
            body only adds details. If it breaks off or never ends, it counts as ended there.
    """

    def __init__(self, inner: httpx2.AsyncByteStream, limit: int, endpoint: Endpoint, *, whole: bool) -> None:
        self._inner = inner
        self._left = limit
        self._endpoint = endpoint
        self._whole = whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._inner:
                self._left -= len(part)
                if self._left < 0:
                    raise TierError(f"{self._endpoint} sent more than max_answer_bytes", hint="raise max_answer_bytes")
                yield part
        except httpx2.TransportError:
            if self._whole:
                raise

    async def aclose(self) -> None:
        await self._inner.aclose()


def _codings(headers: httpx2.Headers) -> list[str]:
    """How the body was encoded, in the order in which that was done."""
    said = headers.get("content-encoding", "").lower().split(",")
    return [coding for coding in map(str.strip, said) if coding not in ("", "identity")][:_MOST_CODINGS]


def _quotes_nobody(record: logging.LogRecord) -> bool:
    """Keep what an endpoint sent out of the HTTP client's debug log: a header may repeat the prompt or the key."""
    return EXCHANGE.get(None) is None or not str(record.msg).startswith("receive_response")


def _trust(ca_bundle: str | None, *, encrypted: bool) -> ssl.SSLContext | bool:
    """What a connection trusts, in the form of httpx2's `verify`."""
    if ca_bundle:
        return _trusting(ca_bundle)
    # Loading every public authority takes 40 ms. If nothing is encrypted, none is trusted.
    return True if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _trusting(ca_bundle: str) -> ssl.SSLContext:
    pem = read_bounded(ca_bundle, _LONGEST_BUNDLE, "ca_bundle")
    # Not `create_default_context`, which writes session keys to the file named by SSLKEYLOGFILE.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # OpenSSL wants ASCII; anything else is in comments between the certificates
    context.load_verify_locations(cadata=pem.decode("latin-1").encode("ascii", "replace").decode("ascii"))
    return context


async def _resolve(peer: Endpoint) -> list[str]:
    """The addresses for the name of an endpoint or a proxy.

    The look-up runs on a daemon thread, so that neither a cancelled call nor the end of the program waits for it.

    Raises:
        httpx2.ConnectError: there is none.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[str] | OSError] = loop.create_future()

    def settle(found: list[str] | OSError) -> None:
        if not done.done():
            done.set_result(found)

    def look_up() -> None:
        found: list[str] | OSError
        try:
            entries = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        except OSError as error:
            found = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=look_up, name="rung-look-up", daemon=True).start()
    found = await done
    if isinstance(found, OSError):
        raise httpx2.ConnectError("no address") from found
    return found
