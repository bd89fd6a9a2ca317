"""The decode loop: every step packs prefill chunks, one token of each active answer, and drafted tokens behind it, into
one `llama_decode`. If smaller steps are faster, the answers take turns, with at least half of them in each step.

All answers share the cells of one context. When they outgrow it, what is kept of earlier answers is evicted first. Then
the youngest answer gives up its cells, and starts over from its tokens once there is room. The oldest always goes on,
so every answer ends.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import NoReturn

from rung.tiers.llama.fit import DRAFTED
from rung.tiers.llama.worker.answer import Answer, joined
from rung.tiers.llama.worker.calls import Calls
from rung.tiers.llama.worker.crew import Crew
from rung.tiers.llama.worker.draft import DraftPrice
from rung.tiers.llama.worker.memory import ContextMemory, HeldCells, Saved, common_prefix
from rung.tiers.llama.worker.native import Context, DecodeError, Run
from rung.tiers.llama.worker.pace import Pace
from rung.tiers.llama.worker.sampling import LogitsRow
from rung.tiers.llama.worker.turn import AnswerTurn
from rung.types import Delta

_STALL = 0.1
"""Most seconds per step by which a prefill may delay the tokens of other answers."""

_LEAST_TOKEN_SECONDS = 0.0001
"""A measurement by which a token of a prefill takes less than this is noise."""

_LEAST_CHUNK = 8
_HEADROOM = 32
_WORTH_A_WAIT = 8
"""An answer waits for a shared beginning if another is just evaluating at least this many tokens of it."""

_TOGETHER = 0.05
"""Seconds between two pieces of an answer. Nobody reads faster, and each piece wakes the host on a core that
computes."""


@dataclass(frozen=True, slots=True)
class _Share:
    """One answer's part of a step.

    Args:
        answer: the answer whose tokens these are.
        run: its tokens, with drafted ones behind them.
        drafted: how many tokens of the run are only proposed.
    """

    answer: Answer
    run: Run
    drafted: int = 0


class Loop:
    """Decodes answers until the process ends.

    Args:
        context: the context to decode with.
        calls: which requests are alive.
        send: hands a piece of an answer on.
        save: gets the memory of a prompt's beginning that may be kept on disk, once it is evaluated.
        fail: is told what went wrong with one answer, while the others go on. Without it, the error is raised.
        crew: chooses the tokens of several answers at once. Without it, that is done one after the other.
        cells: initial room of the context, in tokens.
        slots: most answers at once.
        batch: most tokens in one step.
    """

    def __init__(
        self,
        context: Context,
        calls: Calls,
        send: Callable[[int, Delta], None],
        save: Callable[[Saved], None] | None = None,
        fail: Callable[[int, BaseException], None] | None = None,
        crew: Crew | None = None,
        *,
        cells: int,
        slots: int,
        batch: int,
    ) -> None:
        self._context = context
        self._calls = calls
        self._send = send
        self._save = save or (lambda saved: None)
        self._fail = fail
        self._crew = crew
        self._cells = cells
        self._slots = slots
        self._batch = batch
        self._memory = ContextMemory(context, cells=cells, slots=slots)
        self._incoming: SimpleQueue[Answer] = SimpleQueue()
        self._waiting: deque[Answer] = deque()
        self._active: list[Answer] = []
        self._token_seconds = _STALL / _LEAST_CHUNK
        self._pace = Pace()
        self._turns = itertools.count(1)

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
                # The answers that are being decoded would have to start over.
                if self._active:
                    return
                self._resize(answer.cells)
            if self._gains_by_waiting(answer):
                continue
            first = not self._active
            held = self._memory.begin(answer.tokens, _HEADROOM, must=first, alone=first and answer.alone)
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

    def _resize(self, cells: int) -> None:
        """Make the context larger. What was kept of earlier answers is gone."""
        self._context.resize(cells)
        self._cells = cells
        self._memory = ContextMemory(self._context, cells=cells, slots=self._slots)

    def _gains_by_waiting(self, answer: Answer) -> bool:
        """Whether another answer is evaluating a beginning that this one could share."""
        if not self._memory.cuttable:
            return False
        coming = [common_prefix(a.tokens, answer.tokens) for a in self._active if a.pending > 1]
        return bool(coming) and max(coming) - self._memory.shared(answer.tokens) >= _WORTH_A_WAIT

    def _restore(self, answer: Answer, held: HeldCells) -> None:
        """Take from disk what isn't in memory."""
        saved, answer.saved = answer.saved, None
        if saved is not None and answer.evaluated < len(saved.tokens):
            self._memory.restore(held, saved)

    def _save_reusable(self, answer: Answer, held: HeldCells) -> None:
        if 0 < answer.unsaved <= answer.evaluated:
            self._save(self._memory.save(held, answer.unsaved))
            answer.unsaved = 0

    def _plan(self) -> list[_Share]:
        while True:
            plan = self._share()
            if self._memory.make_room(sum(len(share.run.tokens) for share in plan)):
                return plan
            youngest = self._active[-1]
            self._hand_on(youngest)
            self._memory.drop(_held(youngest))
            youngest.held = None
            self._active.remove(youngest)
            self._waiting.appendleft(youngest)

    def _share(self) -> list[_Share]:
        """Who gets how much of the next step: decoding answers get one token each, the oldest prefill gets the rest."""
        decoding = sorted((a for a in self._active if a.pending == 1), key=lambda a: a.turn)
        decoding = decoding[: self._pace.most(len(decoding))]
        for answer in decoding:
            answer.turn = next(self._turns)
        left = self._batch - len(decoding)
        if decoding:
            left = min(left, max(_LEAST_CHUNK, int(_STALL / self._token_seconds)))
        plan = []
        for answer in self._active:
            count = answer.pending
            if count > 1:
                count = min(count, left)
                left -= count
            elif answer not in decoding:
                continue
            if count:
                plan.append(self._certain(answer, count))
        return self._with_drafts(plan, left)

    def _certain(self, answer: Answer, count: int) -> _Share:
        end = answer.evaluated + count
        # the logits of the last pending token choose the next one
        ready = int(end == len(answer.tokens))
        run = Run(_held(answer).sequence, answer.evaluated, answer.tokens[answer.evaluated : end], ready)
        return _Share(answer, run)

    def _with_drafts(self, plan: list[_Share], left: int) -> list[_Share]:
        """The plan, with drafted tokens added behind those of answers that have drafts.

        Args:
            plan: who gets how much.
            left: how many more tokens the step has room for.
        """
        drafting = sum(share.run.outputs and share.answer.drafts for share in plan) if self._memory.cuttable else 0
        answers = sum(share.run.outputs for share in plan)
        if not drafting or not self._pace.known(answers):
            return plan  # nobody can say what more tokens cost before a step without them was taken
        spare = max(0, min(DRAFTED, left)) // answers
        before = sum(len(share.run.tokens) for share in plan)
        token = self._pace.seconds(answers) / answers

        def price(count: int) -> DraftPrice:
            # as if all proposed as many: the kernels of a larger step may be others
            after = before + drafting * count
            likely = self._pace.seconds(after, each=self._token_seconds) - self._pace.seconds(before)
            most = self._pace.bound(after) - self._pace.least(before)
            if before > answers + _LEAST_CHUNK:
                # beside a prefill, whose tokens are measured by themselves
                likely = count * drafting * self._token_seconds
                most = min(most, 2 * likely)
            return DraftPrice(likely / drafting / token, most / drafting / token)

        return [self._with_draft(share, spare, price) for share in plan]

    def _with_draft(self, share: _Share, spare: int, price: Callable[[int], DraftPrice]) -> _Share:
        answer, run = share.answer, share.run
        if not run.outputs:
            return share
        drafted = answer.propose(max(0, min(spare, self._cells - len(answer.tokens) - 1)), price)
        if not drafted:
            return share
        longer = replace(run, tokens=[*run.tokens, *drafted], outputs=1 + len(drafted))
        return replace(share, run=longer, drafted=len(drafted))

    def _decode(self, plan: Sequence[_Share]) -> bool:
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
                self._memory.cut(_held(share.answer), share.answer.evaluated)
            return False
        seconds = time.perf_counter() - started
        wanted = sum(share.run.outputs for share in plan)
        beside = sum(len(share.run.tokens) for share in plan) - wanted
        if not beside:
            self._pace.record(wanted, seconds)
            self._bill(plan, wanted)
        elif beside >= _LEAST_CHUNK:
            # A step reads all the weights whatever it contains, and the others have to bear that anyway.
            self._token_seconds = max(_LEAST_TOKEN_SECONDS, (seconds - self._pace.seconds(wanted)) / beside)
        return True

    def _bill(self, plan: Sequence[_Share], count: int) -> None:
        """Tell answers what their proposals cost in a step of so many tokens."""
        answers, drafted = len(plan), count - len(plan)
        token = self._pace.seconds(answers) / answers
        for share in plan:
            if share.drafted:
                more = self._pace.seconds(count) - self._pace.seconds(answers)
                share.answer.bill(more * share.drafted / drafted / token)

    def _turns_of(self, plan: Sequence[_Share]) -> dict[int, AnswerTurn]:
        """The next token of each answer, by index in the step. Those behind drafted tokens come when these are right.

        With a crew, they are chosen all at once: numpy, llama.cpp and llguidance let go of the interpreter meanwhile.
        """
        at, turns = 0, {}
        for share in plan:
            if share.run.outputs:
                last = at + len(share.run.tokens) - share.drafted - 1
                turns[last] = AnswerTurn(share.answer, LogitsRow(self._context.logits(last)))
            at += len(share.run.tokens)
        if self._crew is not None:
            self._crew.each(AnswerTurn.take, [turn for turn in turns.values() if not turn.answer.drafts])
        return turns

    def _collect(self, plan: Sequence[_Share]) -> None:
        turns = self._turns_of(plan)
        at = 0
        for share in plan:
            certain = len(share.run.tokens) - share.drafted
            held = _held(share.answer)
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

    def _advance(self, share: _Share, turns: dict[int, AnswerTurn], at: int) -> None:
        """The tokens that follow from a step: one, and one more for each drafted token that the model confirms.

        Args:
            share: the answer's part of the step.
            turns: what was begun already.
            at: index in the step of its last token that wasn't drafted.
        """
        answer, held = share.answer, _held(share.answer)
        drafted = share.run.tokens[len(share.run.tokens) - share.drafted :]
        confirmed, diverged, finished = 0, False, False
        while not diverged and not finished:
            turn = turns.get(at + confirmed) or AnswerTurn(answer, LogitsRow(self._context.logits(at + confirmed)))
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
        self._memory.keep(_held(answer))
        self._active.remove(answer)
        answer.held = None


def _held(answer: Answer) -> HeldCells:
    if answer.held is None:
        raise AssertionError("an active answer holds memory")
    return answer.held
