"""Who gets how much of a step: prefill chunks, one token of each active answer, and drafted tokens behind it.

If smaller steps are faster, the answers take turns, with at least half of them in each step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rung.tiers.llama.fit import DRAFTED
from rung.tiers.llama.worker.answer import Answer
from rung.tiers.llama.worker.batch import Run
from rung.tiers.llama.worker.draft import DraftPrice
from rung.tiers.llama.worker.pace import Pace
from rung.tiers.llama.worker.profile import ComputeProfile

_STALL = 0.1
"""Most seconds per step by which a prefill may delay the tokens of other answers."""

_UNSTOPPABLE = 1.0
"""Seconds from which on a step is too long if it can't be stopped. The next call waits for its end, even if nobody
wants it any more."""

_LEAST_PIECE = 64
"""Fewest tokens to which such steps are shortened. Each step reads all the weights, so on a slow device a prefill in
smaller pieces would take several times as long."""

_LEAST_TOKEN_SECONDS = 0.0001
"""A measurement by which a token of a prefill takes less than this is noise."""

_LEAST_CHUNK = 8


@dataclass(frozen=True, slots=True)
class StepShare:
    """One answer's part of a step.

    Args:
        answer: the answer whose tokens these are.
        run: its tokens, with drafted ones behind them.
        drafted: how many tokens of the run are only proposed.
    """

    answer: Answer
    run: Run
    drafted: int = 0


class StepPlanner:
    """Plans steps, and learns from each what the next ones will take.

    Args:
        batch: most tokens in one step.
        profile: how what computes the steps is best used.
        drafts: whether tokens may be drafted. Wrong ones have to be cut from memory.
    """

    def __init__(self, batch: int, profile: ComputeProfile, *, drafts: bool) -> None:
        self._batch = batch
        self._profile = profile
        self._drafts = drafts
        self._token_seconds = _STALL / _LEAST_CHUNK
        self._piece = batch
        self._pace = Pace()
        self._turns = itertools.count(1)

    def plan(self, active: Sequence[Answer], cells: int) -> list[StepShare]:
        """The next step: decoding answers get one token each, the oldest prefill gets the rest.

        Args:
            active: the answers, the oldest first.
            cells: tokens that the context has room for.
        """
        decoding = sorted((a for a in active if a.pending == 1), key=lambda a: a.turn)
        if self._profile.turns:
            decoding = decoding[: self._pace.most(len(decoding))]
        for answer in decoding:
            answer.turn = next(self._turns)
        left = min(self._piece, self._batch - len(decoding))
        if decoding:
            left = min(left, max(_LEAST_CHUNK, int(_STALL / self._token_seconds)))
        plan = []
        for answer in active:
            count = answer.pending
            if count > 1:
                count = min(count, left)
                left -= count
            elif answer not in decoding:
                continue
            if count:
                plan.append(self._certain(answer, count))
        return self._with_drafts(plan, left, cells)

    def took(self, plan: Sequence[StepShare], seconds: float) -> None:
        """Learn from a step, and tell answers what their proposals cost.

        Args:
            plan: the step.
            seconds: that `llama_decode` took.
        """
        wanted = sum(share.run.outputs for share in plan)
        beside = sum(len(share.run.tokens) for share in plan) - wanted
        if not beside:
            self._pace.record(wanted, seconds)
            self._bill(plan, wanted)
        elif beside >= _LEAST_CHUNK:
            # A step reads all the weights whatever it contains, and the others have to bear that anyway.
            self._token_seconds = max(_LEAST_TOKEN_SECONDS, (seconds - self._pace.seconds(wanted)) / beside)
        if not self._profile.stoppable and all(len(share.run.tokens) > 1 + share.drafted for share in plan):
            self._fit_piece(beside + wanted, seconds)

    def _fit_piece(self, count: int, seconds: float) -> None:
        """Halve what prefills get of a step if one of theirs alone took too long, and double it after a short one.

        It begins with the whole batch, because where a prompt is cut may decide between two tokens that are nearly as
        likely. A step of few tokens that took long says nothing: a driver may have compiled something for it.

        Args:
            count: tokens of such a step.
            seconds: that it took.
        """
        if seconds > _UNSTOPPABLE and count > self._piece // 2:
            self._piece = min(self._batch, max(_LEAST_PIECE, self._piece // 2))
        elif count >= self._piece and seconds < _UNSTOPPABLE / 2:
            self._piece = min(self._batch, 2 * self._piece)

    def _certain(self, answer: Answer, count: int) -> StepShare:
        end = answer.evaluated + count
        # the logits of the last pending token choose the next one
        ready = int(end == len(answer.tokens))
        run = Run(answer.holding.sequence, answer.evaluated, answer.tokens[answer.evaluated : end], ready)
        return StepShare(answer, run)

    def _with_drafts(self, plan: list[StepShare], left: int, cells: int) -> list[StepShare]:
        """The plan, with drafted tokens added behind those of answers that have drafts.

        Args:
            plan: who gets how much.
            left: how many more tokens the step has room for.
            cells: tokens that the context has room for.
        """
        drafting = sum(share.run.outputs and share.answer.drafts for share in plan) if self._drafts else 0
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

        return [_with_draft(share, min(spare, cells - len(share.answer.tokens) - 1), price) for share in plan]

    def _bill(self, plan: Sequence[StepShare], count: int) -> None:
        """Tell answers what their proposals cost in a step of so many tokens."""
        answers, drafted = len(plan), count - len(plan)
        token = self._pace.seconds(answers) / answers
        for share in plan:
            if share.drafted:
                more = self._pace.seconds(count) - self._pace.seconds(answers)
                share.answer.bill(more * share.drafted / drafted / token)


def _with_draft(share: StepShare, most: int, price: Callable[[int], DraftPrice]) -> StepShare:
    answer, run = share.answer, share.run
    if not run.outputs:
        return share
    drafted = answer.propose(max(0, most), price)
    if not drafted:
        return share
    longer = replace(run, tokens=[*run.tokens, *drafted], outputs=1 + len(drafted))
    return replace(share, run=longer, drafted=len(drafted))
