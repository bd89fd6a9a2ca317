"""The example of a Node program that starts `rung serve` beside itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from apps.conftest import MODEL, ROOT

pytestmark = [pytest.mark.surfaces, pytest.mark.skipif(shutil.which("npm") is None, reason="needs node and npm")]


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """The example with its packages installed."""
    pytest.importorskip("rung.serve", reason="rung serve isn't there yet")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(ROOT / "examples" / "node", folder, dirs_exist_ok=True)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True, timeout=300)
    return folder


@pytest.fixture
def ladder(tmp_path, weights) -> Path:
    """A configuration with the 135M."""
    file = tmp_path / "rung.toml"
    model = json.dumps(str(weights(MODEL)))
    file.write_text(f'[[tier]]\nname = "small"\nkind = "llama"\nmodel = {model}\ncontext = 1024\n', encoding="utf-8")
    return file


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "RUNG": json.dumps([sys.executable, "-m", "rung"]), "TMPDIR": str(tmp_path)}


def test_the_sidecar_is_started_asked_and_stopped_and_nothing_is_left(program, ladder, tmp_path):
    done = subprocess.run(
        ["node", "ask.mjs", "--config", str(ladder)],
        cwd=program,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["invoice"].keys() == {"vendor", "currency"}
    assert (said["tier"], said["left_machine"]) == ("small", False)
    assert not psutil.pid_exists(said["pid"])
    assert [it.name for it in tmp_path.iterdir()] == ["rung.toml"]


def test_a_server_that_does_not_start_is_an_error_that_says_what_it_said(program, tmp_path):
    done = subprocess.run(
        ["node", "ask.mjs", "--config", str(tmp_path / "none.toml")],
        cwd=program,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "rung serve did not start" in done.stderr
    assert "none.toml" in done.stderr


def test_a_server_ends_with_its_killed_program(program, ladder, tmp_path):
    code = "import { startRung } from './sidecar.mjs';" + (
        "const it = await startRung({command: JSON.parse(process.env.RUNG), args: process.argv.slice(1)});"
        "console.log(it.pid); setInterval(() => {}, 1000);"
    )
    node = subprocess.Popen(
        ["node", "--input-type=module", "-e", code, "--", "--config", str(ladder)],
        cwd=program,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    )
    with node:
        server = psutil.Process(int(node.stdout.readline()))
        node.kill()
        until = time.monotonic() + 10
        while server.is_running() and server.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
            time.sleep(0.05)
        assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
