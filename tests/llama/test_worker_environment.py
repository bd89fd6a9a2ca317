"""A worker has the variables that it needs, and nobody's keys."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from llama.conftest import call, text
from rung.tiers.llama.host.environment import allowed

SECRETS = [
    "OPENAI_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MY_TOKEN",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "GITHUB_TOKEN",
    "NVIDIA_API_KEY",
    "LLAMA_API_KEY",
    "CUDA_PASSWORD",
    "PYTHON_KEYRING_SECRET",
    "OMP_auth_token",
    "VK_ACCESS_TOKEN",
    "DATABASE_URL",
    "RUNG_SECRET",
    "RUNG_LEDGER",
    "SSH_AUTH_SOCK",
    "HTTPS_PROXY",
    "ANYTHING_ELSE",
    "LD_PRIVATE_KEY",
]
NEEDED = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_LIBRARY_PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONUTF8",
    "OMP_NUM_THREADS",
    "KMP_AFFINITY",
    "GGML_CUDA_NO_PINNED",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "VK_ICD_FILENAMES",
    "ZES_ENABLE_SYSMAN",
    "UR_L0_ENABLE_RELAXED_ALLOCATION_LIMITS",
    "XDG_CACHE_HOME",
    "SystemRoot",
    "TEMP",
    "RUNG_OFFLINE",
    "HF_HUB_OFFLINE",
]


def test_what_a_worker_needs_reaches_it_and_nothing_else_does():
    assert list(allowed(dict.fromkeys(NEEDED, "x"))) == NEEDED
    assert allowed(dict.fromkeys(SECRETS, "x")) == {}


@pytest.mark.weights
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_real_worker_holds_no_key(make, monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, f"CANARY-{name}")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    tier = make()
    assert text(tier.stream(call(max_tokens=2)))
    held = Path(f"/proc/{tier.worker_pid}/environ").read_bytes()
    assert b"CANARY" not in held
    assert b"OMP_WAIT_POLICY=active" in held
