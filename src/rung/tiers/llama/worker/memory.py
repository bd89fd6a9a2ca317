"""The context's memory: which sequence holds which tokens, and what is kept of finished answers.

A prefix that two sequences share is in the same cells, and counts once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rung.tiers.llama.fit import ASIDE

_ALIGNED, _TAIL = 32, 8
"""A shared beginning ends at a multiple of the first number, and leaves at least the second number of tokens to
evaluate. llama.cpp multiplies tokens in tiles and a single token with another kernel, so that anywhere else the last
bits of what follows differ."""

_LONG, _TILE = 512, 64
"""Prompts of at least the first number of tokens leave at least the second to evaluate, unless other answers are under
way. From that many tokens in a step on, attention works in tiles too. Its last bits differ, by which logits differ by
up to 0.9, and it is several times as fast if much comes before. Behind 832 tokens, 41 took the 0.5B 690 ms, and 104
took 560 ms. Shorter prompts are done sooner with fewer tokens. Beside other answers a step has their tokens too, and
last bits differ anyway: there, evaluating 64 tokens again for a few words made many short answers 3.5 times as slow."""


def sequences(slots: int, spare: int = 0) -> int:
    """How many sequences a context needs: one for each answer, those that are kept, and scratch.

    Args:
        slots: most answers at once.
        spare: how many earlier answers beside the last one stay in their cells.
    """
    return slots + spare + 2


class Sequences(Protocol):
    """What a context can do with the memory of its sequences."""

    cuttable: bool

    def forget(self, sequence: int, start: int = 0) -> bool:
        """Free the cells of a sequence from a position on; `False` if it can't be cut there."""

    def share(self, source: int, target: int, end: int) -> None:
        """Let an empty sequence also hold the first `end` cells of another one."""

    def save(self, sequence: int) -> bytes:
        """The cells of a sequence, as bytes."""

    def restore(self, sequence: int, data: bytes) -> bool:
        """Fill an empty sequence from such bytes; `False` if they don't fit."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The memory of some tokens, outside the context.

    Args:
        tokens: the tokens, from position 0 on.
        data: bytes as the context returned them.
    """

    tokens: tuple[int, ...] = field(repr=False)
    data: bytes = field(repr=False)


@dataclass(eq=False, slots=True)
class HeldCells:
    """What one sequence's memory holds.

    Args:
        sequence: its number in the context.
        tokens: the evaluated tokens, from position 0 on.
        cells: numbers of the cells that hold them.
    """

    sequence: int
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)


