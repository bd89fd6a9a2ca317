"""The tokens of one step, in the arrays that llama.cpp reads them from."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rung.tiers.llama.binding import llama


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive tokens of one sequence that go into one step.

    Args:
        sequence: number of the sequence, below the number of slots.
        start: position of the first token.
        tokens: at least one.
        outputs: number of last tokens after which the logits are wanted.
    """

    sequence: int
    start: int
    tokens: Sequence[int]
    outputs: int


class Batch:
    """llama.cpp's arrays for one step, filled through numpy.

    Args:
        room: most tokens of a step.
    """

    def __init__(self, room: int) -> None:
        import numpy as np  # which takes as long to import as a small model to load, and comes beside that

        self._struct = llama.llama_batch_init(room, 0, 1)
        view = np.ctypeslib.as_array
        self._tokens = view(self._struct.token, (room,))
        self._positions = view(self._struct.pos, (room,))
        self._wanted = view(self._struct.logits, (room,))
        view(self._struct.n_seq_id, (room,))[:] = 1
        # One array for the ids of all tokens, instead of an allocation for each. The pointers lead into it.
        self._sequences = np.zeros(room, np.int32)
        kind = ctypes.POINTER(llama.llama_seq_id)
        for i in range(room):
            self._struct.seq_id[i] = ctypes.cast(self._sequences.ctypes.data + 4 * i, kind)

    def fill(self, runs: Sequence[Run]) -> Any:
        """llama.cpp's struct, with the tokens of these runs. It is valid until the next call.

        Args:
            runs: with at most `room` tokens in all.
        """
        at = 0
        for run in runs:
            count = len(run.tokens)
            # Decoding adds one token at a time. For that an index is faster than a slice.
            where = at if count == 1 else slice(at, at + count)
            self._tokens[where] = run.tokens[0] if count == 1 else run.tokens
            self._positions[where] = run.start if count == 1 else range(run.start, run.start + count)
            self._sequences[where] = run.sequence
            self._wanted[where] = 0
            at += count
            self._wanted[at - run.outputs : at] = 1
        self._struct.n_tokens = at
        return self._struct

    def outputs(self) -> list[int]:
        """Indices of the tokens whose logits are wanted."""
        found: list[int] = self._wanted[: self._struct.n_tokens].nonzero()[0].tolist()
        return found
