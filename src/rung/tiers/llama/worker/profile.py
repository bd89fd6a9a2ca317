"""How a CPU and a GPU are best used: in most things one wants the opposite of the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rung.tiers.llama.devices import Offload


@dataclass(frozen=True, slots=True)
class ComputeProfile:
    """How a worker goes about its steps.

    Args:
        spare: most earlier answers beside the last one that stay in their cells. With 0, older ones are put aside, as
            copies outside the context.

            On a CPU attention passes over kept cells in every step of every other answer: free text of the 135M lost a
            fifth of its speed to some function calls. 400 tokens that were put aside come back in 1 to 3 ms, and
            evaluating them takes from 360 ms (135M) to 2,700 ms (1.5B). On a GPU those cells cost next to nothing. But
            llama.cpp copies each piece of a sequence by itself, and answers that were decoded together lie in pieces of
            one token: a copy of 100 tokens took 37 ms, as long as evaluating 870. Their tokens are bounded as those of
            copies are.
        turns: whether answers take turns where smaller steps are faster. On a GPU, trying steps of other sizes cost a
            sixth: llama.cpp prepares itself for each new size, and the first two steps take half as long again.
        lone_thread: whether llama.cpp gets one thread, whatever cores are free. Where a GPU computes, the CPU only
            looks up words. More threads would wait for the next step in a loop, on the cores of the crew.
        stoppable: whether a step can be stopped at any time. llama.cpp looks at that wish between two operations of the
            CPU, and on no GPU.
    """

    spare: int
    turns: bool
    lone_thread: bool
    stoppable: bool


CPU = ComputeProfile(spare=0, turns=True, lone_thread=False, stoppable=True)
GPU = ComputeProfile(spare=15, turns=False, lone_thread=True, stoppable=False)


def profile_of(where: Offload, *, cuttable: bool) -> ComputeProfile:
    """The profile for a model.

    Args:
        where: which of its layers are on a GPU. If any isn't, the CPU holds up every step.
        cuttable: whether its sequences can be cut at any position. Otherwise what is kept can't be shared.
    """
    found = GPU if where.whole else replace(CPU, stoppable=not where.layers)
    return found if cuttable else replace(found, spare=0)
