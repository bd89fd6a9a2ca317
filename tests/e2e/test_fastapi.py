"""The app of docs/fastapi.md, served by a real server on loopback."""

from __future__ import annotations

import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import uvicorn

import rung
from rung.testing import Reply, ScriptedTier

PAGE = Path(__file__).parents[2] / "docs" / "fastapi.md"


@pytest.fixture
def serve():
    """Serve the page's app around a ladder; gives the address."""
    servers = []

    def start(ladder: rung.Ladder) -> tuple[str, int]:
        code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL).group(1)
        names: dict = {}
        exec(compile(code, str(PAGE), "exec"), names)
        names["ladder"] = ladder
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(names["app"], log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        servers.append((server, thread, listener))
        return listener.getsockname()

    yield start
    for server, thread, listener in servers:
        server.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()


def ask(address: tuple[str, int], book: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://{address[0]}:{address[1]}/author?book={book}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.slow
def test_twenty_requests_at_once_wait_for_no_one_another(serve):
    """Each is answered once all of them have been asked."""
    asked_together = Barrier(20)

    def answer(call):
        asked_together.wait(60)
        return "FRANK HERBERT"

    tier = ScriptedTier("slow", *[answer] * 20)
    address = serve(rung.Ladder(tier))
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda i: ask(address, f"book{i}"), range(20)))
    assert [status for status, _ in answers] == [200] * 20
    asked = {re.search(r"book\d+", call.messages[-1].text).group() for call in tier.calls}
    assert asked == {f"book{i}" for i in range(20)}


@pytest.mark.slow
def test_a_client_that_goes_away_cancels_its_call_and_no_other(serve):
    tier = ScriptedTier("slow", *[Reply("FRANK HERBERT", seconds=3)] * 2)
    address = serve(rung.Ladder(tier))
    with ThreadPoolExecutor(1) as pool:
        stays = pool.submit(ask, address, "Dune")
        while len(tier.calls) < 1:
            time.sleep(0.01)
        with socket.create_connection(address) as goes:
            goes.sendall(b"GET /author?book=Emma HTTP/1.1\r\nHost: x\r\n\r\n")
            while len(tier.calls) < 2:
                time.sleep(0.01)
        assert tier.calls[1].cancel.wait(2)
        assert not tier.calls[0].cancel.is_set()
        assert stays.result()[0] == 200


@pytest.mark.slow
def test_an_answer_that_nothing_accepts_is_a_422_that_says_why(serve):
    address = serve(rung.Ladder(ScriptedTier("small", "frank", "frank")))
    status, body = ask(address, "Dune")
    assert status == 422
    assert "small: type" in body
    assert "frank" not in body
