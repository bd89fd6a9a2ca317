"""A scripted OpenAI-compatible server on loopback, on raw sockets so that it can also break every rule.

    with Server(chat("Hello"), status(429, {"retry-after": "1"})) as server:
        OpenAITier("m", base_url=server.url)
        ...
        server.requests[0].json["messages"]

Each request takes the next reply of the script; after its end `chat("ok")` answers. What asks about the server itself,
under `/api/`, is no part of the script: `api` has the answers, and what it lacks is 404.

A reply is a function that takes a `Peer`, so a test can write its own. Replies end when the client goes or the server
stops, so no test waits for a stall.
"""

from __future__ import annotations

import json
import random
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Received:
    """A request as it came in."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Peer:
    """The client's end of a connection, for a reply to play with."""

    socket: socket.socket
    request: Received
    stopping: threading.Event
    keeps: bool = False

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self, status: int = 200, headers: Mapping[str, str] | None = None, chunked: bool = True) -> None:
        """Status line and headers; the body is then sent with `chunk` and `end`."""
        lines = {"content-type": "text/event-stream", **(headers or {})}
        if chunked:
            lines["transfer-encoding"] = "chunked"
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.send(f"HTTP/1.1 {status} Scripted\r\n{text}\r\n".encode())

    def chunk(self, data: bytes) -> None:
        self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def end(self) -> None:
        self.send(b"0\r\n\r\n")
        self.keeps = True

    def event(self, data: Any) -> None:
        """One server-sent event, as JSON unless it is text already."""
        text = data if isinstance(data, str) else json.dumps(data)
        self.chunk(f"data: {text}\n\n".encode())

    def wait(self, seconds: float = 60.0) -> bool:
        """Do nothing until the client goes, the server stops or the time is over; whether the client is still there."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stopping.is_set():
            self.socket.settimeout(min(left, 0.02))
            try:
                if not self.socket.recv(1):
                    return False
            except TimeoutError:
                continue
            except OSError:
                return False
        self.socket.settimeout(None)
        return not self.stopping.is_set()

    def reset(self) -> None:
        """Close the connection the rude way."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Reply = Callable[[Peer], None]


def piece(text: str = "", *, index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One chunk of a streamed completion."""
    choice = {"index": index, "delta": {"content": text, **delta}, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "model": "served", "choices": [choice]}


def usage(input_tokens: int = 7, output_tokens: int = 3) -> dict[str, Any]:
    """The chunk that follows the last choice."""
    counts = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}
    return {"object": "chat.completion.chunk", "model": "served", "choices": [], "usage": counts}


def events(*chunks: Any, done: int = 1, pause: float = 0.0) -> Reply:
    """A stream of these chunks, and `[DONE]` so many times."""

    def reply(peer: Peer) -> None:
        peer.head()
        for chunk in chunks:
            if pause and not peer.wait(pause):
                return
            peer.event(chunk)
        for _ in range(done):
            peer.event("[DONE]")
        peer.end()

    return reply


def chat(*texts: str, finish: str = "stop", pause: float = 0.0) -> Reply:
    """A whole answer in pieces."""
    return events(*(piece(text) for text in texts), piece(finish=finish), usage(), pause=pause)


def status(code: int, headers: Mapping[str, str] | None = None, error: Any = None) -> Reply:
    """An error response; `error` is the object under `error` in its body."""

    def reply(peer: Peer) -> None:
        body = json.dumps({"error": error or {"message": "scripted"}}).encode()
        kind = {"content-type": "application/json", "content-length": str(len(body))}
        peer.head(code, {**kind, **(headers or {})}, chunked=False)
        peer.send(body)
        peer.keeps = True

    return reply


def whole(value: Any) -> Reply:
    """A value as JSON, in one piece."""

    def reply(peer: Peer) -> None:
        body = json.dumps(value).encode()
        peer.head(headers={"content-type": "application/json", "content-length": str(len(body))}, chunked=False)
        peer.send(body)
        peer.keeps = True

    return reply


def raw(data: bytes) -> Reply:
    """These bytes and no more."""
    return lambda peer: peer.send(data)


def slow_headers(peer: Peer) -> None:
    """Half a status line, then nothing."""
    peer.send(b"HTTP/1.1 20")
    peer.wait()


def stall(*chunks: Any) -> Reply:
    """These chunks, then nothing, the connection open."""

    def reply(peer: Peer) -> None:
        peer.head()
        for chunk in chunks:
            peer.event(chunk)
        peer.wait()

    return reply


def cut(*chunks: Any, clean: bool = False) -> Reply:
    """These chunks, then the end of the connection; `clean` ends the HTTP body properly, only `[DONE]` lacks."""

    def reply(peer: Peer) -> None:
        peer.head()
        for chunk in chunks:
            peer.event(chunk)
        if clean:
            peer.end()

    return reply


def reset(peer: Peer) -> None:
    """A reset instead of an answer."""
    peer.reset()


def flood(megabytes: int, line_breaks: bool = True) -> Reply:
    """An answer that goes on and on."""

    def reply(peer: Peer) -> None:
        peer.head()
        # no repetition: that would be noticed before the length is
        text = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz ", k=65_000))
        chunk = f"data: {json.dumps(piece(text))}\n\n".encode() if line_breaks else text.encode()
        for _ in range(megabytes * 1_000_000 // len(chunk)):
            peer.chunk(chunk)
        peer.end()

    return reply


class Server:
    """The server. It listens from its construction on and ends with the `with` block.

    Args:
        script: replies, first to last.
        tls: makes it an https server.

    Attributes:
        requests: every request that came in whole.
        api: what a path under `/api/` is answered with: a value as JSON, or a reply.
        questions: the requests for such paths.
        connections: how many there were, whatever came of them.
    """

    def __init__(self, *script: Reply, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.script = deque(script)
        self.requests: list[Received] = []
        self.api: dict[str, Any] = {}
        self.questions: list[Received] = []
        self.connections = 0
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.01)
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def open_connections(self) -> int:
        with self._lock:
            return len(self._open)

    def enqueue(self, *script: Reply) -> None:
        self.script.extend(script)

    def stop(self) -> None:
        self._stopping.set()
        with self._lock:
            for connection in self._open:
                # Unblocks a thread that reads or writes; the thread itself closes the socket.
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        for thread in list(self._threads):
            thread.join()
        self._listener.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _reply(self, request: Received) -> Reply:
        path = urlsplit(request.line.split()[1]).path  # a proxy is given the whole URL
        if path.startswith("/api/"):
            self.questions.append(request)
            found = self.api.get(path, status(404))
            return found if callable(found) else whole(found)
        self.requests.append(request)
        return self.script.popleft() if self.script else chat("ok")

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, name="scripted-server", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        talking = connection
        try:
            if self._tls is not None:
                talking = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                talking.do_handshake()
            while not self._stopping.is_set():
                request = _read(talking)
                if request is None:
                    break
                with self._lock:
                    reply = self._reply(request)
                peer = Peer(talking, request, self._stopping)
                reply(peer)
                if not peer.keeps:
                    break
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            talking.close()
            connection.close()


def _read(connection: socket.socket) -> Received | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in rest)}
    while len(body) < int(headers.get("content-length", "0")):
        more = connection.recv(65_536)
        if not more:
            return None
        body += more
    return Received(line, headers, body)
