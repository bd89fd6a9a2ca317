"""Access control: the host of a request, the origin of the page that sends it, and its token.

Every web page that a person opens can reach a server on loopback. Requests from pages of a foreign origin are refused,
and so are host names that lead here by DNS rebinding. No answer has a CORS header, so browsers show none to other
origins.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from rung.hosts import place
from rung.serve.errors import ApiError
from rung.types import Zone

HEAD_BYTES = 32 * 1024
"""Most bytes of a request's headers: some hundred headers of usual length, and a token or cookies besides."""

_MOST_HEADERS = 200
"""Most headers of a request. Browsers and clients send about thirty."""

_CLOSE = {"connection": "close"}
"""Closes the connection after the answer, so that the rest of a refused request isn't read."""

CALLER = "rung.caller"
"""Key of the `Caller` in the scope of an accepted request."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Args:
        name: their name in the ledger and on the page.
        reach: how far their prompts may travel; `None` is as far as the ladder's.
        per_day: requests that they may make per day in UTC; `None` sets no limit.
        usd_per_day: US dollars that their requests may spend per day in UTC; `None` sets no limit.
    """

    name: str = "token"
    reach: Zone | None = None
    per_day: int | None = None
    usd_per_day: Decimal | None = None


Tokens = Callable[[str], Caller | None]
"""Looks up who holds a token; `None` for an unknown token."""


def one_token(token: str) -> Tokens:
    """The tokens of a server that has a single one.

    Args:
        token: the secret.
    """
    secret = token.encode()

    def find(given: str) -> Caller | None:
        return Caller() if hmac.compare_digest(given.encode("utf-8", "replace"), secret) else None

    return find


class Door:
    """Admits authorized requests; ASGI middleware.

    Args:
        app: the app behind it.
        tokens: looks up who holds a token.
        hosts: names and addresses that the Host header may have, in canonical form.
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
        # a navigation or an image of a foreign page has no Origin, but newer browsers send Sec-Fetch-Site
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
        # a proxy between client and server may see a different end of the request (request smuggling)
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
