"""`rung linger`: what stays in memory behind a command, and its end."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from llama.conftest import gone


@pytest.fixture
def runtime() -> Iterator[str]:
    """A runtime folder whose path is short enough for a socket."""
    folder = tempfile.mkdtemp(prefix="rung-")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("command", ["list", "stop"])
def test_where_nothing_lingers_that_is_said(program, runtime, command):
    done = program("linger", command, XDG_RUNTIME_DIR=runtime)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"no model stays in memory" in done.stderr
    told = json.loads(program("linger", command, "--json", XDG_RUNTIME_DIR=runtime).stdout)
    assert told == {"status": "ok", "workers": []}


@pytest.mark.slow
def test_the_doctor_names_a_folder_that_keeps_workers_from_lingering(program, runtime):
    (Path(runtime) / "rung").mkdir(0o755)
    done = program("doctor", "--quick", "--json", XDG_RUNTIME_DIR=runtime)
    (found,) = [it for it in json.loads(done.stdout)["findings"] if it["topic"] == "linger"]
    assert found["level"] == "note"
    assert "chmod 700" in found["hint"]


@pytest.mark.weights
@pytest.mark.slow
def test_a_model_stays_for_the_next_command_and_is_listed_told_and_ended(program, weights, runtime):
    model = json.dumps(str(weights("smollm2-135m")))
    config = program.config(f'linger = "5m"\n[[tier]]\nname = "small"\nkind = "llama"\nmodel = {model}\n')
    where = {"XDG_RUNTIME_DIR": runtime}

    def listed() -> list[dict]:
        return json.loads(program("linger", "list", "--json", **where).stdout)["workers"]

    pids = []
    for _ in range(2):
        assert program("ask", "--config", config, "Name a colour.", **where).returncode == 0
        (worker,) = listed()
        pids.append(worker["pid"])
    assert pids[0] == pids[1]
    assert psutil.Process(pids[0]).is_running()
    assert 200 < worker["left"] <= 300
    assert b"ends in 5 min" in program("linger", "list", **where).stdout
    assert b"stays in memory" in program("doctor", "--quick", "--config", config, **where).stdout

    done = program("linger", "stop", **where)
    assert (done.returncode, done.stdout.startswith(f"process {pids[0]} ends".encode())) == (0, True)
    assert gone(pids[0])
    assert listed() == []
