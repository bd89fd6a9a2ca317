"""One answer while it is being decoded: its tokens so far, and what each step adds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rung.tiers.llama.worker.constraint import Constraint, Unenforceable
from rung.tiers.llama.worker.draft import Draft, DraftPrice
from rung.tiers.llama.worker.memory import HeldCells, Saved
from rung.tiers.llama.worker.sampling import Confidence, LogitsRow, Sampler, confidence
from rung.tiers.llama.worker.text import Assembler, TextPiece
from rung.tiers.llama.worker.vocabulary import Vocabulary
from rung.types import Constraint as Enforcement
from rung.types import Delta, Finish, Token, Usage


@dataclass(frozen=True, slots=True)
class DecodeOrder:
    """What has to be decoded.

    Args:
        id: id of the request.
        prompt: the prompt's tokens, at least one.
        limit: most tokens of the answer, at least one. What is left of the context is taken into account.
        sampler: chooses among the model's tokens.
        constraint: holds the answer to its shape; `None` for an answer without one.
        assembler: makes text from tokens.
        index: which of the request's answers this is.
        shaped: whether the call asked for a shape.
        notes: why the shape isn't enforced, if it isn't, and what else a person should know.
        cells: tokens that the context must have room for before this begins.
        thinking: whether the model may open a thought with its first token, or the prompt has opened one. Thoughts
            aren't part of the answer, and its shape begins after them.
        draft: what the answer may turn out to be.
        alone: whether nothing that is kept of other answers may be in the context. The position of cells changes the
            last bits of the logits, and random numbers with a seed turn that into other words.
        saved: the beginning of the prompt, if it was found on disk.
        unsaved: how many tokens of the prompt may be kept on disk, and aren't yet.
    """

    id: int
    prompt: tuple[int, ...]
    limit: int
    sampler: Sampler
    constraint: Constraint | None
    assembler: Assembler
    index: int = 0
    shaped: bool = False
    notes: tuple[str, ...] = ()
    cells: int = 0
    thinking: Literal["no", "possible", "begun"] = "no"
    draft: Draft | None = None
    alone: bool = False
    saved: Saved | None = None
    unsaved: int = 0


THINK, THOUGHT = "<think>", "</think>"
"""Tags that open and close a thought."""

_NOTHING = TextPiece()


class Answer:
    """The state of one answer.

    `tokens` are prompt and answer together. The first `evaluated` of them are in the memory of `held`, and the others
    are pending. A scheduler needs to know nothing else: a prefill, a decode step, forced tokens and a new start after
    an abort differ only in the number of pending tokens. `cached` is how many tokens of the prompt were kept from
    before; `None` until that is known. Three fields are the scheduler's own: `unsent` is what nobody
    was told yet, `sent_at` the time when somebody last was (in seconds of `time.perf_counter`), and `turn` tells whose
    token is due first.

    Args:
        order: what is to be decoded.
        vocabulary: the model's vocabulary.
        model: the model's name in its file.
    """

    def __init__(self, order: DecodeOrder, vocabulary: Vocabulary, model: str) -> None:
        self.id = order.id
        self.cells = order.cells
        self.tokens = list(order.prompt)
        self.held: HeldCells | None = None
        self.saved = order.saved
        self.cached: int | None = None
        self.unsaved = order.unsaved
        self.alone = order.alone
        self.unsent: list[Delta] = []
        self.sent_at = float("-inf")
        self.turn = 0
        self._order = order
        self._constraint = order.constraint
        self._notes = order.notes
        self._vocabulary = vocabulary
        self._model = model
        self._early = _NOTHING
        self._undecided = order.thinking == "possible"
        self._thought = Assembler((THOUGHT,)) if order.thinking == "begun" else None
        self._thoughts = 0

    @property
    def holding(self) -> HeldCells:
        """What it holds while it is being decoded."""
        if self.held is None:
            raise AssertionError("an active answer holds memory")
        return self.held

    @property
    def evaluated(self) -> int:
        """How many of the tokens are in memory."""
        return 0 if self.held is None else len(self.held.tokens)

    @property
    def pending(self) -> int:
        """How many tokens have to be evaluated before the next one can be chosen."""
        return len(self.tokens) - self.evaluated

    @property
    def _room(self) -> int:
        return self._order.limit - (len(self.tokens) - len(self._order.prompt))

    def begin(self) -> Delta:
        """Take in the tokens that the shape forces before anything is chosen.

        Their text goes out with the first chosen token. Otherwise the time to the first token would measure no prefill.
        """
        if self._undecided or self._thought:
            return Delta(index=self._order.index)
        first = self._after(TextPiece())
        if first.finish is not None:
            return first
        self._early = TextPiece(first.text, first.tokens)
        return Delta(index=self._order.index)

    @property
    def drafts(self) -> bool:
        """Whether there is a draft to propose tokens from."""
        return self._order.draft is not None and not self._undecided and self._thought is None

    def propose(self, most: int, price: Callable[[int], DraftPrice]) -> Sequence[int]:
        """Tokens that may come next, and are worth checking together with the pending ones.

        Args:
            most: most tokens to propose.
            price: what so many more tokens in a step cost.
        """
        if self._order.draft is None or not self.drafts:
            return ()
        return self._order.draft.propose(min(most, self._room - 1), price)

    def bill(self, price: float) -> None:
        """The proposed tokens were checked.

        Args:
            price: what that cost, in tokens that could have been chosen in the same time.
        """
        if self._order.draft is not None:
            self._order.draft.bill(price)

    def advance(self, row: LogitsRow) -> Delta:
        """Choose the next token. If the delta has a finish reason, the answer is over.

        Several answers without drafts may be advanced at once, each on a thread of its own.

        Args:
            row: logits after the last of `tokens`.
        """
        if self._undecided:
            self._undecided = False
            token = self._order.sampler.choose(row)
            if self._vocabulary.piece(token, special=True).strip() == THINK.encode():
                self._thought = Assembler((THOUGHT,))
                return self._think(token)
            if (first := self.begin()).finish is not None or len(self.tokens) > len(self._order.prompt):
                return first
        if self._thought:
            return self._think(self._order.sampler.choose(row))
        token, facts = self._choose(row)
        early, self._early = self._early, _NOTHING
        if token in self._vocabulary.ends:
            # How sure the model was that the answer ends here. No text belongs to it.
            return self._finish(early + self._order.assembler.push(b"", facts), "stop")
        if self._order.draft is not None:
            self._order.draft.chosen(token)
        taken = self._take(token, facts)
        return self._after(early + taken if early.tokens else taken)

    def _think(self, token: int) -> Delta:
        """One more token of a thought, or the one that closes it."""
        if token in self._vocabulary.ends:
            return self._finish(TextPiece(), "stop")
        self.tokens.append(token)
        self._thoughts += 1
        if not self._thought:
            raise AssertionError("a thought has begun")
        said = self._thought.push(self._vocabulary.piece(token, special=True), Token("")).text
        if self._thought.stopped:
            self._thought = None
            return replace(self.begin(), reasoning=said)
        delta = Delta(index=self._order.index, reasoning=said)
        return delta if self._room else replace(self._finish(TextPiece(), "length"), reasoning=said)

    def _after(self, piece: TextPiece) -> Delta:
        """What follows without a choice: forced tokens, and the end."""
        forced = deque(self._forced())
        while forced and self._room and not self._order.assembler.stopped:
            token = forced.popleft()
            if self._order.draft is not None:
                self._order.draft.follow(token)
            piece += self._take(token, Token("", forced=True))
        full = self._constraint is not None and self._constraint.complete
        if self._order.assembler.stopped or (full and not forced):
            return self._finish(piece, "stop")
        if not self._room:
            return self._finish(piece, "length")
        return Delta(piece.text, index=self._order.index, tokens=piece.tokens)

    def _forced(self) -> list[int]:
        if self._constraint is None:
            return []
        try:
            return self._constraint.forced()
        except Unenforceable as error:
            self._free(error)
            return []

    def _choose(self, row: LogitsRow) -> tuple[int, Token]:
        """The next token, and how sure the model was of it."""
        row.look()
        constraint = self._constraint
        if constraint is not None:
            try:
                token = constraint.choose(row, self._order.sampler)
                piece = self._vocabulary.piece(token)
                facts = _facts(confidence(row, token, lambda: constraint.allowed(piece)))
                constraint.take(token)
            except Unenforceable as error:
                self._free(error)
            else:
                return token, facts
        token = self._order.sampler.choose(row)
        return token, _facts(confidence(row, token))

    def _take(self, token: int, facts: Token) -> TextPiece:
        self.tokens.append(token)
        return self._order.assembler.push(self._vocabulary.piece(token), facts)

    def _free(self, error: Unenforceable) -> None:
        self._constraint = None
        self._notes = (*self._notes, f"the shape was enforced only up to here: {error}")

    def _finish(self, piece: TextPiece, finish: Finish) -> Delta:
        piece += self._order.assembler.finish()
        constraint: Enforcement | None = None
        if self._order.shaped:
            constraint = "none" if self._constraint is None else "enforced"
        if self._thoughts:
            self._notes = (*self._notes, f"{self._thoughts:,} tokens of thinking came before the answer")
        prompt = len(self._order.prompt)
        return Delta(
            piece.text,
            index=self._order.index,
            tokens=piece.tokens,
            constraint=constraint,
            notes=self._notes,
            finish=finish,
            usage=Usage(prompt, len(self.tokens) - prompt, self.cached),
            model=self._model,
        )


def _facts(thought: Confidence) -> Token:
    return Token(
        "",
        thought.logprob,
        thought.margin,
        allowed_logprob=thought.allowed_logprob,
        allowed_margin=thought.allowed_margin,
    )


def joined(pieces: Sequence[Delta]) -> Delta:
    """One or more pieces of an answer, joined into one."""
    if len(pieces) == 1:
        return pieces[0]
    return replace(
        pieces[-1],
        text="".join(piece.text for piece in pieces),
        tokens=tuple(token for piece in pieces for token in piece.tokens),
        reasoning="".join(piece.reasoning for piece in pieces),
    )
