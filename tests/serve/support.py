"""A client that hides nothing of HTTP."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from rung.serve.app import ServeApp
from rung.serve.server import Server

TOKEN = "a-token-for-the-tests-alone"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]

    @property
    def text(self) -> str:
        """Of the first choice."""
        return self.json["choices"][0]["message"]["content"]

    @property
    def events(self) -> list[tuple[str | None, Any]]:
        """Name and data of each server-sent event; comments are left out."""
        found = []
        for block in self.body.decode().split("\n\n"):
            lines = [line for line in block.splitlines() if not line.startswith(":")]
            if lines:
                named = dict(line.split(": ", 1) for line in lines)
                data = named["data"]
                found.append((named.get("event"), data if data == "[DONE]" else json.loads(data)))
        return found

    @property
    def streamed(self) -> str:
        """The text of the first choice of a stream."""
        chunks = [data for name, data in self.events if name is None and data != "[DONE]" and "choices" in data]
        return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs."""

    port: int
    app: ServeApp
    server: Server
    thread: threading.Thread

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        """One request on a connection of its own; `headers` with underscores, `None` leaves one out."""
        given = {"authorization": f"Bearer {TOKEN}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, path, content, {k: v for k, v in given.items() if v is not None})
            answer = connection.getresponse()
            return Answered(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answered:
        return self.request("GET", path, **headers)

    def chat(self, content: str | list = "Is water wet?", **fields: Any) -> Answered:
        """A chat completion of one user turn, or of messages."""
        messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
        return self.request("POST", "/v1/chat/completions", {"model": "rung", "messages": messages, **fields})

    def raw(self, content: bytes, *, seconds: float = 10) -> bytes:
        """What comes back for bytes, until the server closes or is silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(content)
            found = b""
            try:
                while part := connection.recv(65536):
                    found += part
            except TimeoutError:
                pass
            return found

    def connection(self, method: str, path: str, content: bytes = b"") -> socket.socket:
        """A connection on which a request was sent; the caller closes it."""
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {TOKEN}\r\n"
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(head.encode() + f"content-length: {len(content)}\r\n\r\n".encode() + content)
        return connection

    def open_chat(self, **fields: Any) -> socket.socket:
        """The same for a chat completion."""
        body = {"model": "rung", "messages": [{"role": "user", "content": "Is water wet?"}], **fields}
        return self.connection("POST", "/v1/chat/completions", json.dumps(body).encode())
