"""The context's memory: which sequence holds which tokens, and what is kept of answers that are over.

A prefix that two sequences have in common lies in the same cells, and is counted once.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

ALIGNED, _TAIL = 32, 8
"""A shared beginning ends at a multiple of the first, and leaves at least the second to evaluate: llama.cpp multiplies
tokens in tiles and a single one by another kernel. What follows is then the same to the last bit, unless the prompt has
64 tokens or more and fewer than 64 are left: from 64 in a step on its attention works in tiles, too, and logits differ
by up to 0.9. To evaluate 64 again for near ties would make a second question wait for them."""

KEPT = 8
"""Most sequences that are kept after their answers, for the next prompt that begins like them.

Attention passes over what is kept in every step: eight function calls slow a small model down by 20%. So only the
last one is kept, until a prompt comes that is for the most part one that was let go, as a repair is when several calls
are under way; from then on all of these, while that pays.
"""


def sequences(slots: int) -> int:
    """How many sequences a context needs for so many answers at once: theirs, those kept, and one of scratch."""
    return slots + KEPT + 1


class Sequences(Protocol):
    """What a context can do with the memory of its sequences."""

    cuttable: bool

    def forget(self, sequence: int, start: int = 0) -> bool:
        """Free the cells of a sequence from a position on; `False` where they can't be cut there."""

    def share(self, source: int, target: int, end: int) -> None:
        """Let an empty sequence hold the first `end` cells of another one, too."""

    def save(self, sequence: int) -> bytes:
        """The cells of a sequence, as bytes."""

    def restore(self, sequence: int, data: bytes) -> bool:
        """Fill an empty sequence from such bytes; `False` where they don't fit."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The memory of some tokens, outside of the context.

    Args:
        tokens: from position 0 on.
        data: as the context gave it.
    """

    tokens: tuple[int, ...] = field(repr=False)
    data: bytes = field(repr=False)


@dataclass(eq=False, slots=True)
class Held:
    """What one sequence's memory holds.

    Args:
        sequence: its number in the context.
        tokens: those that are evaluated, from position 0 on.
        cells: numbers of the cells that they lie in.
    """

    sequence: int
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)


