"""A hub on loopback that speaks what `huggingface_hub` speaks for one file, and can misbehave."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


@dataclass
class StandIn:
    """What the hub holds, how it behaves, and what it has seen.

    Args:
        content: the bytes it sends.
        sha256: what it says they hash to; by default what they do.
        statuses: answered first, one a request, before it behaves.
        cut_after: bytes after which the first transfer breaks off.
        stall_after: bytes after which every transfer stands still.
        pause: seconds between two pieces of 64 KiB.
        retry_after: what goes with these statuses, at that moment.
        ranges: whether it sends a part of the file where one is asked for.
        page: sent instead of the file, as a web page, with status 200.
        measured: whether it says how long the file is.
        cdn: path and query that the file is redirected to.
        cdn_status: what the redirection's target answers.
    """

    content: bytes
    sha256: str = ""
    statuses: list[int] = field(default_factory=list)
    cut_after: int | None = None
    stall_after: int | None = None
    pause: float = 0.0
    retry_after: Callable[[], str] = lambda: "0"
    ranges: bool = True
    page: bytes = b""
    measured: bool = True
    cdn: str = ""
    cdn_status: int = 200
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    tokens: list[tuple[str, str]] = field(default_factory=list)
    stalled: Event = field(default_factory=Event)
    closing: Event = field(default_factory=Event)
    sent: int = 0

    def __enter__(self) -> StandIn:
        hub = self
        self.sha256 = self.sha256 or hashlib.sha256(self.content).hexdigest()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                hub.answer(self, body=False)

            def do_GET(self):
                hub.answer(self, body=True)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """A client that was killed is no news."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def transfers(self) -> list[str]:
        """The Range header of each GET, empty where there was none."""
        return [span for method, _, span in self.seen if method == "GET"]

    def answer(self, http: BaseHTTPRequestHandler, *, body: bool) -> None:
        span = http.headers.get("Range", "")
        self.seen.append((http.command, http.path, span))
        self.times.append(time.monotonic())
        self.tokens.append((http.headers["Host"].split(":")[0], http.headers.get("Authorization", "")))
        if self.statuses:
            self._short(http, self.statuses.pop(0))
        elif self.page:
            self._page(http, body=body)
        elif self.cdn and http.path != self.cdn:
            self._redirect(http)
        elif self.cdn and self.cdn_status != 200:
            self._short(http, self.cdn_status)
        else:
            start = int(span.removeprefix("bytes=").removesuffix("-") or 0) if span and self.ranges else 0
            self._file(http, start, body=body)

    def _identity(self, http: BaseHTTPRequestHandler) -> None:
        http.send_header("X-Repo-Commit", http.path.split("/resolve/")[-1].split("/")[0])
        http.send_header("X-Linked-ETag", f'"{self.sha256}"')
        http.send_header("X-Linked-Size", str(len(self.content)))

    def _short(self, http: BaseHTTPRequestHandler, status: int) -> None:
        http.send_response(status)
        http.send_header("Retry-After", self.retry_after())
        http.send_header("Content-Length", "0")
        http.end_headers()

    def _page(self, http: BaseHTTPRequestHandler, *, body: bool) -> None:
        http.send_response(200)
        http.send_header("Content-Type", "text/html; charset=utf-8")
        http.send_header("Content-Length", str(len(self.page)))
        http.end_headers()
        if body:
            http.wfile.write(self.page)

    def _redirect(self, http: BaseHTTPRequestHandler) -> None:
        http.send_response(302)
        self._identity(http)
        # The real hub redirects to another host, so the address is whole.
        http.send_header("Location", self.url.replace("127.0.0.1", "localhost") + self.cdn)
        http.send_header("Content-Length", "0")
        http.end_headers()

    def _file(self, http: BaseHTTPRequestHandler, start: int, *, body: bool) -> None:
        rest = self.content[start:]
        http.send_response(206 if start else 200)
        if start:
            http.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self._identity(http)
        http.send_header("ETag", f'"{self.sha256}"')
        http.send_header("Accept-Ranges", "bytes")
        if self.measured:
            http.send_header("Content-Length", str(len(rest)))
        else:
            http.close_connection = True
        http.end_headers()
        if body:
            self._send(http, rest)

    def _send(self, http: BaseHTTPRequestHandler, rest: bytes) -> None:
        for at in range(0, len(rest), 1 << 16):
            if self.stall_after is not None and at >= self.stall_after:
                self.stalled.set()
                self.closing.wait()
                return
            if self.cut_after is not None and at >= self.cut_after:
                self.cut_after = None
                http.close_connection = True
                return
            http.wfile.write(rest[at : at + (1 << 16)])
            self.sent += len(rest[at : at + (1 << 16)])
            time.sleep(self.pause)
