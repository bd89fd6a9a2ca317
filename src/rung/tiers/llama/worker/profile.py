"""What suits what computes a model: in most things a GPU wants the opposite of a CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rung.tiers.llama.devices import Offload


@dataclass(frozen=True, slots=True)
class ComputeProfile:
    """How a worker goes about its steps.

    Args:
        spare: most earlier answers beside the last one that stay in their cells, and none is put aside. With 0, what
            is older than the last answer is put aside, as a copy outside the context.
        turns: whether answers take turns where smaller steps are faster.
        lone_thread: whether llama.cpp gets one thread, whatever cores are free.
    """

    spare: int
    turns: bool
    lone_thread: bool


CPU = ComputeProfile(spare=0, turns=True, lone_thread=False)
"""Attention passes over kept cells in every step of every other answer: free text of the 135M lost a fifth of its speed
to some function calls. 400 tokens that were put aside come back in 1 to 3 ms, whereas evaluating them takes from 360 ms
(135M) to 2,700 ms (1.5B)."""

GPU = ComputeProfile(spare=15, turns=False, lone_thread=True)
"""llama.cpp copies each piece of a sequence out of a GPU by itself, and answers that were decoded together lie in
pieces of one token: a copy of 100 tokens took 37 ms, evaluating 870 took as long. To pass over kept cells takes next to
nothing there; their tokens are bounded as those of copies are.

Trying steps of other sizes cost a sixth: the first two of a size take half as long again, since llama.cpp prepares it.

Only words are looked up by the CPU. More threads than one would wait for the next step in a loop, on the cores of the
crew."""


def profile_of(where: Offload, *, cuttable: bool) -> ComputeProfile:
    """What suits a model.

    Args:
        where: which of its layers are on a GPU. If any isn't, the CPU holds up every step.
        cuttable: whether its sequences can be cut at any position. Otherwise what is kept can't be shared.
    """
    found = GPU if where.whole else CPU
    return found if cuttable else replace(found, spare=0)
