"""`rung serve` as part of an app: how it starts, how it says where it is, and that nothing of it stays."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and modes of files are POSIX's")

CONFIG = """
[[tier]]
name = "small"
kind = "openai"
model = "m"
base_url = "http://127.0.0.1:9/v1"
[ledger]
record = false
"""
"""A tier that is never there, and takes no time to load."""

PARENT = """
import subprocess, sys
child = subprocess.Popen([*sys.argv[1:], "--parent-pid", str(__import__("os").getpid())])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rung.toml").write_text(CONFIG)
    return tmp_path


def command(folder, *options):
    return [
        sys.executable, "-m", "rung", "serve", "--config", str(folder / "rung.toml"),
        "--ready-file", str(folder / "ready.json"), *options,
    ]  # fmt: skip


def ready(folder, seconds=60):
    """What the ready file says, once it is there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (folder / "ready.json").exists():
            return json.loads((folder / "ready.json").read_text())
        time.sleep(0.02)
    raise AssertionError("no ready file")


@contextmanager
def started(folder, *options, **settings):
    process = subprocess.Popen(command(folder, *options), stderr=subprocess.PIPE, **settings)
    try:
        yield process, ready(folder)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def asks(port, token=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/v1/models", headers={} if token is None else {"authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def gone(*pids, seconds=2.0):
    """Whether none of these processes is left within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_the_ready_file_lets_its_owner_in_and_is_gone_at_the_end(folder):
    with started(folder, "--port", "0") as (process, told):
        assert told["pid"] == process.pid
        assert told["url"] == f"http://127.0.0.1:{told['port']}/v1"
        assert set(told) == {"url", "port", "socket", "pid", "token", "version", "page"}
        assert stat.S_IMODE((folder / "ready.json").stat().st_mode) == 0o600
        assert asks(told["port"], told["token"]) == 200
        assert asks(told["port"]) == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        said = process.stderr.read().decode()
    assert told["token"] not in said
    assert str(told["port"]) in said
    assert not (folder / "ready.json").exists()
    assert is_free(told["port"])


@pytest.mark.slow
def test_a_port_that_is_taken_is_said_before_anything_is_loaded(folder):
    (folder / "rung.toml").write_text("this is not TOML")  # which is never read
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = subprocess.run(command(folder, "--port", str(port)), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr
    assert "--port 0" in done.stderr


@pytest.mark.slow
def test_the_end_of_its_input_is_its_own(folder):
    with started(folder, "--port", "0", "--exit-on-stdin-eof", stdin=subprocess.PIPE) as (process, told):
        assert asks(told["port"], told["token"]) == 200
        process.stdin.close()
        process.stdin = None
        assert process.wait(20) == 0
    assert not (folder / "ready.json").exists()


@pytest.mark.slow
def test_a_unix_socket_is_this_users_alone(folder):
    path = folder / "s"
    with started(folder, "--socket", str(path)) as (process, told):
        assert (told["port"], told["socket"]) == (None, str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            assert b" 200 " in connection.recv(4096).splitlines()[0]
        again = subprocess.run(command(folder, "--socket", str(path)), capture_output=True, text=True, timeout=60)
        assert (again.returncode, "another server listens" in again.stderr) == (2, True)
        process.kill()
        process.wait()
    assert path.exists()  # a killed server leaves both behind
    (folder / "ready.json").unlink()
    with started(folder, "--socket", str(path)) as (process, _):
        process.terminate()
        assert process.wait(20) == 0
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("short", 2),
        ("has a space in it, so no", 2),
        ("long-enough-and-plain", 0),
    ],
)
def test_a_token_may_be_given_by_a_file_and_not_on_the_command_line(folder, token, code):
    file = folder / "token"
    file.write_text(f"{token}\n")
    if code:
        done = subprocess.run(
            command(folder, "--port", "0", "--token-file", str(file)), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code
        assert token not in done.stderr
    else:
        with started(folder, "--port", "0", "--token-file", str(file)) as (_, told):
            assert told["token"] == token


@pytest.mark.slow
def test_a_parent_that_is_none_is_an_error(folder):
    done = subprocess.run(
        command(folder, "--port", "0", "--parent-pid", "4194303"), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert not (folder / "ready.json").exists()


def start_and_end(folder, *, killed, after=lambda told: ()):
    """One life of a sidecar: it ends by a signal, or because its parent was killed. Nothing of it may be left.

    Args:
        folder: of its files.
        killed: whether its parent is killed.
        after: called once it is ready; gives the processes that have to be gone with it.
    """
    if killed:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, *command(folder, "--port", "0")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        pid = int(parent.stdout.readline())
        told = ready(folder)
        others = after(told)
        parent.kill()
        parent.communicate()
    else:
        process = subprocess.Popen(command(folder, "--port", "0"), stderr=subprocess.DEVNULL)
        pid, told = process.pid, ready(folder)
        others = after(told)
        process.terminate()
        process.wait(20)
    assert told["pid"] == pid
    assert gone(pid, *others), "an orphan"
    assert is_free(told["port"]), "the port is taken"
    assert not (folder / "ready.json").exists(), "the ready file is there"
    assert {it.name for it in folder.iterdir()} == {"rung.toml"}


@pytest.mark.proof
@pytest.mark.slow
def test_twenty_starts_leave_nothing_though_the_parent_is_killed_in_half_of_them(folder):
    for number in range(20):
        start_and_end(folder, killed=number % 2 == 0)


@pytest.mark.proof
@pytest.mark.weights
def test_starts_with_a_real_worker_leave_nothing_though_the_parent_is_killed_in_half_of_them(tmp_path, weights):
    model = weights("smollm2-135m")
    (tmp_path / "rung.toml").write_text(
        f"[ledger]\nrecord = false\n[[tier]]\nname = 'small'\nkind = 'llama'\nmodel = '{model}'\n"
    )

    def answers(told):
        """The server's workers, one of which writes an answer that nobody will read."""
        talk = [{"role": "user", "content": "Count to a thousand."}]
        body = json.dumps({"model": "rung", "messages": talk, "max_tokens": 2000, "stream": True})
        connection = HTTPConnection("127.0.0.1", told["port"], timeout=120)
        connection.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {told['token']}"})
        answer = connection.getresponse()
        while b'"content"' not in answer.readline():
            pass
        connections.append(connection)
        workers = psutil.Process(told["pid"]).children(recursive=True)
        assert workers
        return [it.pid for it in workers]

    connections = []
    for number in range(4):
        start_and_end(tmp_path, killed=number % 2 == 0, after=answers)
        connections.pop().close()