class Memory:
    """Hands out sequences, keeps the books of their cells, and finds prefixes again.

    Args:
        context: whose memory it is.
        cells: room for tokens, all sequences together.
        slots: most answers at once.
    """

    def __init__(self, context: Sequences, *, cells: int, slots: int) -> None:
        self._context = context
        self._cells = cells
        self._scratch = slots + KEPT
        self._free = list(range(slots + KEPT))
        self._kept: list[Held] = []
        self._let_go: deque[list[int]] = deque(maxlen=KEPT + slots)
        self._since_it_paid = KEPT
        self._active: list[Held] = []
        self._numbers = itertools.count()
        self._holders: dict[int, int] = {}

    @property
    def cuttable(self) -> bool:
        """Whether a sequence can be cut at any position; a recurrent model's can't."""
        return self._context.cuttable

    @property
    def free(self) -> int:
        """How many cells are empty."""
        return self._cells - len(self._holders)

    def shared(self, tokens: Sequence[int]) -> int:
        """How many tokens at the beginning needn't be evaluated."""
        return self._longest(tokens)[1]

    def begin(self, tokens: Sequence[int], slack: int, *, must: bool) -> Held | None:
        """A sequence that holds as much of the beginning of `tokens` as is known; `None` where there is no room.

        The last tokens are left to evaluate, since their logits are wanted.

        Args:
            tokens: that will be evaluated.
            slack: further cells that should be free.
            must: give a sequence even if there is less room.
        """
        source, common = self._longest(tokens)
        if self._would_lack_older(tokens):
            self._since_it_paid = 0
        need = len(tokens) - common + slack
        enough = self._make_room(need, but=source)
        if source is not None and source in self._kept:
            self._kept.remove(source)
            self._kept.append(source)
            if common == len(source.tokens) or not enough:
                # What it holds beyond the common part is worth a cell only while there are cells.
                self.cut(source, common)
                if self.free < need and not must:
                    return None
                self._kept.remove(source)
                self._active.append(source)
                return source
        if not enough and not must:
            return None
        held = Held(self._free.pop())
        self._active.append(held)
        if source is not None:
            self._context.share(source.sequence, held.sequence, common)
            held.tokens, held.cells = source.tokens[:common], source.cells[:common]
            for cell in held.cells:
                self._holders[cell] += 1
        return held

    def extend(self, held: Held, tokens: Iterable[int]) -> None:
        """These were evaluated behind what the sequence holds."""
        for token in tokens:
            cell = next(self._numbers)
            self._holders[cell] = 1
            held.tokens.append(token)
            held.cells.append(cell)

    def cut(self, held: Held, start: int) -> int:
        """Forget what a sequence holds from a position on, or all where it can't be cut; how many tokens are left."""
        if not self._context.forget(held.sequence, start):
            self._context.forget(held.sequence)
            start = 0
        for cell in held.cells[start:]:
            self._holders[cell] -= 1
            if not self._holders[cell]:
                del self._holders[cell]
        del held.tokens[start:], held.cells[start:]
        return start

    def keep(self, held: Held) -> None:
        """The answer is over; what it held stays until its room is wanted."""
        self._active.remove(held)
        self._kept.append(held)
        if not held.tokens:
            self._close(held)
        self._since_it_paid += 1
        most = KEPT if self._since_it_paid <= KEPT else 1
        while len(self._kept) > most:
            self._let_go.append(list(self._kept[0].tokens))
            self._close(self._kept[0])

    def drop(self, held: Held) -> None:
        """Free all that an active sequence holds."""
        self._active.remove(held)
        self._kept.append(held)
        self._close(held)

    def make_room(self, cells: int) -> bool:
        """Forget kept sequences, those that were used longest ago first, until so many cells are free."""
        return self._make_room(cells, but=None)

    def save(self, held: Held, end: int) -> Saved:
        """The memory of the first `end` tokens of a sequence."""
        self._context.share(held.sequence, self._scratch, end)
        data = self._context.save(self._scratch)
        self._context.forget(self._scratch)
        return Saved(tuple(held.tokens[:end]), data)

    def restore(self, held: Held, saved: Saved) -> None:
        """Let an active sequence hold just what was saved; nothing where that can't be done."""
        self.cut(held, 0)
        if self.free >= len(saved.tokens) and self._context.restore(held.sequence, saved.data):
            self.extend(held, saved.tokens)
        else:
            self._context.forget(held.sequence)

    def _would_lack_older(self, tokens: Sequence[int]) -> bool:
        """Whether most of a prompt is in, or was in, an answer before the last one, and is nowhere else."""
        older = (*self._let_go, *(held.tokens for held in self._kept[:-1]))
        others = (held.tokens for held in (*self._kept[-1:], *self._active))
        found, without = (max((self._usable(known, tokens) for known in some), default=0) for some in (older, others))
        return 2 * (found - without) >= len(tokens)

    def _longest(self, tokens: Sequence[int]) -> tuple[Held | None, int]:
        """Which sequence begins most like `tokens`, and how far."""
        best, length = None, 0
        for held in (*self._active, *reversed(self._kept)):
            if not self.cuttable and held in self._active:
                continue
            common = self._usable(held.tokens, tokens)
            if common > length:
                best, length = held, common
        return best, length

    def _usable(self, known: Sequence[int], tokens: Sequence[int]) -> int:
        """How many of `tokens` needn't be evaluated where the memory of `known` is there."""
        common = min(common_prefix(known, tokens), len(tokens) - 1)
        if self.cuttable:
            return max(0, min(common, len(tokens) - _TAIL) // ALIGNED * ALIGNED)
        return common if common == len(known) else 0

    def _make_room(self, cells: int, but: Held | None) -> bool:
        for held in list(self._kept):
            if self.free >= cells:
                break
            if held is not but:
                self._close(held)
        return self.free >= cells

    def _close(self, held: Held) -> None:
        self.cut(held, 0)
        self._kept.remove(held)
        self._free.append(held.sequence)


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        # Comparing slices runs in C; what is known to be equal is not compared again.
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
