"""The question on a real terminal, with a real server behind it that counts what arrives."""

from __future__ import annotations

import subprocess
import sys

import pytest

from helpers.terminal import Session, take_terminal
from helpers.warm import Forked
from openai_tier.server import Server, chat

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals of this kind")

LADDER = """
reach = "internet"
redact = true

[[tier]]
name = "cloud"
kind = "openai"
model = "m"
base_url = "{url}"
zone = "internet"
price = {{ input = 1.0, output = 4.0 }}
{more}
"""


@pytest.fixture
def server():
    with Server(chat("good"), chat("good")) as server:
        yield server


def ask(program, server, more=""):
    return ["ask", "Who?", "--config", program.config(LADDER.format(url=server.url, more=more)), "--trace"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "code", "sent"),
    [(b"y\n", 0, 1), (b"a\n", 0, 1), (b"n\n", 3, 0), (b"\x04", 3, 0), (b"\x03", 130, 0), (b"\nno\n", 3, 0)],
    ids=["y", "a", "n", "end of input", "Ctrl-C", "enter, then no"],
)
def test_only_a_yes_sends_anything(program, server, answer, code, sent):
    session = Session(program, *ask(program, server))
    session.until(b"session: ")
    assert server.connections == 0
    for word in (b"'cloud'", f"127.0.0.1:{server.port}".encode(), b"characters", b"values masked", b"at most $"):
        assert word in session.screen
    session.type(answer)
    assert session.end() == code
    assert (server.connections, len(server.requests)) == (sent, sent)
    assert (b"allowed by the person at the terminal" in session.screen) == bool(sent)


def test_without_a_terminal_nothing_is_sent_and_the_reason_says_what_allows_it(program, server):
    done = program(*ask(program, server))
    assert (done.returncode, done.stdout, server.connections) == (3, b"", 0)
    assert b'consent = "always"' in done.stderr


def test_a_tier_that_says_never_gets_nothing_whatever_the_reach(program, server):
    done = program(*ask(program, server, 'consent = "never"'), "--reach", "internet")
    assert (done.returncode, server.connections) == (3, 0)
    assert b"the configuration said no" in done.stderr


@pytest.mark.slow
def test_in_code_the_terminal_is_asked_by_a_consent_too(program, server):
    script = f"""
import rung
tier = rung.openai("m", base_url={server.url!r}, zone=rung.Zone.INTERNET)
with rung.Ladder(tier, reach=rung.Zone.INTERNET, consent=rung.ask()) as ladder:
    for attempt in (*ladder.run("Who?").attempts, *ladder.run("Who?").attempts):
        print(attempt.reason, attempt.consent, attempt.detail)
"""

    class Python:
        @staticmethod
        def start(*, session: bool = False, TERM: str = "dumb", **streams: int) -> Forked | subprocess.Popen[bytes]:
            env = {**program.env, "TERM": TERM}
            if program.warm is not None:
                return program.warm.start(["-c"], folder=program.work, env=env, code=script, session=session, **streams)
            return subprocess.Popen(
                [sys.executable, "-c", script],
                cwd=program.work,
                env=env,
                start_new_session=session,
                preexec_fn=take_terminal if session else None,
                **streams,
            )

    session = Session(Python)
    session.until(b"session: ")
    session.type(b"a\n")
    assert session.end() == 0
    assert session.screen.count(b"Send it?") == 1
    assert session.screen.count(b"valid the person at the terminal") == 2
    with Python.start(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        said, _ = process.communicate(timeout=60)
        assert process.wait() == 0
    assert said.count(b"consent_refused None nobody at a terminal said no") == 2
    assert len(server.requests) == 2
