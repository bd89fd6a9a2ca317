"""docs/install.md, its first section: the wheel alone, in an environment that holds nothing, answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = """\
[[tier]]
name = "small"
kind = "llama"
model = "smollm2-135m"
"""


def said(*command, cwd, **settings):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.weights
def test_the_wheel_alone_answers_in_a_fresh_environment(weights, tmp_path):
    weights("smollm2-135m")
    # pip builds in the source folder, so it gets one of its own
    source = tmp_path / "source"
    names = said("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, names):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    wheel = said(sys.executable, "scripts/build_wheel.py", cwd=source).strip()
    assert Path(wheel).name == "rung-0.1.0-py3-none-any.whl"

    said(sys.executable, "-m", "venv", "fresh", cwd=tmp_path)
    fresh = tmp_path / "fresh" / ("Scripts" if os.name == "nt" else "bin")
    said(str(fresh / "python"), "-m", "pip", "install", "--quiet", "--no-compile", wheel, cwd=tmp_path)
    (tmp_path / "rung.toml").write_text(CONFIG)
    answer = said(
        str(fresh / "rung"), "ask", "Is water wet?", "--choices", "yes,no", "--config", "rung.toml", cwd=tmp_path
    )
    assert answer.strip() in ("yes", "no")
