"""A context that keeps exact books, and the decode loop over it."""

from __future__ import annotations

import itertools
import zlib

import numpy as np

from rung.tiers.llama.devices import Offload
from rung.tiers.llama.worker.answer import Answer, DecodeOrder
from rung.tiers.llama.worker.calls import Calls
from rung.tiers.llama.worker.draft import Draft
from rung.tiers.llama.worker.loop import Loop
from rung.tiers.llama.worker.profile import profile_of
from rung.tiers.llama.worker.sampling import LogitsRow, Sampler
from rung.tiers.llama.worker.text import Assembler
from rung.types import Sampling

SIZE, END = 40, 0


class Alphabet:
    """A vocabulary of letters."""

    ends = frozenset({END})

    def piece(self, token: int, *, special: bool = False) -> bytes:
        return bytes([64 + token])


def think(history) -> np.ndarray:
    """Logits that hang on every token so far."""
    logits = np.random.default_rng(zlib.crc32(bytes(history))).random(SIZE).astype(np.float32)
    logits[END] = 0.9
    return logits


def alone(prompt, limit: int) -> list[int]:
    tokens = list(prompt)
    while len(tokens) - len(prompt) < limit and (token := int(think(tokens).argmax())) != END:
        tokens.append(token)
    return tokens[len(prompt) :]


class Books:
    """Stands for a context: what each sequence's memory holds, and every rule that llama.cpp would enforce.

    Args:
        cells: room of all sequences together.
        batch: most tokens in one step.
        cuttable: whether memory can be cut in the middle; a recurrent model's can't.
        aborts: decides whether the next step is aborted, half done.
        loses: decides whether a larger context is an empty one, because memory was short for a copy.
        room: most cells that there is memory for.
        on_gpu: whether a GPU holds the cells.
    """

    def __init__(
        self,
        cells: int,
        batch: int,
        *,
        cuttable: bool = True,
        aborts=lambda: False,
        loses=lambda: False,
        room=10**9,
        on_gpu: bool = False,
    ) -> None:
        self.loses, self.room = loses, room
        self.profile = profile_of(Offload(whole=on_gpu), cuttable=cuttable)
        self.cells, self.batch, self.cuttable, self.aborts = cells, batch, cuttable, aborts
        self.memory: dict[int, list[tuple[int, int]]] = {}
        self.cell = itertools.count()
        self.evaluated = self.saves = 0
        self.steps: list[list[tuple[int, int]]] = []

    def decode(self, runs) -> bool:
        assert 0 < sum(len(r.tokens) for r in runs) <= self.batch
        assert len({r.sequence for r in runs}) == len(runs)
        abort = self.aborts()
        self.outputs = {}
        at = -1
        for run in runs:
            memory = self.memory.setdefault(run.sequence, [])
            assert run.start == len(memory)
            memory.extend((token, next(self.cell)) for token in run.tokens)
            at += len(run.tokens)
            self.evaluated += len(run.tokens)
            for back in range(run.outputs):
                self.outputs[at - back] = think([token for token, _ in memory][: len(memory) - back])
            if abort:
                break
        assert len({cell for memory in self.memory.values() for _, cell in memory}) <= self.cells
        self.steps.append([(r.sequence, len(r.tokens)) for r in runs])
        return not abort

    def resize(self, cells: int) -> bool:
        assert cells > self.cells
        self.cells = max(self.cells, min(cells, self.room))
        if lost := self.loses():
            self.memory.clear()
        return not lost

    def row(self, index: int) -> LogitsRow:
        return LogitsRow(self.outputs[index])

    def forget(self, sequence: int, start: int = 0) -> bool:
        memory = self.memory.get(sequence, [])
        if start and start < len(memory) and not self.cuttable:
            return False
        del memory[start:]
        return True

    def share(self, source: int, target: int, end: int) -> None:
        assert self.cuttable, "a recurrent state can't be had as of an earlier token"
        assert not self.memory.get(target)
        assert end <= len(self.memory[source])
        self.memory[target] = self.memory[source][:end]

    def save(self, sequence: int) -> bytes:
        self.saves += 1
        return bytes(token for token, _ in self.memory[sequence])

    def restore(self, sequence: int, data: bytes) -> bool:
        assert not self.memory.get(sequence)
        self.memory[sequence] = [(token, next(self.cell)) for token in data]
        return True

    def resume(self) -> None: ...


class House:
    """A loop with its books, and what it sent."""

    def __init__(self, books: Books, slots: int, save=None, crew=None, larger=None, fail=None) -> None:
        self.books = books
        self.calls = Calls()
        self.sent: dict[int, list] = {}
        self.loop = Loop(
            books,
            self.calls,
            lambda request, delta: self.sent.setdefault(request, []).append(delta),
            save,
            fail,
            crew=crew,
            larger=larger,
            cells=books.cells,
            slots=slots,
        )

    def ask(self, request: int, prompt, limit: int, draft=None, credit=None, constraint=None, **more) -> None:
        self.calls.add(request)
        draft = Draft(draft, credit) if draft else None
        sampler = Sampler(Sampling())
        order = DecodeOrder(request, tuple(prompt), limit, sampler, constraint, Assembler(), draft=draft, **more)
        self.loop.submit(Answer(order, Alphabet(), "letters"))

    def over(self, request: int) -> bool:
        return bool(self.sent.get(request)) and self.sent[request][-1].finish is not None

    def tokens(self, request: int) -> list[int]:
        return [ord(c) - 64 for d in self.sent[request] for c in d.text]
