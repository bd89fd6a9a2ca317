"""A short soak; the long one is `scripts/soak.py` without arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "scripts" / "soak.py"


@pytest.mark.proof
@pytest.mark.weights
@pytest.mark.alone
def test_many_calls_with_cancels_and_kills_get_their_own_answers_and_leave_nothing_behind(weights, tmp_path):
    weights("smollm2-135m")
    found = tmp_path / "soak.json"
    command = [sys.executable, str(SOAK), "--calls", "400", "--settle", "60", "--kills", "2", "--json", str(found)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert found.exists(), done.stderr
    report = json.loads(found.read_text())
    assert report["faults"] == []
    assert done.returncode == 0
    outcomes = report["outcomes"]
    assert outcomes["right"] > 240
    assert outcomes["cancelled"] + outcomes["abandoned"] > 30
    assert 2 <= outcomes["crashed"] <= 16, "a kill fails the calls under way, and no more"
    assert set(report["growth"]) == {"host", "worker 1", "worker 2", "worker 3"}
