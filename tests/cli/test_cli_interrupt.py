"""Ctrl-C at any moment: exit 130, no traceback, and nothing that the command started lives on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from helpers.program import ANNOUNCED

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to one process")

SLOW = """
[[tier]]
name = "small"
kind = "scripted"
script = ["good"]
seconds = {seconds}
"""
SOON = 20.0
"""Seconds within which a command ends after Ctrl-C. It takes a fifth of one, and on a busy machine many times that."""
PATIENT = "from rung.cli import interrupt; interrupt._GRACE = 1000.0; "
"""Makes a command wait far longer than `SOON` for its own code to end, so that one which needs the grace fails."""


def interrupted(process, moment: Callable[[], object]) -> subprocess.CompletedProcess[bytes]:
    """Press Ctrl-C in a command that has begun, once `moment` returns; fails where a child outlives it."""
    with process:
        try:
            assert process.stderr.read(1) == b">"
            moment()
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            out, said = process.communicate(timeout=SOON)
        finally:
            process.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, f"{alive} outlived the command"
    return subprocess.CompletedProcess([], process.returncode, out, said)


def fresh(program, *arguments: str) -> subprocess.Popen[bytes]:
    """A command in a new interpreter, which imports everything yet."""
    return subprocess.Popen(
        [sys.executable, "-c", ANNOUNCED, *arguments],
        cwd=program.work,
        env=program.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )


def begun(program, *arguments: str):
    """A command with its imports behind it, which ends only when its own code does."""
    return program.start(*arguments, stdin=subprocess.DEVNULL, announced=True, prelude=PATIENT)


def until(condition: Callable[[], object]) -> Callable[[], None]:
    """A moment: once something holds."""

    def wait() -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, "the moment never came"
            time.sleep(0.005)

    return wait


def after(seconds: float) -> Callable[[], None]:
    """A moment: so long from the begin."""
    return lambda: time.sleep(seconds)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_ctrl_c_at_any_moment_of_the_imports(program, seed):
    line = ["ask", "Who?", "--config", program.config(SLOW.format(seconds=30))]
    done = interrupted(fresh(program, *line), after(random.Random(seed).uniform(0.05, 0.6)))
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"interrupted\n")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_ctrl_c_at_any_moment_of_an_answer(program, seed):
    line = ["ask", "Who?", "--config", program.config(SLOW.format(seconds=30))]
    done = interrupted(begun(program, *line), after(random.Random(seed).uniform(0.05, 0.3)))
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"interrupted\n")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_ctrl_c_ends_a_check_with_all_that_it_started(program, seed):
    """While it starts, at some moment, and once everything is there."""
    line = ["ask", "Who?", "--check", "sh -c 'sleep 30 & sleep 31'", "--config", program.config(SLOW.format(seconds=0))]
    process = begun(program, *line)
    asleep = until(lambda: "sleep" in [child.name() for child in psutil.Process(process.pid).children(recursive=True)])
    done = interrupted(process, after(random.Random(seed).uniform(0.05, 0.3)) if seed else asleep)
    assert (done.returncode, done.stderr) == (130, b"interrupted\n")


def test_ctrl_c_under_json_is_an_object(program):
    record = program.home / "record.json"
    config = program.config(SLOW.format(seconds=30) + f"record = {json.dumps(str(record))}\n")
    done = interrupted(begun(program, "ask", "Who?", "--json", "--config", config), until(record.exists))
    assert done.returncode == 130
    assert json.loads(done.stdout)["error"]["type"] == "Cancelled"


@pytest.mark.slow
def test_ctrl_c_while_waiting_for_stdin(program):
    """Before it says that it waits. Reading ends by itself, and not because the grace is over."""
    read, write = os.pipe()
    process = program.start(
        "ask", "--config", program.config(SLOW.format(seconds=0)), stdin=read, announced=True, prelude=PATIENT
    )
    done = interrupted(process, after(0.4))
    os.close(read)
    os.close(write)
    assert (done.returncode, done.stderr) == (130, b"interrupted\n")


@pytest.mark.slow
def test_a_program_that_was_told_to_ignore_ctrl_c_does(program):
    """As a script's background jobs are."""
    record = program.home / "record.json"
    config = program.config(SLOW.format(seconds=0.5) + f"record = {json.dumps(str(record))}\n")
    with subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *program.command, "ask", "Who?", "--config", config],
        cwd=program.work,
        env=program.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        until(record.exists)()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"good\n")


@pytest.mark.weights
@pytest.mark.parametrize("seed", range(4))
def test_ctrl_c_leaves_no_worker(program, seed):
    models = os.environ.get("RUNG_MODELS_DIR")
    if models:
        program.env["RUNG_MODELS_DIR"] = models
    else:
        del program.env["RUNG_MODELS_DIR"]
        program.env["HOME"] = os.environ["HOME"]
    config = program.config('[[tier]]\nname = "small"\nkind = "llama"\nmodel = "smollm2-135m"\n')
    prompt = "Write a very long story about a lighthouse."
    process = fresh(program, "ask", prompt, "--max-tokens", "2000", "--config", config)
    done = interrupted(process, after(random.Random(seed).uniform(0.5, 5.0)))
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"interrupted\n")
