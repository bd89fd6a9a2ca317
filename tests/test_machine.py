"""What this machine can do, asked by an app: values, and not a word on its streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

APP = """
import json, sys
from rung import Cancel, guard
from rung.machine.checkup import check
from rung.machine.choosing import choose, measure
from rung.machine.leaving import leaving
from rung.store import models, user_store
from rung.store.ladders import ladders
from rung.types import Zone

guard.install(Zone.HOST)
said = []
choice = choose(measure(), models(), ladders(user_store().catalogue), best=True)
found = check(None, quick=True, report=said.append, cancel=Cancel())
print(json.dumps({
    "chosen": [it.model.name for it in choice.models],
    "reason": choice.reason,
    "topics": [it.topic for it in found.findings],
    "sealed": leaving().sealed,
    "command line": sorted({"typer", "rich"} & set(sys.modules)),
}))
"""


@pytest.mark.slow
def test_an_app_asks_what_this_machine_can_do_and_the_command_line_is_never_loaded(tmp_path):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "RUNG_"))}
    env |= dict.fromkeys(("HOME", "USERPROFILE", "RUNG_MODELS_DIR"), str(tmp_path))
    line = [sys.executable, "-c", APP]
    done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    told = json.loads(done.stdout)
    assert told["chosen"]
    assert told["reason"].startswith("The ladder for ")
    assert {"python", "cores", "memory", "guard", "models"} <= set(told["topics"])
    assert told["sealed"]
    assert told["command line"] == []
