"""What a server does when it is stopped in the middle, read from slowly, or let down by somebody else's code."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time

import pytest

from rung.serve import events, listening
from rung.serve.errors import Gone
from rung.serve.events import EventStream
from rung.serve.progress import ProgressHub
from rung.serve.server import Server
from rung.testing import QuotingTier, ScriptedTier

BODIES = {
    "/v1/chat/completions": {"model": "rung", "messages": [{"role": "user", "content": "Is water wet?"}]},
    "/v1/completions": {"model": "rung", "prompt": "Is water wet?"},
    "/v1/responses": {"model": "rung", "input": "Is water wet?"},
}


def waits_for(begun):
    """A line of a script that says nothing until it is cancelled."""

    def line(call):
        begun.set()
        call.cancel.wait(60)
        return "late"

    return line


def in_the_background(ask):
    """What `ask` returns, in a list that it is put into later, and the thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(ask()))
    thread.start()
    return found, thread


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
def test_a_request_that_a_stop_cuts_off_is_told_so_in_its_apis_own_words(serve, path, stream):
    begun = threading.Event()
    served = serve(ScriptedTier("small", waits_for(begun)), limits={"stop_seconds": 0.2})
    found, thread = in_the_background(lambda: served.request("POST", path, {**BODIES[path], "stream": stream}))
    assert begun.wait(10)
    served.server.stop()
    thread.join(20)
    [answer] = found
    if not stream:
        assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "stopping", "5")
    elif path.endswith("responses"):
        name, last = answer.events[-1]
        assert (name, last["response"]["error"]["message"]) == ("response.failed", "the server is stopping")
    else:
        assert answer.events[-1][1]["error"]["code"] == "stopping"
    served.thread.join(10)
    assert not served.thread.is_alive()


@pytest.mark.slow
def test_a_stop_at_once_is_not_held_up_by_an_earlier_one_with_patience(serve):
    begun = threading.Event()
    served = serve(ScriptedTier("small", waits_for(begun)), limits={"stop_seconds": 60})
    connection = served.open_chat()
    assert begun.wait(10)
    served.server.stop()
    time.sleep(0.3)
    served.server.stop(at_once=True)
    served.thread.join(20)
    assert not served.thread.is_alive()
    connection.close()


class Endless:
    """An app with an answer that no buffer holds. It heeds neither the end of its turn nor of the server."""

    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 40_000_000})

    def close(self):
        pass

    cancel = close


@pytest.mark.slow
def test_a_stop_waits_for_no_client_that_never_reads():
    listener, up = listening.tcp("127.0.0.1", 0), threading.Event()
    server = Server(Endless(), stop_seconds=0.2, started=up.set)
    thread = threading.Thread(target=server.run, args=(listener,))
    thread.start()
    assert up.wait(20)
    with socket.create_connection(listener.getsockname(), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        connection.recv(1)
        server.stop()
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize("path", ["/health", "/", "/page.js"])
def test_who_has_no_token_cannot_make_the_server_hold_a_body(serve, path):
    served = serve(ScriptedTier("small"))
    head = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 10000000\r\n\r\n"
    answer = served.raw(head.encode())
    assert b" 413 " in answer.splitlines()[0]
    assert b"body_mib" not in answer
    chunks = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n2000\r\n{'x' * 0x2000}\r\n"
    assert b" 413 " in served.raw(chunks.encode()).splitlines()[0]
    assert served.get(path, authorization=None).status == 200


class Escaping(ScriptedTier):
    """A tier whose code raises what is not an error, but would end a program or a task."""

    def __init__(self, error):
        super().__init__("small")
        self.error = error

    def stream(self, call):
        raise self.error
        yield


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
def test_no_code_of_a_tier_ends_the_server_or_leaves_a_client_waiting(serve, error, stream):
    served = serve(Escaping(error), limits={"concurrent": 1})
    answer = served.chat(stream=stream)
    found = answer.events[-1][1]["error"] if stream else answer.error
    assert found["code"] == "unexpected"
    assert type(error).__name__ in found["message"]
    assert served.get("/health").status == 200
    assert served.app.parts.queue.running == 0


def test_a_reader_that_takes_nothing_is_given_up_and_its_turn_ends(monkeypatch):
    monkeypatch.setattr(events, "STALLED", 0.05)
    ended = []

    class Held:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            ended.append("turn")

    async def parts():
        try:
            yield b"data: 1\n\n"
            yield b"data: 2\n\n"
        finally:
            ended.append("work")

    async def send(message):
        if message.get("body") == b"data: 1\n\n":
            await asyncio.Event().wait()

    async def receive():
        await asyncio.Event().wait()

    async def ask():
        await EventStream(parts(), held=Held())({"type": "http", "method": "POST"}, receive, send)

    with pytest.raises(Gone):
        asyncio.run(asyncio.wait_for(ask(), 20))
    assert ended == ["work", "turn"]


@pytest.mark.parametrize("path", ["/events", "/page/state"])
def test_the_head_of_a_stream_is_all_that_head_asks_for(serve, path):
    served = serve(ScriptedTier("small"))
    connection = served.connection("HEAD", path)
    connection.settimeout(10)
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(4096)
    connection.sendall(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    while b'"ok"' not in found:
        found += connection.recv(4096)
    connection.close()
    assert b"text/event-stream" in found
    assert not served.app.parts.questions._watching["token"]


def test_who_listens_to_a_hub_that_is_closed_waits_for_nothing():
    async def listen():
        hub = ProgressHub()
        hub.close()
        return [news async for news in hub.listen()]

    assert asyncio.run(asyncio.wait_for(listen(), 10)) == []


class Broken(QuotingTier):
    """A tier with a bug in its quote."""

    def quote(self, call):
        raise ZeroDivisionError


def test_a_tier_with_a_bug_takes_no_other_model_from_the_list(serve):
    served = serve(Broken("broken"), QuotingTier("whole", context=4096))
    listed = {it["id"]: it["x_rung"].get("context") for it in served.get("/v1/models").json["data"]}
    assert listed == {"rung": None, "rung/broken": None, "rung/whole": 4096}


HALF = r'"\ud83d"'


@pytest.mark.parametrize("stream", ["false", "true"])
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/responses", f'"metadata": {{"a": {HALF}}}'),
        ("/v1/responses", f'"metadata": {{{HALF}: "a"}}'),
        ("/v1/responses", f'"instructions": {HALF}'),
        ("/v1/chat/completions", f'"user": {HALF}'),
        ("/v1/completions", f'"suffix": {HALF}'),
    ],
)
def test_half_a_character_is_refused_before_anything_is_asked(serve, path, field, stream):
    tier = ScriptedTier("small", "It is.")
    served = serve(tier)
    whole = json.dumps({**BODIES[path], "metadata_of_mine": "\U0001f600"})
    answer = served.request("POST", path, f'{whole[:-1]}, {field}, "stream": {stream}}}'.encode())
    assert (answer.status, answer.error["code"], tier.calls) == (400, "invalid_json", [])
    assert served.request("POST", path, whole.encode()).status == 200


@pytest.mark.parametrize("name", [{}, [], 1])
def test_an_allowed_tool_without_a_name_is_the_clients_error(serve, name):
    tools = [{"type": "function", "name": "f"}]
    choice = {"type": "allowed_tools", "tools": [{"type": "function", "name": name}]}
    body = {**BODIES["/v1/responses"], "tools": tools, "tool_choice": choice}
    answer = serve(ScriptedTier("small")).request("POST", "/v1/responses", body)
    assert (answer.status, answer.error["param"].split(".")[0]) == (400, "tool_choice")
