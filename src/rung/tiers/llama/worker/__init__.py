"""The worker's side of the local tier: what runs in a process of its own, beside llama.cpp.

A host sees of it the command line and the frames; both lie beside this room, in `frames`.
"""

from rung.tiers.llama.worker.program import main

__all__ = ["main"]
