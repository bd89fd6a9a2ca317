"""Ctrl-C at any moment: exit 130, no traceback, and nothing that the command started lives on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to one process")

SLOW = """
[[tier]]
name = "small"
kind = "scripted"
script = ["good"]
seconds = {seconds}
"""
# Says when the command begins: before, the interpreter itself is not yet ready for a signal.
PROGRAM = "import os, sys; from rung.cli import main; os.write(2, b'>'); sys.exit(main())"


def interrupted(program, arguments, after: float, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command, press Ctrl-C `after` seconds from its begin; fails where a child outlives it."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=program.work,
        env={**program.env, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stderr.read(1) == b">"
            time.sleep(after)
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            out, said = process.communicate(timeout=20)
        finally:
            process.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, f"{alive} outlived the command"
    return subprocess.CompletedProcess(arguments, process.returncode, out, said)


@pytest.mark.parametrize("seed", range(12))
def test_ctrl_c_at_any_moment_of_an_answer(program, seed):
    after = random.Random(seed).uniform(0.02, 1.5)
    done = interrupted(program, ["ask", "Who?", "--config", program.config(SLOW.format(seconds=30))], after)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"interrupted\n")


@pytest.mark.parametrize("seed", range(4))
def test_ctrl_c_ends_a_check_with_all_that_it_started(program, seed):
    after = random.Random(seed).uniform(0.9, 2.0)
    config = program.config(SLOW.format(seconds=0))
    done = interrupted(program, ["ask", "Who?", "--check", "sh -c 'sleep 30 & sleep 31'", "--config", config], after)
    assert (done.returncode, done.stderr) == (130, b"interrupted\n")


def test_ctrl_c_under_json_is_an_object(program):
    config = program.config(SLOW.format(seconds=30))
    done = interrupted(program, ["ask", "Who?", "--json", "--config", config], 1.5)
    assert done.returncode == 130
    assert json.loads(done.stdout)["error"]["type"] == "Cancelled"


def test_ctrl_c_while_waiting_for_stdin(program):
    read, write = os.pipe()
    with subprocess.Popen(
        [*program.command, "ask", "--config", program.config(SLOW.format(seconds=0))],
        cwd=program.work,
        env=program.env,
        stdin=read,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        pressed = time.monotonic()
        _, said = process.communicate(timeout=20)
        assert time.monotonic() - pressed < 2.5
    os.close(read)
    os.close(write)
    assert process.returncode == 130
    assert said == b"interrupted\n"


def test_a_program_that_was_told_to_ignore_ctrl_c_does(program):
    """As a script's background jobs are."""
    line = [*program.command, "ask", "Who?", "--config", program.config(SLOW.format(seconds=1.5))]
    with subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *line],
        cwd=program.work,
        env=program.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
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
    after = random.Random(seed).uniform(0.5, 5.0)
    prompt = "Write a very long story about a lighthouse."
    done = interrupted(program, ["ask", prompt, "--max-tokens", "2000", "--config", config], after)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"interrupted\n")
