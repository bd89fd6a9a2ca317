"""Who may come in: the host that was asked for, the page that asks, and the token.

A server on loopback can be reached by every web page that the person opens. A page of a foreign origin is refused, and
so is a name that leads here by DNS rebinding. No answer has a CORS header, so no browser shows one to another origin.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from rung.hosts import place
from rung.serve.errors import ApiError
from rung.types import Zone

HEAD_BYTES = 32 * 1024
"""Bytes of a request's headers: some hundred of the usual length, and a token or a cookie beside them."""

_MOST_HEADERS = 200
"""Headers of a request. Browsers and clients send some thirty."""

_CLOSE = {"connection": "close"}
"""Ends the connection with the answer, so that nothing more is read of what a stranger sends."""

CALLER = "rung.caller"
"""Key of the `Caller` in the scope of a request that came in."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Args:
        name: as the ledger and the page call them.
        reach: how far their prompts may travel; `None` is as far as the ladder's.
        per_day: requests that they may make in a day of UTC; `None` sets no limit.
    """

    name: str = "token"
    reach: Zone | None = None
    per_day: int | None = None


Tokens = Callable[[str], Caller | None]
"""Who holds a token; `None` for a token that nobody was given."""


def one_token(token: str) -> Tokens:
    """The tokens of a server that has given away a single one.

    Args:
        token: the secret.
    """
    secret = token.encode()

    def find(given: str) -> Caller | None:
        return Caller() if hmac.compare_digest(given.encode("utf-8", "replace"), secret) else None

    return find


class Door:
    """Lets in who is allowed in; ASGI middleware.

    Args:
        app: what lies behind.
        tokens: finds who holds a token.
        hosts: names and addresses by which the server may be asked for, in their canonical form.
        open_paths: paths that need no token.
    """

    def __init__(self, app: ASGIApp, *, tokens: Tokens, hosts: frozenset[str], open_paths: frozenset[str]) -> None:
        self._app = app
        self._tokens = tokens
        self._hosts = hosts
        self._open = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it before any of its body is read."""
        headers = Headers(scope=scope)
        _bounded(headers)
        host = self._host(headers)
        self._same_origin(headers, host)
        if scope["path"] not in self._open:
            scope[CALLER] = self._caller(headers)
        await self._app(scope, receive, send)

    def _host(self, headers: Headers) -> str:
        given = headers.getlist("host")
        found = place(given[0]) if len(given) == 1 else None
        if found is None or found[0] not in self._hosts:
            known = ", ".join(sorted(self._hosts))
            raise ApiError(421, f"this server answers to the hosts {known} alone", code="foreign_host", headers=_CLOSE)
        return given[0].lower()

    def _same_origin(self, headers: Headers, host: str) -> None:
        origins = headers.getlist("origin")
        foreign = any(not _is_of(origin, host) for origin in origins)
        # a navigation or an image of a foreign page carries no Origin, but newer browsers tell its site
        if foreign or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise ApiError(
                403, "web pages of another origin may not ask this server", code="foreign_origin", headers=_CLOSE
            )

    def _caller(self, headers: Headers) -> Caller:
        given = headers.getlist("authorization")
        scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unknown("no token was given")
        caller = self._tokens(token.strip())
        if caller is None:
            raise _unknown("the token is wrong")
        return caller


def _bounded(headers: Headers) -> None:
    if len(headers.raw) > _MOST_HEADERS or sum(len(k) + len(v) for k, v in headers.raw) > HEAD_BYTES:
        said = f"a request has up to {_MOST_HEADERS} headers of {HEAD_BYTES:,} bytes together"
        raise ApiError(431, said, code="headers_too_large", headers=_CLOSE)
    if "transfer-encoding" in headers and "content-length" in headers:
        # whoever stands between client and server may see another end of the request than this server does
        raise ApiError(400, "the length of the body is given in two ways", code="invalid_length", headers=_CLOSE)


def _is_of(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host


def _unknown(what: str) -> ApiError:
    return ApiError(
        401,
        f"{what}; send `Authorization: Bearer TOKEN`, with the token of the server's ready file as the API key",
        "authentication_error",
        "invalid_api_key",
        headers={"www-authenticate": "Bearer", **_CLOSE},
    )
