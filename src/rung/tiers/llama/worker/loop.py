"""The decode loop: every step packs what is planned for it into one `llama_decode`, and hands on what comes of it.

All answers share the cells of one context. When they outgrow it, what is kept of earlier answers is evicted first. Then
the context grows, if memory allows it. Else the youngest answer gives up its cells, and starts over from its tokens
once there is room. The oldest always goes on, so every answer ends.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import NoReturn

from rung.tiers.llama.worker.answer import Answer, joined
from rung.tiers.llama.worker.calls import Calls
from rung.tiers.llama.worker.crew import Crew
from rung.tiers.llama.worker.faults import DecodeError, LoadError
from rung.tiers.llama.worker.memory import ContextMemory, HeldCells, Saved, common_prefix
from rung.tiers.llama.worker.native import Context
from rung.tiers.llama.worker.planning import StepPlanner, StepShare
from rung.tiers.llama.worker.turn import AnswerTurn
from rung.types import Delta

_HEADROOM = 32
_TOGETHER = 0.05
"""Seconds between two pieces of an answer. Nobody reads faster, and each piece wakes the host on a core that
computes."""


class Loop:
    """Decodes answers until the process ends.

    Args:
        context: the context to decode with.
        calls: which requests are alive.
        send: hands a piece of an answer on.
        save: gets the memory of a prompt's beginning that may be kept on disk, once it is evaluated.
        fail: is told what went wrong with one answer, while the others go on. Without it, the error is raised.
        crew: chooses the tokens of several answers at once. Without it, that is done one after the other.
        larger: tells how large the context may become if it shall have room for at least so many tokens, as far as
            memory allows it now. Without it, it grows only for an answer that needs the room for itself.
        cells: initial room of the context, in tokens.
        slots: most answers at once.
    """

    def __init__(
        self,
        context: Context,
        calls: Calls,
        send: Callable[[int, Delta], None],
        save: Callable[[Saved], None] | None = None,
        fail: Callable[[int, BaseException], None] | None = None,
        crew: Crew | None = None,
        larger: Callable[[int], int] | None = None,
        *,
        cells: int,
        slots: int,
    ) -> None:
        self._context = context
        self._calls = calls
        self._send = send
        self._save = save or (lambda saved: None)
        self._fail = fail
        self._crew = crew
        self._larger = larger or (lambda cells: 0)
        self._may_grow = True
        self._cells = cells
        self._slots = slots
        self._memory = ContextMemory(context, cells=cells, slots=slots, spare=context.profile.spare)
        self._incoming: SimpleQueue[Answer] = SimpleQueue()
        self._waiting: deque[Answer] = deque()
        self._active: list[Answer] = []
        self._planner = StepPlanner(context.batch, context.profile, drafts=context.cuttable)

    def submit(self, answer: Answer) -> None:
        """Decode this answer too. Callable from any thread."""
        self._incoming.put(answer)

    @property
    def quiet(self) -> bool:
        """Whether it has no answer. Callable from any thread."""
        return not (self._active or self._waiting) and self._incoming.empty()

    def run(self) -> NoReturn:
        """Go on for ever.

        Raises:
            DecodeError: the context is in an unknown state. The process should end.
        """
        while True:
            self.step()

    def step(self) -> None:
        """Admit waiting answers, decode once, and hand on the results. Blocks while there is nothing to do."""
        self._receive()
        for answer in [a for a in self._active if a.id not in self._calls]:
            self._end(answer)
        self._admit()
        plan = self._plan()
        if plan and self._decode(plan):
            self._collect(plan)

    def _receive(self) -> None:
        block = not self._active and not self._waiting
        while True:
            try:
                self._waiting.append(self._incoming.get(block))
            except Empty:
                return
            block = False

    def _admit(self) -> None:
        for answer in list(self._waiting):
            if answer.id not in self._calls:
                self._waiting.remove(answer)
                continue
            if len(self._active) == self._slots:
                return
            if answer.cells > self._cells:
                lost = not self._resize(answer.cells)
                if answer.cells > self._cells:
                    self._refuse(answer)
                if lost or answer.cells > self._cells:
                    return
            if self._gains_by_waiting(answer):
                continue
            held = self._begin(answer)
            while held is None and self._grow():
                held = self._begin(answer)
            if held is None:
                return
            answer.held = held
            self._waiting.remove(answer)
            self._active.append(answer)
            try:
                self._restore(answer, held)
                # a later start of the same answer takes up what it has evaluated itself
                answer.cached = answer.evaluated if answer.cached is None else answer.cached
                self._save_reusable(answer, held)
            except BaseException as error:  # noqa: BLE001  as in `_collect`
                self._break(answer, error)

    def _begin(self, answer: Answer) -> HeldCells | None:
        first = not self._active
        return self._memory.begin(answer.tokens, _HEADROOM, must=first, alone=first and answer.alone)

    def _refuse(self, answer: Answer) -> None:
        """There is no memory for what a waiting answer needs."""
        error = LoadError(f"no memory for a context of {answer.cells:,} tokens")
        if self._fail is None:
            raise error
        self._waiting.remove(answer)
        self._fail(answer.id, error)

    def _grow(self) -> bool:
        """Make the context larger, if memory allows it. Returns whether there is more room and nothing was lost.

        After a refusal nobody is asked again until an answer has ended: looking at the machine's memory takes longer
        than many a step.
        """
        cells = self._larger(self._cells + 1) if self._may_grow else 0
        if cells <= self._cells:
            self._may_grow = False
            return False
        before = self._cells
        kept = self._resize(cells)
        self._may_grow = self._cells > before
        return kept and self._may_grow

    def _resize(self, cells: int) -> bool:
        """Make the context larger. Returns whether nothing was lost; otherwise every answer starts over."""
        kept = self._context.resize(cells)
        self._cells = self._context.cells
        self._memory.resized(self._cells, kept=kept)
        if not kept:
            for answer in reversed(self._active):
                self._hand_on(answer)
                answer.held = None
            self._waiting.extendleft(reversed(self._active))
            self._active.clear()
        return kept

    def _gains_by_waiting(self, answer: Answer) -> bool:
        """Whether another answer is evaluating a beginning that this one could share."""
        if not self._memory.cuttable:
            return False
        # Once it is evaluated it is shared already, whatever else of the other answer is pending, as forced tokens are.
        coming = max((self._memory.usable(a.tokens, answer.tokens) for a in self._active), default=0)
        return coming > self._memory.shared(answer.tokens)

    def _restore(self, answer: Answer, held: HeldCells) -> None:
        """Take from disk what isn't in memory."""
        saved, answer.saved = answer.saved, None
        if saved is not None and answer.evaluated < len(saved.tokens):
            self._memory.restore(held, saved)

    def _save_reusable(self, answer: Answer, held: HeldCells) -> None:
        if 0 < answer.unsaved <= answer.evaluated:
            self._save(self._memory.save(held, answer.unsaved))
            answer.unsaved = 0

    def _plan(self) -> list[StepShare]:
        while True:
            plan = self._planner.plan(self._active, self._cells)
            if self._memory.make_room(sum(len(share.run.tokens) for share in plan)):
                return plan
            if self._grow():
                continue
            if not self._active:
                return []
            youngest = self._active[-1]
            self._hand_on(youngest)
            self._memory.drop(youngest.holding)
            youngest.held = None
            self._active.remove(youngest)
            self._waiting.appendleft(youngest)

    def _decode(self, plan: Sequence[StepShare]) -> bool:
        try:
            if not self._calls.start([share.answer.id for share in plan], self._context.resume):
                return False
            started = time.perf_counter()
            done = self._context.decode([share.run for share in plan])
        finally:
            self._calls.stop()
        if not done:
            for share in plan:
                # Any part of the step may have been done.
                self._memory.cut(share.answer.holding, share.answer.evaluated)
            return False
        self._planner.took(plan, time.perf_counter() - started)
        return True

    def _turns_of(self, plan: Sequence[StepShare]) -> dict[int, AnswerTurn]:
        """The next token of each answer, by index in the step. Those behind drafted tokens come when these are right.

        With a crew, they are chosen all at once: numpy, llama.cpp and llguidance let go of the interpreter meanwhile.
        """
        at, turns = 0, {}
        for share in plan:
            if share.run.outputs:
                last = at + len(share.run.tokens) - share.drafted - 1
                turns[last] = AnswerTurn(share.answer, self._context.row(last))
            at += len(share.run.tokens)
        if self._crew is not None:
            self._crew.each(AnswerTurn.take, [turn for turn in turns.values() if not turn.answer.drafts])
        return turns

    def _collect(self, plan: Sequence[StepShare]) -> None:
        turns = self._turns_of(plan)
        at = 0
        for share in plan:
            certain = len(share.run.tokens) - share.drafted
            held = share.answer.holding
            self._memory.extend(held, share.run.tokens[:certain])
            try:
                self._save_reusable(share.answer, held)
                if share.run.outputs:
                    self._advance(share, turns, at + certain - 1)
                else:
                    # there is nothing to report yet, except that the prefill makes progress
                    answer = share.answer
                    self._send(answer.id, Delta(progress=answer.evaluated / len(answer.tokens)))
            except BaseException as error:  # noqa: BLE001  a panic of the grammar's library is not even an Exception
                self._break(share.answer, error)
            at += len(share.run.tokens)

    def _advance(self, share: StepShare, turns: dict[int, AnswerTurn], at: int) -> None:
        """The tokens that follow from a step: one, and one more for each drafted token that the model confirms.

        Args:
            share: the answer's part of the step.
            turns: what was begun already.
            at: index in the step of its last token that wasn't drafted.
        """
        answer, held = share.answer, share.answer.holding
        drafted = share.run.tokens[len(share.run.tokens) - share.drafted :]
        confirmed, diverged, finished = 0, False, False
        while not diverged and not finished:
            turn = turns.get(at + confirmed) or AnswerTurn(answer, self._context.row(at + confirmed))
            delta = turn.result()
            answer.unsent.append(delta)
            finished = delta.finish is not None
            new = answer.tokens[len(held.tokens) :]
            right = common_prefix(drafted[confirmed:], new)
            self._memory.extend(held, new[:right])
            confirmed += right
            diverged = right < len(new)
        if share.drafted > confirmed:
            self._memory.cut(held, len(held.tokens))
        if finished:
            self._hand_on(answer)
            self._calls.done(answer.id)
            self._end(answer)
        elif time.perf_counter() - answer.sent_at >= _TOGETHER:
            self._hand_on(answer)

    def _hand_on(self, answer: Answer) -> None:
        """Send what nobody was told yet of an answer."""
        if not answer.unsent:
            return
        delta = joined(answer.unsent)
        answer.unsent.clear()
        self._send(answer.id, delta)
        if delta.tokens or delta.reasoning:
            answer.sent_at = time.perf_counter()

    def _break(self, answer: Answer, error: BaseException) -> None:
        """Something went wrong with one answer alone. It ends, and the others go on."""
        if self._fail is None or isinstance(error, DecodeError) or answer.held is None:
            raise error
        self._fail(answer.id, error)
        self._memory.drop(answer.held)
        self._active.remove(answer)
        answer.held = None

    def _end(self, answer: Answer) -> None:
        self._may_grow = True
        self._memory.keep(answer.holding)
        self._active.remove(answer)
        answer.held = None
