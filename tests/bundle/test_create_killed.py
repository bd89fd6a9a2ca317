"""Making a kit, killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from rung.bundle import verify
from rung.store import models
from rung.store import verify as verify_model


@pytest.mark.proof
@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_no_kit_or_a_whole_one(site):
    """Forty kills; afterwards the store verifies, and the next kit sweeps away what they left."""
    out = site.root / "kit"
    options = ["--config", str(site.root / "rung.toml"), "--wheels", str(site.wheels), "--part-size", "128KiB"]
    command = [sys.executable, "-m", "rung", "bundle", "create", str(out), *options]
    started = time.monotonic()
    subprocess.run(command, capture_output=True, check=True)
    whole = time.monotonic() - started
    rng = random.Random(40)
    for _ in range(40):
        for path in out.glob("*"):
            path.unlink()
        if out.exists():
            out.rmdir()
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            time.sleep(rng.uniform(0.3, 1.05) * whole)
            os.killpg(process.pid, signal.SIGKILL)
        if out.exists():
            assert verify(out)[1] == []
    assert all(verify_model(listed.model.name) for listed in models() if listed.file is not None)
    time.sleep(1)  # until the children of the last one have noticed
    subprocess.run([*command[:5], str(site.root / "kit-2"), *options], capture_output=True, check=True)
    if not out.exists():
        subprocess.run(command, capture_output=True, check=True)
    assert verify(out)[1] == []
    assert not list(site.root.glob(".kit*"))
