"""The GPU that a benchmark is to run on."""

from __future__ import annotations

import sys

from rung.tiers.llama.devices import gpus
from rung.tiers.llama.host.build import build


def gpu() -> str | None:
    """What the build of llama.cpp calls the GPU that it would compute on; `None` without one."""
    found = gpus(build().devices)
    return ", ".join(device.description for device in found) or None


def demand_gpu() -> None:
    """End with a sentence where there is none: the processor would compute, and be taken for it."""
    if gpu() is None:
        sys.exit("--gpu: this build of llama-cpp-python finds no GPU; `rung doctor` says what it was built for")
