"""Offline as the kernel sees it: the system calls of commands, their workers and whatever else they start.

At reach `host` no socket is made but between processes of this machine (AF_UNIX), by no thread of any of them. What
the interpreter's guard can't see, code in C included, is seen here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import rung
from rung.store import user_store

# io_uring could connect without any of the calls that are watched
WATCHED = "trace=network,execve,?io_uring_setup"
SENDS = re.compile(r"\d+ +(connect|bind|sendto|sendmsg|sendmmsg|io_uring_setup)\(")
MAKES = re.compile(r"\d+ +socket\(")
LADDER = """
reach = "{reach}"

[[tier]]
name = "small"
kind = "llama"
model = "smollm2-135m"
repairs = 0
max_tokens = 8

[[tier]]
name = "mid"
kind = "llama"
model = "qwen2.5-coder-0.5b"
repairs = 0
max_tokens = 8

[[tier]]
name = "cloud"
kind = "openai"
model = "gpt-5.4-mini"
api_key = {{ env = "OPENAI_API_KEY" }}
price = {{ input = 1.0, output = 4.0 }}
consent = "always"
"""


@dataclass(frozen=True)
class Traced:
    """A program that ran to its end under strace."""

    done: subprocess.CompletedProcess[str]
    lines: tuple[str, ...]

    @property
    def network(self) -> list[str]:
        """The calls that reach beyond processes of this machine."""
        return [line for line in self.lines if SENDS.match(line) and "AF_UNIX" not in line]

    @property
    def sockets(self) -> list[str]:
        """The sockets that could."""
        return [line for line in self.lines if MAKES.match(line) and "AF_UNIX" not in line]

    @property
    def worked(self) -> bool:
        """Whether a worker was among what was traced."""
        return any("execve(" in line and "rung.tiers.llama.worker" in line for line in self.lines)


@pytest.fixture
def traced(tmp_path: Path) -> Callable[..., Traced]:
    """Runs Python with arguments under strace, in a home of its own."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    probe = subprocess.run([strace, "-f", "true"], capture_output=True, text=True, timeout=60, check=False)
    if probe.returncode:
        pytest.skip(f"strace may trace nothing here: {probe.stderr.strip()[:200]}")
    work, trace = tmp_path / "work", tmp_path / "trace"
    (work / ".git").mkdir(parents=True)
    env = {name: os.environ[name] for name in ("PATH", "OMP_PROC_BIND") if name in os.environ}
    env |= {"HOME": str(tmp_path), "PYTHONPATH": str(Path(rung.__file__).parents[1]), "OPENAI_API_KEY": "sk-none"}
    # the weights stay where they are, though the home is another
    env["RUNG_MODELS_DIR"] = str(user_store().root)

    def run(*arguments: str, **more: str) -> Traced:
        done = subprocess.run(
            [strace, "-f", "-e", WATCHED, "-o", str(trace), sys.executable, *arguments],
            cwd=work,
            env={**env, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Traced(done, tuple(trace.read_text(encoding="utf-8", errors="replace").splitlines()))

    return run


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))",
        "import os; exec(os.fork() or 'import socket; socket.socket().connect_ex((\"127.0.0.1\", 9))')",
    ],
    ids=["connect", "child"],
)
def test_the_trace_sees_what_it_is_there_to_see(traced, code):
    trace = traced("-c", code)
    assert (len(trace.sockets), len(trace.network)) == (1, 1)


@pytest.mark.slow
def test_importing_rung_touches_no_network(traced):
    # the star loads what is put off to its first use
    trace = traced("-c", "import rung; from rung import *")
    assert trace.done.returncode == 0, trace.done.stderr
    assert trace.network == trace.sockets == []


@pytest.mark.weights
@pytest.mark.parametrize(
    ("command", "works"),
    [
        (["ask", "Is water wet?", "--choices", "yes,no", "--tier", "smollm2-135m"], True),
        (["models", "verify", "smollm2-135m"], False),
    ],
    ids=["ask", "models verify"],
)
def test_a_command_at_reach_host_touches_no_network(traced, weights, command, works):
    weights("smollm2-135m")
    trace = traced("-m", "rung", *command)
    assert trace.done.returncode == 0, trace.done.stderr
    assert trace.worked == works
    assert trace.network == trace.sockets == []


@pytest.mark.weights
def test_the_doctor_tries_the_guard_and_sends_nothing(traced, weights, tmp_path):
    weights("smollm2-135m")
    config = tmp_path / "one.toml"
    config.write_text('[[tier]]\nname = "a"\nkind = "llama"\nmodel = "smollm2-135m"\n')
    trace = traced("-m", "rung", "doctor", "--config", str(config))
    assert trace.done.returncode == 0, trace.done.stdout
    assert "were refused" in trace.done.stdout
    assert trace.worked
    assert trace.network == []
    assert len(trace.sockets) == 1  # the one that it tries to connect


@pytest.mark.weights
@pytest.mark.parametrize(
    ("reach", "more", "env", "hint"),
    [
        ("host", [], {}, "--reach internet allows it"),
        ("internet", ["--reach", "internet"], {"RUNG_OFFLINE": "1"}, "RUNG_OFFLINE forbids more"),
    ],
    ids=["reach host", "RUNG_OFFLINE over file and option"],
)
def test_where_every_local_answer_fails_the_cloud_tier_is_not_even_looked_up(
    traced, weights, tmp_path, reach, more, env, hint
):
    weights("smollm2-135m")
    weights("qwen2.5-coder-0.5b")
    config = tmp_path / "ladder.toml"
    config.write_text(LADDER.format(reach=reach))
    asked = ["ask", "Is water wet?", "--choices", "yes,no", "--check", "false", "--config", str(config)]
    trace = traced("-m", "rung", *asked, *more, **env)
    assert trace.done.returncode == 3, trace.done.stderr
    assert f"cloud: its zone is internet and the reach is host; {hint}" in trace.done.stderr
    assert trace.worked
    assert trace.network == trace.sockets == []
