"""`rung ask --show-outgoing`: exactly what would be sent, and nothing sent."""

from __future__ import annotations

import json

import pytest

from openai_tier.server import Server, chat

LADDER = """
{top}
[[tier]]
name = "small"
kind = "scripted"
script = ["wrong", "wrong bob@example.org"]

[[tier]]
name = "cloud"
kind = "openai"
model = "m"
base_url = "{url}"
zone = "internet"
price = {{ input = 1.0, output = 4.0 }}
api_key = {{ env = "SCRIPTED_KEY" }}
{cloud}
"""
CHECK = "def check(value):\n    return [] if value == 'good' else [f'{value} is not good']\n"


@pytest.fixture
def server():
    with Server(chat("good")) as server:
        yield server


def arguments(program, server, *more, top="", cloud=""):
    (program.work / "mine.py").write_text(CHECK)
    config = program.config(LADDER.format(url=server.url, top=top, cloud=cloud))
    words = ["ask", "Größe of bob@example.org?", "--check", "mine:check", "--config", config, "--reach", "internet"]
    return [*words, *more]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("top", "cloud"),
    [("", ""), ("redact = true", ""), ("", 'feedback = "issues+answer"\nstore = false\nmax_cost_usd = 0.004')],
)
def test_it_equals_byte_for_byte_what_the_server_later_receives(program, server, top, cloud):
    words = arguments(program, server, top=top, cloud=cloud)
    shown = program(*words, "--show-outgoing", SCRIPTED_KEY="sk-canary")
    assert shown.returncode == 0, shown.stderr
    assert server.connections == 0
    done = program(*words, SCRIPTED_KEY="sk-canary")
    assert (done.returncode, done.stdout) == (0, b"good\n"), done.stderr
    assert shown.stdout == server.requests[0].body + b"\n"
    assert b"sk-canary" not in shown.stdout + shown.stderr
    assert f"POST {server.url}/chat/completions" in shown.stderr.decode()
    assert (b"bob@example.org" in shown.stdout) == (not top)
    assert (b'"store":false' in shown.stdout) == bool(cloud)


def test_each_tier_beyond_the_machine_has_its_line(program, server):
    more = LADDER.format(url=server.url, top="", cloud="").split("[[tier]]")[2].replace('"cloud"', '"other"')
    words = arguments(program, server, "--show-outgoing", cloud=f"\n[[tier]]{more}")
    done = program(*words, SCRIPTED_KEY="sk-canary")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first == second
    assert b"cloud: would send" in done.stderr
    assert b"other: would send" in done.stderr


def test_as_json_it_is_one_object(program, server):
    done = program(*arguments(program, server, "--show-outgoing", "--json"), SCRIPTED_KEY="sk-canary")
    found = json.loads(done.stdout)
    assert found["status"] == "shown"
    (out,) = found["outgoing"]
    assert (out["tier"], out["zone"], out["bytes"]) == ("cloud", "internet", len(out["body"].encode()))
    assert json.loads(out["body"])["model"] == "m"


def test_a_local_answer_that_is_accepted_means_that_nothing_would_go(program, server):
    words = [w for w in arguments(program, server, "--show-outgoing") if w not in ("--check", "mine:check")]
    done = program(*words, SCRIPTED_KEY="sk-canary")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"small: answered, so nothing would leave this machine" in done.stderr


@pytest.mark.parametrize(("reach", "why"), [("host", b"the reach is host"), ("lan", b"the reach is lan")])
def test_a_tier_that_may_not_be_asked_says_why_nothing_would_go(program, server, reach, why):
    done = program(*arguments(program, server, "--show-outgoing", "--reach", reach), SCRIPTED_KEY="sk-canary")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"cloud: would send nothing" in done.stderr
    assert why in done.stderr


def test_a_tier_that_tells_nothing_is_named(program):
    script = '[[tier]]\nname = "far"\nkind = "scripted"\nzone = "lan"\nscript = ["x"]\n'
    done = program("ask", "Who?", "--reach", "lan", "--show-outgoing", "--config", program.config(script))
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"'far' doesn't tell what it sends" in done.stderr
