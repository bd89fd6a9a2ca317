"""The worker's side of the local tier: what runs in a process of its own, beside llama.cpp.

The host sees only the command line and the frames, which are in `flag` and `frames`, beside this room.
"""

from rung.tiers.llama.worker.start import main

__all__ = ["main"]
