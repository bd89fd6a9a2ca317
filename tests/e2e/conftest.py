"""An OpenAI-compatible server with real weights behind it, and a forwarder that counts who connects."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from urllib.error import URLError
from urllib.request import urlopen

import pytest


class Forwarder:
    """Passes bytes on to another port of this machine, and counts the connections it was asked for."""

    def __init__(self, port: int) -> None:
        self.connections = 0
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._behind)) as far:
            answers = threading.Thread(target=self._pump, args=(far, near), daemon=True)
            answers.start()
            self._pump(near, far)
            answers.join()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side went away, and so the other is told by the sockets' end


@pytest.fixture(scope="session")
def model_server(weights) -> Iterator[int]:
    """The port of llama-cpp-python's own server with Qwen2.5-Coder-1.5B."""
    path = weights("qwen2.5-coder-1.5b")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(path), "--host", "127.0.0.1"]
    server = subprocess.Popen(
        [*command, "--port", str(port), "--n_ctx", "4096", "--verbose", "false"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _until_ready(server, port)
        yield port
    finally:
        server.terminate()
        server.wait(20)


def _until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(600):
        assert server.poll() is None, "the model server ended while it loaded"
        try:
            with urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError("the model server didn't get ready within two minutes")


@pytest.fixture
def forwarder(model_server) -> Iterator[Forwarder]:
    """Stands before the model server for one test."""
    before = Forwarder(model_server)
    yield before
    before.close()
