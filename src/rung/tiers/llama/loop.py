"""The decode loop: every step packs prefill chunks and one token of each active answer into one `llama_decode`.

All answers share the cells of one context. When they outgrow it, the youngest gives its cells back and starts over
from its tokens once there is room; the oldest always goes on, so every answer ends.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import NoReturn

from rung.tiers.llama.answer import Answer
from rung.tiers.llama.calls import Calls
from rung.tiers.llama.native import Context, Run
from rung.types import Delta

_STALL = 0.1
"""Longest that a prefill may hold up the tokens of other answers, in seconds a step."""

_LEAST_CHUNK = 8
_HEADROOM = 32


class Loop:
    """Decodes answers until the process ends.

    Args:
        context: what to decode with.
        calls: which requests are alive.
        send: hands a piece of an answer on.
        cells: room of the context, in tokens.
        slots: most answers at once.
        batch: most tokens in one step.
    """

    def __init__(
        self,
        context: Context,
        calls: Calls,
        send: Callable[[int, Delta], None],
        *,
        cells: int,
        slots: int,
        batch: int,
    ) -> None:
        self._context = context
        self._calls = calls
        self._send = send
        self._cells = cells
        self._batch = batch
        self._incoming: SimpleQueue[Answer] = SimpleQueue()
        self._waiting: deque[Answer] = deque()
        self._active: list[Answer] = []
        self._free = list(range(slots))
        self._token_seconds = _STALL / _LEAST_CHUNK

    def submit(self, answer: Answer) -> None:
        """Decode this one too; from any thread."""
        self._incoming.put(answer)

    def run(self) -> NoReturn:
        """Go on for ever.

        Raises:
            DecodeError: the context is in an unknown state; the process had better end.
        """
        while True:
            self.step()

    def step(self) -> None:
        """Admit who waits, decode once, hand on what came of it. Blocks while there is nothing to do."""
        self._receive()
        self._release([a for a in self._active if a.id not in self._calls])
        self._admit()
        runs = self._plan()
        if runs and self._decode(runs):
            self._collect(runs)

    def _receive(self) -> None:
        block = not self._active and not self._waiting
        while True:
            try:
                self._waiting.append(self._incoming.get(block))
            except Empty:
                return
            block = False

    def _admit(self) -> None:
        while self._waiting and self._free:
            answer = self._waiting[0]
            if answer.id not in self._calls:
                self._waiting.popleft()
                continue
            taken = sum(len(a.tokens) for a in self._active)
            if self._active and taken + len(answer.tokens) + _HEADROOM > self._cells:
                return
            answer.sequence = self._free.pop()
            self._active.append(self._waiting.popleft())

    def _plan(self) -> list[tuple[Answer, Run]]:
        while True:
            plan = self._share()
            taken = sum(a.evaluated for a in self._active) + sum(len(run.tokens) for _, run in plan)
            if taken <= self._cells:
                return plan
            youngest = self._active[-1]
            self._release([youngest])
            self._waiting.appendleft(youngest)

    def _share(self) -> list[tuple[Answer, Run]]:
        """Who gets how much of the next step: decoding answers their one token, the oldest prefill what is left."""
        decoding = sum(a.pending == 1 for a in self._active)
        left = self._batch - decoding
        if decoding:
            left = min(left, max(_LEAST_CHUNK, int(_STALL / self._token_seconds)))
        plan = []
        for answer in self._active:
            count = answer.pending
            if count > 1:
                count = min(count, left)
                left -= count
            if count:
                end = answer.evaluated + count
                tokens = answer.tokens[answer.evaluated : end]
                plan.append((answer, _run(answer, tokens, output=end == len(answer.tokens))))
        return plan

    def _decode(self, plan: Sequence[tuple[Answer, Run]]) -> bool:
        try:
            if not self._calls.start([answer.id for answer, _ in plan], self._context.resume):
                return False
            started = time.perf_counter()
            done = self._context.decode([run for _, run in plan])
        finally:
            self._calls.stop()
        if not done:
            for answer, _ in plan:
                self._rewind(answer)
            return False
        count = sum(len(run.tokens) for _, run in plan)
        if count >= _LEAST_CHUNK:
            self._token_seconds = (time.perf_counter() - started) / count
        return True

    def _collect(self, plan: Sequence[tuple[Answer, Run]]) -> None:
        at = -1
        over = []
        for answer, run in plan:
            at += len(run.tokens)
            answer.evaluated += len(run.tokens)
            if run.output:
                delta = answer.advance(self._context.logits(at))
                self._send(answer.id, delta)
                if delta.finish is not None:
                    self._calls.drop(answer.id)
                    over.append(answer)
        self._release(over)

    def _rewind(self, answer: Answer) -> None:
        """Back to what was evaluated before an aborted step, or to nothing where memory can't be cut (recurrent)."""
        sequence = _sequence(answer)
        if not self._context.forget(sequence, answer.evaluated):
            self._context.forget(sequence)
            answer.evaluated = 0

    def _release(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            sequence = _sequence(answer)
            self._context.forget(sequence)
            self._free.append(sequence)
            self._active.remove(answer)
            answer.sequence = None
            answer.evaluated = 0


def _sequence(answer: Answer) -> int:
    if answer.sequence is None:
        raise AssertionError("an active answer has a sequence")
    return answer.sequence


def _run(answer: Answer, tokens: Sequence[int], *, output: bool) -> Run:
    return Run(_sequence(answer), answer.evaluated, tokens, output)
