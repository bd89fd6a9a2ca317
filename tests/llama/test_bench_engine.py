"""The benchmark of the engine goes on working while the engine changes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench_engine.py"


@pytest.mark.proof
@pytest.mark.weights
@pytest.mark.alone
def test_each_row_that_needs_rung_alone_and_one_small_model_can_be_measured(weights, tmp_path):
    weights("smollm2-135m")
    found = tmp_path / "rows.json"
    wanted = "free-text,ttft-restart,cancel,pipe,confidence,memory,ladder"
    command = [
        sys.executable,
        str(BENCH),
        "--quick",
        "--models",
        "smollm2-135m",
        "--json",
        str(found),
        "--rows",
        wanted,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "missing" not in done.stderr
    rows = json.loads(found.read_text())["rows"]
    # Two of `cancel`, three of `memory` and of `ladder`.
    assert len(rows) == len(wanted.split(",")) + 5
    assert len(done.stdout.splitlines()) == len(rows) + 2, "one table and nothing else"
    assert all(row["ours"]["median"] > 0 for row in rows)
    assert "same text 1 of 1" in rows[0]["note"], "ours and the bare loop say the same"
