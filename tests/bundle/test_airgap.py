"""The whole way with real models: made here, installed where no network is."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "airgap_check.py"


@pytest.mark.proof
@pytest.mark.weights
def test_a_kit_made_here_answers_on_two_tiers_where_no_network_is(weights):
    weights("smollm2-135m")
    weights("qwen2.5-coder-0.5b")
    try:
        distribution("llama-cpp-python")
    except PackageNotFoundError:
        pytest.skip("needs an installed llama-cpp-python to pack")
    command = [sys.executable, str(SCRIPT), "--native", "--python", sys.executable]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode == 77:
        pytest.skip(ended.stderr.strip())
    assert ended.returncode == 0, ended.stderr
    assert "both tiers answered without a network" in ended.stderr
