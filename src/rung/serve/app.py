"""The server as an ASGI app: its routes, and the layers around them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rung.config.tables import ServeTable
from rung.serve.door import Door, Tokens
from rung.serve.errors import ApiError, Gone, of_error, stopping
from rung.serve.host import LadderHost
from rung.serve.intake import Intake
from rung.serve.metrics import Metrics
from rung.serve.progress import ProgressHub
from rung.serve.questions import PageQuestions
from rung.serve.queueing import Queue
from rung.serve.recent import Recent
from rung.serve.routes import chat, openapi, page, responses, state
from rung.serve.routes.work import PARTS, Parts
from rung.serve.tokens import Quotas

OPEN = frozenset({"/health", *page.FILES})
"""Paths that need no token. They reveal nothing, and a browser has no token before it has loaded the page."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Names and addresses of this machine on loopback."""

_log = logging.getLogger(__name__)


def routes() -> list[BaseRoute]:
    """All endpoints."""
    return [
        Route("/v1/chat/completions", chat.chat_completion, methods=["POST"]),
        Route("/v1/completions", chat.completion, methods=["POST"]),
        Route("/v1/responses", responses.respond, methods=["POST"]),
        Route("/v1/responses/{id}", responses.kept, methods=["GET", "DELETE"]),
        *(Route(path, page.part, methods=["GET"]) for path in page.FILES),
        Route("/page/state", page.watch, methods=["GET"]),
        Route("/page/consent", page.consent, methods=["POST"]),
        Route("/openapi.json", openapi.description, methods=["GET"]),
        Route("/v1/models", state.models, methods=["GET"]),
        Route("/v1/models/{name:path}", state.model, methods=["GET"]),
        Route("/health", state.health, methods=["GET"]),
        Route("/metrics", state.metrics, methods=["GET"]),
        Route("/events", state.events, methods=["GET"]),
    ]


class ServeApp:
    """The whole server, without a socket.

    Args:
        host: answers the requests.
        tokens: looks up who holds a token.
        hosts: names and addresses that a request's Host header may have.
        settings: its limits.
        metrics: counters; an observer of the ladder.
        hub: distributes progress.
        recent: the latest requests, for the page; an observer of the ladder.
        questions: asks the people who have the page open.
        quotas: what each token has left for today.
    """

    def __init__(
        self,
        host: LadderHost,
        *,
        tokens: Tokens,
        hosts: frozenset[str] = LOOPBACK,
        settings: ServeTable | None = None,
        metrics: Metrics | None = None,
        hub: ProgressHub | None = None,
        recent: Recent | None = None,
        questions: PageQuestions | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        settings = settings or ServeTable()
        queue = Queue(settings.concurrent, settings.queue, settings.queue_seconds)
        counted, told = metrics or Metrics(), hub or ProgressHub()
        counted.follow(queue)
        shown = (recent or Recent(), questions or PageQuestions())
        self.parts = Parts(host, queue, counted, told, settings, *shown, quotas or Quotas())
        found = routes()
        router = Router(found, redirect_slashes=False, default=_Nothing(found))
        self._intake = Intake(router, most=settings.body_mib * 2**20, seconds=settings.body_seconds)
        self._app: ASGIApp = Door(self._intake, tokens=tokens, hosts=hosts, open_paths=OPEN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Every error is sent in the API's own format."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._count(scope, message["status"])
            await send(message)

        scope["app"], scope[PARTS] = self, self.parts
        try:
            await self._app(scope, receive, watched)
        except (Gone, asyncio.CancelledError):
            # only a server that stops cancels a request whose client is still there
            if self.parts.queue.closed and not started:
                await _refuse(stopping(), scope, watched)
        except Exception as error:  # noqa: BLE001  a client gets an error in the API's format, never a traceback
            told = _told(error)
            if told.status >= 500 and not isinstance(error, ApiError):
                # without its message, which may quote a prompt or an answer
                _log.error("%s at %s", type(error).__name__, scope["path"][:80].encode("ascii", "backslashreplace"))
            if not started:
                await _refuse(told, scope, watched)

    def close(self) -> None:
        """Take no more requests. Called on the server's loop."""
        self.parts.queue.close()
        self.parts.hub.close()
        self.parts.questions.close()

    def cancel(self) -> None:
        """Cancel the requests under way, whose clients are told. Called on the server's loop, after `close`."""
        self._intake.cancel()

    def _count(self, scope: Scope, status: int) -> None:
        route = scope.get("route")
        self.parts.metrics.answered(getattr(route, "path", "other"), status)


class _Nothing:
    """Answers requests for unknown paths."""

    def __init__(self, known: Sequence[BaseRoute]) -> None:
        paths = sorted({route.path.replace(":path}", "}") for route in known if isinstance(route, Route)})
        self._said = f"there is no such endpoint; there are {', '.join(paths)}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise ApiError(404, self._said, code="unknown_url")


def _told(error: Exception) -> ApiError:
    if isinstance(error, HTTPException):
        allowed = (error.headers or {}).get("Allow", "")
        message = f"this endpoint takes {allowed} alone" if error.status_code == 405 else error.detail
        return ApiError(error.status_code, message, code="method_not_allowed", headers={"allow": allowed})
    return of_error(error)


async def _refuse(error: ApiError, scope: Scope, send: Send) -> None:
    body = json.dumps(error.body()).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
