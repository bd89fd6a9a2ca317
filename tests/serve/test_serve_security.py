"""What a stranger, a hostile page or a broken client sends is refused or harmless."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

from rung.serve import protocol
from rung.testing import Reply, ScriptedTier
from serve.support import TOKEN


def still_answers(served):
    return served.get("/health").status == 200


@pytest.mark.slow
def test_without_the_token_nothing_is_told(serve):
    served = serve(ScriptedTier("small", "x"))
    for path in ("/v1/models", "/metrics", "/events", "/openapi.json", "/nothing"):
        for given in (None, "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ", TOKEN, "Bearer \xfc"):
            answer = served.get(path, authorization=given)
            assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert served.get("/health", authorization=None).json == {"status": "ok"}


@pytest.mark.slow
def test_a_body_is_not_read_before_its_sender_is_let_in(serve):
    served = serve(ScriptedTier("small", "x"))
    said = served.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000000\r\n\r\n{", seconds=2
    )
    assert b" 401 " in said.splitlines()[0]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "169.254.169.254", "", "a b", "localhost."])
def test_a_foreign_host_is_refused(serve, host):
    answer = serve(ScriptedTier("small")).get("/v1/models", host=host)
    assert answer.status in (400, 421)


@pytest.mark.slow
def test_this_machine_has_several_names(serve):
    served = serve(ScriptedTier("small"))
    for host in ("localhost", f"localhost:{served.port}", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert served.get("/v1/models", host=host).status == 200


def test_a_page_of_another_origin_is_refused_and_told_nothing_by_cors(serve):
    served = serve(ScriptedTier("small"))
    own = f"http://127.0.0.1:{served.port}"
    assert served.get("/v1/models", origin=own).status == 200
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "file://", own + ".evil.example"):
        answer = served.get("/v1/models", origin=origin)
        assert (answer.status, answer.error["code"]) == (403, "foreign_origin")
        assert not any(name.startswith("access-control") for name in answer.headers)
    assert served.get("/v1/models", sec_fetch_site="cross-site").status == 403
    assert served.request("OPTIONS", "/v1/chat/completions", origin="https://evil.example").status == 403


def test_a_body_that_is_too_large_is_refused_without_being_read(serve):
    served = serve(ScriptedTier("small", "x"), limits={"body_mib": 1})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {TOKEN}\r\n".encode()
    said = served.raw(head + b"content-length: 1000000000\r\n\r\n" + b"x" * 1000)
    assert b" 413 " in said.splitlines()[0]
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    try:
        assert b" 413 " in served.raw(head + b"transfer-encoding: chunked\r\n\r\n" + chunk * 20).splitlines()[0]
    except ConnectionError:
        pass  # it was closed while the rest was still being sent
    assert still_answers(served)


@pytest.mark.slow
def test_a_body_that_comes_too_slowly_is_given_up(serve):
    served = serve(ScriptedTier("small", "x"), limits={"body_seconds": 0.2})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {TOKEN}\r\n".encode()
    assert b" 408 " in served.raw(head + b"content-length: 100\r\n\r\n{").splitlines()[0]


@pytest.mark.slow
def test_a_head_that_never_ends_holds_no_connection(serve, monkeypatch):
    monkeypatch.setattr(protocol, "_HEAD_SECONDS", 0.2)
    served = serve(ScriptedTier("small"))
    for begun in (b"", b"GET / HTTP/1.1\r\nhost: 127"):
        with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
            connection.sendall(begun)
            while connection.recv(4096):
                pass


def test_ten_thousand_headers_are_refused(serve):
    served = serve(ScriptedTier("small"))
    headers = b"".join(b"x-%d: y\r\n" % n for n in range(10_000))
    try:
        said = served.raw(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n" + headers + b"\r\n")
        assert said.split()[1] in (b"400", b"431")
    except ConnectionError:
        pass  # it was closed while the rest was still being sent
    assert still_answers(served)


@pytest.mark.slow
@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 4\r\ncontent-length: 40\r\n",
        b"content-length: 4\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"content-length: +4\r\n",
        b"content-length : 4\r\n",
    ],
)
def test_two_requests_in_one_are_never_read_as_a_hidden_second(serve, head):
    """What follows a request of doubtful length is not run as another."""
    served = serve(ScriptedTier("small", "smuggled"))
    hidden = f"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {TOKEN}\r\n\r\n".encode()
    said = served.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n" + head + b"\r\n0\r\n\r\n" + hidden, seconds=1
    )
    assert b"rung/small" not in said
    assert still_answers(served)


@pytest.mark.slow
def test_a_schema_or_a_body_nested_without_end_is_the_clients_error(serve):
    served = serve(ScriptedTier("small", "x"))
    deep: dict = {"type": "string"}
    for _ in range(150):
        deep = {"type": "object", "properties": {"a": deep}}
    schema = {"type": "json_schema", "json_schema": {"name": "deep", "schema": deep}}
    assert served.chat(response_format=schema).status == 400
    body = b'{"model": "rung", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    answer = served.request("POST", "/v1/chat/completions", body)
    assert (answer.status, answer.error["code"]) == (400, "invalid_json")


@pytest.mark.slow
def test_a_catastrophic_pattern_holds_nobody_up(serve):
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}, "required": ["a"]}
    slow = json.dumps({"a": "a" * 5000 + "!"})
    served = serve(ScriptedTier("small", slow, slow))
    began = time.monotonic()
    answer = served.chat(response_format={"type": "json_schema", "json_schema": {"name": "p", "schema": schema}})
    assert (answer.status, answer.error["code"]) == (422, "same_issues")
    assert time.monotonic() - began < 20  # without an end it would take for ever; on an idle machine 0.2 s


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[]", b"null", b'"x"', b'{"model": "rung", "model": "rung"}', b'{"n": NaN}', b"\x00" * 9],
)
def test_a_body_that_is_no_request_is_a_clients_error(serve, body):
    answer = serve(ScriptedTier("small", "x")).request("POST", "/v1/chat/completions", body)
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.slow
def test_an_error_repeats_nothing_of_the_prompt(serve):
    served = serve(ScriptedTier("small", ValueError("my secret"), "x"))
    answer = served.chat("my secret", temperature="my secret")
    assert "secret" not in answer.body.decode()
    form = {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/my secret"}}}
    answer = served.chat("my secret", response_format=form)
    assert answer.status == 400
    answer = served.chat("my secret")
    assert answer.status == 503
    assert "secret" not in answer.error["message"]


def test_a_queue_has_an_end(serve):
    busy, done = threading.Event(), threading.Event()

    def slow(call):
        busy.set()
        done.wait(20)
        return "It is."

    served = serve(ScriptedTier("small", slow, slow), limits={"concurrent": 1, "queue": 1})
    first = served.open_chat()
    assert busy.wait(10)
    second = served.open_chat()
    for _ in range(200):
        if served.app.parts.queue.waiting:
            break
        time.sleep(0.01)
    refused = served.chat()
    assert (refused.status, refused.error["code"]) == (429, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert {b"rung_running 1.0", b"rung_waiting 1.0"} <= set(served.get("/metrics").body.splitlines())
    second.close()  # who leaves the queue makes room in it
    for _ in range(200):
        if not served.app.parts.queue.waiting:
            break
        time.sleep(0.01)
    assert served.app.parts.queue.waiting == 0
    done.set()
    first.recv(100)
    first.close()


@pytest.mark.slow
def test_a_wait_for_a_turn_has_an_end(serve):
    done = threading.Event()
    served = serve(
        ScriptedTier("small", lambda call: (done.wait(20), "It is.")[1]), limits={"concurrent": 1, "queue_seconds": 0.1}
    )
    first = served.open_chat()
    for _ in range(200):
        if served.app.parts.queue.running:
            break
        time.sleep(0.01)
    assert served.chat().status == 429
    done.set()
    first.close()


@pytest.mark.slow
def test_a_request_has_an_end(serve):
    served = serve(ScriptedTier("small", Reply("late", seconds=20)), limits={"request_seconds": 0.2})
    answer = served.chat()
    assert (answer.status, answer.error["code"]) == (504, "deadline")


@pytest.mark.slow
def test_the_end_of_a_requests_own_time_is_not_the_servers_error(serve):
    served = serve(ScriptedTier("small", Reply("late", seconds=20)))
    answer = served.chat(x_rung={"budget": {"seconds": 0.2}})
    assert (answer.status, answer.error["code"], answer.headers["x-should-retry"]) == (408, "deadline", "false")


@pytest.mark.slow
def test_a_server_that_stops_lets_what_is_under_way_end(serve):
    begun, go = threading.Event(), threading.Event()

    def slow(call):
        begun.set()
        go.wait(20)
        return "It is."

    served = serve(ScriptedTier("small", slow))
    connection = served.open_chat()
    assert begun.wait(10)
    served.server.stop()
    time.sleep(0.2)
    go.set()
    found = b""
    while part := connection.recv(4096):
        found += part
    connection.close()
    assert b"It is." in found
    served.thread.join(10)
    assert not served.thread.is_alive()


@pytest.mark.slow
def test_a_server_that_stops_cancels_what_takes_too_long(serve):
    begun, cancelled = threading.Event(), threading.Event()

    def slow(call):
        begun.set()
        if call.cancel.wait(20):
            cancelled.set()
        return "late"

    served = serve(ScriptedTier("small", slow), limits={"stop_seconds": 0.2})
    connection = served.open_chat(stream=True)
    assert begun.wait(10)
    served.server.stop()
    served.thread.join(10)
    assert not served.thread.is_alive()
    assert cancelled.wait(5)
    connection.close()


@pytest.mark.slow
def test_metrics_count_answers_and_name_no_path_of_a_client(serve):
    served = serve(ScriptedTier("small", Reply("It is.")))
    served.chat()
    served.get("/my-secret-path")
    text = served.get("/metrics").body.decode()
    assert 'rung_http_answers_total{route="/v1/chat/completions",status="200"} 1.0' in text
    assert 'rung_attempts_total{reason="valid",tier="small",verdict="accept"} 1.0' in text
    assert "secret" not in text