class ContextMemory:
    """Hands out sequences, keeps track of their cells, and finds prefixes again.

    What the last answer held stays in its cells, for the repair that may follow. Older answers are put aside, as copies
    outside the context, or some of them stay in their cells, too: `rung.tiers.llama.worker.profile` says which and why.

    Args:
        context: the context whose memory it is.
        cells: room for tokens of all sequences together.
        slots: most answers at once.
        spare: how many earlier answers beside the last one stay in their cells. If any do, none is put aside.
    """

    def __init__(self, context: Sequences, *, cells: int, slots: int, spare: int = 0) -> None:
        self._context = context
        self._cells = cells
        self._spare = spare
        self._scratch = sequences(slots, spare) - 1
        self._free = list(range(self._scratch))
        self._kept: list[HeldCells] = []
        self._aside: list[Saved] = []
        self._active: list[HeldCells] = []
        self._numbers = itertools.count()
        self._holders: dict[int, int] = {}

    def resized(self, cells: int, *, kept: bool) -> None:
        """The context has another size now.

        Args:
            cells: its room.
            kept: whether the sequences still hold what they held. If not, all are empty and nobody's. What was put
                aside isn't lost, for it lies outside the context.
        """
        self._cells = cells
        if not kept:
            self._free = list(range(self._scratch))
            self._kept.clear()
            self._active.clear()
            self._holders.clear()

    @property
    def cuttable(self) -> bool:
        """Whether a sequence can be cut at any position. A recurrent model's can't."""
        return self._context.cuttable

    @property
    def free(self) -> int:
        """Number of empty cells."""
        return self._cells - len(self._holders)

    def shared(self, tokens: Sequence[int]) -> int:
        """How many tokens at the beginning need not be evaluated."""
        return max(self._longest(tokens)[1], self._longest_aside(tokens)[1])

    def begin(self, tokens: Sequence[int], slack: int, *, must: bool, alone: bool = False) -> HeldCells | None:
        """A sequence that holds as much of the beginning of `tokens` as is known; `None` if there is no room.

        The last tokens are left to evaluate, since their logits are wanted.

        Args:
            tokens: tokens that will be evaluated.
            slack: number of further cells that should be free.
            must: whether to give a sequence even if there is less room.
            alone: whether to give an empty one, with nothing that is kept of other answers beside it.
        """
        source, common = self._longest(tokens)
        saved, usable = self._longest_aside(tokens)
        if alone:
            source, saved, common = None, None, 0
        elif usable > common:
            source, common = None, 0
        else:
            saved = None
        if source not in self._kept or self._spare:
            if alone or not self._spare:
                self._put_aside(*self._kept)
            if not self.make_room(len(tokens) - common + slack, but=source) and not must:
                return None
            held = self._open()
            if source is not None:
                self._share(source, held, common)
            elif saved is not None:
                self.restore(held, saved)
                if usable < len(held.tokens):
                    self.cut(held, usable)
            return held
        if common < len(source.tokens):
            self._copy_aside(source)
            self.cut(source, common)
        if self.free < len(tokens) - common + slack and not must:
            return None
        self._kept.remove(source)
        self._active.append(source)
        return source

    def _open(self) -> HeldCells:
        held = HeldCells(self._free.pop())
        self._active.append(held)
        return held

    def _share(self, source: HeldCells, held: HeldCells, end: int) -> None:
        self._context.share(source.sequence, held.sequence, end)
        held.tokens, held.cells = source.tokens[:end], source.cells[:end]
        for cell in held.cells:
            self._holders[cell] += 1

    def extend(self, held: HeldCells, tokens: Iterable[int]) -> None:
        """These tokens were evaluated behind what the sequence holds."""
        for token in tokens:
            cell = next(self._numbers)
            self._holders[cell] = 1
            held.tokens.append(token)
            held.cells.append(cell)

    def cut(self, held: HeldCells, start: int) -> int:
        """Forget what a sequence holds from a position on, or all if it can't be cut. Returns the tokens left."""
        if not self._context.forget(held.sequence, start):
            self._context.forget(held.sequence)
            start = 0
        for cell in held.cells[start:]:
            self._holders[cell] -= 1
            if not self._holders[cell]:
                del self._holders[cell]
        del held.tokens[start:], held.cells[start:]
        return start

    def keep(self, held: HeldCells) -> None:
        """The answer is over. What it held stays until the next answer begins differently, or others need the room."""
        self._active.remove(held)
        if not held.tokens:
            self._close(held)
            return
        self._put_aside(*(kept for kept in self._kept if not self._spare or _begins(held.tokens, kept.tokens)))
        self._kept.append(held)
        while len(self._kept) > 1 and (len(self._kept) > 1 + self._spare or _cells(self._kept) > self._room):
            self._put_aside(self._kept[0])

    def drop(self, held: HeldCells) -> None:
        """Free everything that an active sequence holds."""
        self._active.remove(held)
        self._close(held)

    def make_room(self, cells: int, but: HeldCells | None = None) -> bool:
        """Put aside what is kept, the oldest first, until so many cells are free. Returns whether they are.

        Args:
            cells: number of cells.
            but: what is about to be shared, and stays.
        """
        for kept in [kept for kept in self._kept if kept is not but]:
            if self.free >= cells:
                break
            self._put_aside(kept)
        return self.free >= cells

    def save(self, held: HeldCells, end: int) -> Saved:
        """The memory of the first `end` tokens of a sequence."""
        self._context.share(held.sequence, self._scratch, end)
        data = self._context.save(self._scratch)
        self._context.forget(self._scratch)
        return Saved(tuple(held.tokens[:end]), data)

    def restore(self, held: HeldCells, saved: Saved) -> None:
        """Let an active sequence hold exactly what was saved, or nothing if that is impossible."""
        self.cut(held, 0)
        if self.free >= len(saved.tokens) and self._context.restore(held.sequence, saved.data):
            self.extend(held, saved.tokens)
        else:
            self._context.forget(held.sequence)

    def _longest(self, tokens: Sequence[int]) -> tuple[HeldCells | None, int]:
        """The sequence that begins most like `tokens`, and how far. Among equals, one that can be taken over."""
        # A recurrent state can't be rewound to an earlier token, and an active sequence goes on.
        known = [*reversed(self._kept), *(self._active if self.cuttable else [])]
        best = max(known, key=lambda held: self.usable(held.tokens, tokens), default=None)
        length = 0 if best is None else self.usable(best.tokens, tokens)
        return (best, length) if length else (None, 0)

    def _longest_aside(self, tokens: Sequence[int]) -> tuple[Saved | None, int]:
        wanted = tuple(tokens)
        best = max(self._aside, key=lambda saved: self.usable(saved.tokens, wanted), default=None)
        return best, 0 if best is None else self.usable(best.tokens, wanted)

    def usable(self, known: Sequence[int], tokens: Sequence[int]) -> int:
        """How many of `tokens` need not be evaluated if the memory of `known` is there.

        Args:
            known: tokens from position 0 on.
            tokens: tokens that will be evaluated.
        """
        common = min(common_prefix(known, tokens), len(tokens) - 1)
        if self.cuttable:
            tail = _TILE if len(tokens) >= _LONG and not self._active else _TAIL
            return max(0, min(common, len(tokens) - tail) // _ALIGNED * _ALIGNED)
        return common if common == len(known) else 0

    @property
    def _room(self) -> int:
        """Most tokens of earlier answers that are kept, a shared beginning counted once where they stay in cells."""
        return min(ASIDE, self._cells // 2)

    def _put_aside(self, *kept: HeldCells) -> None:
        """Copy what is kept, unless there are spare sequences for it, and free its cells."""
        for held in kept:
            self._kept.remove(held)
            if not self._spare:
                self._copy_aside(held)
            self._close(held)

    def _copy_aside(self, held: HeldCells) -> None:
        """Copy what a sequence holds, and forget the oldest copies if there is no room for them."""
        tokens = tuple(held.tokens)
        room = self._room - len(tokens)
        if room < 0:
            return
        # An older copy that is a part of the new one is not needed.
        others = [saved for saved in self._aside if not _begins(tokens, saved.tokens)]
        while sum(len(saved.tokens) for saved in others) > room:
            del others[0]
        self._aside = [*others, Saved(tokens, self._context.save(held.sequence))]

    def _close(self, held: HeldCells) -> None:
        self.cut(held, 0)
        self._free.append(held.sequence)


def _cells(kept: Iterable[HeldCells]) -> int:
    return len({cell for held in kept for cell in held.cells})


def _begins(tokens: Sequence[int], earlier: Sequence[int]) -> bool:
    """Whether earlier tokens are the beginning of these; both are lists, or both tuples."""
    return tokens[: len(earlier)] == earlier


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common beginning.

    Args:
        a: a list, or a tuple.
        b: of the same type.
    """
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        # Comparing slices runs in C. What is known to be equal is not compared again.
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
