"""Clients in environments of their own, so that none of their pins meets rung's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parent


def python_with(folder: Path, *packages: str) -> Path:
    """The Python of an environment with these packages, or with what `RUNG_TEST_CLIENTS` names instead."""
    if given := os.environ.get("RUNG_TEST_CLIENTS"):
        return Path(given)
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    done = subprocess.run([python, "-m", "pip", "install", "-q", *packages], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("the registry of Python's packages can't be reached")
    return python


def node_with(folder: Path, *packages: str) -> tuple[str, Path]:
    """Node, and a folder in which these packages are installed; `RUNG_TEST_NODE` names such a folder."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("there is no Node.js")
    if given := os.environ.get("RUNG_TEST_NODE"):
        return node, Path(given)
    command = [npm, "install", "--no-audit", "--no-fund", *packages]
    if subprocess.run(command, cwd=folder, capture_output=True, text=True).returncode:
        pytest.skip("the registry of Node's packages can't be reached")
    return node, folder


@contextmanager
def endless():
    """A server in a process of its own whose tier always answers; gives its address and token."""
    command = [sys.executable, "-m", "serve.endless"]
    with subprocess.Popen(command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.stdin.close()
            server.wait(30)


def run(program: str | Path, script: Path, where: dict, folder: Path) -> None:
    """Run a client's script against a server: unpatched, by base URL and key alone."""
    # a home of its own, because `llm` keeps its keys and models there
    own = {"OPENAI_BASE_URL": f"{where['url']}/v1", "OPENAI_API_KEY": where["token"], "LLM_USER_PATH": str(folder)}
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OPENAI_ORG_ID")}
    done = subprocess.run(
        [str(program), str(script)], cwd=folder, env={**kept, **own}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == "all right", done.stdout
