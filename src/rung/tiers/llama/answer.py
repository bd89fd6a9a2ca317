"""One answer while it is being decoded: its tokens so far, and what each step adds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from rung.tiers.llama.constraint import Constraint, Unenforceable
from rung.tiers.llama.native import Vocabulary
from rung.tiers.llama.sampling import Logits, Sampler, confidence
from rung.tiers.llama.text import Assembler, Piece
from rung.types import Constraint as Enforcement
from rung.types import Delta, Finish, Token, Usage


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be decoded.

    Args:
        id: of the request.
        prompt: its tokens, at least one.
        limit: most tokens of the answer, the rest of the context taken into account; at least one.
        sampler: chooses among the model's tokens.
        constraint: holds the answer to its shape; `None` lets it run free.
        assembler: makes text of tokens.
        shaped: whether the call asked for a shape.
        notes: why the shape isn't held, where it isn't.
    """

    id: int
    prompt: tuple[int, ...]
    limit: int
    sampler: Sampler
    constraint: Constraint | None
    assembler: Assembler
    shaped: bool = False
    notes: tuple[str, ...] = ()


class Answer:
    """The state of one answer.

    `tokens` are prompt and answer together. The first `evaluated` of them are in the context's memory under
    `sequence`; the others are pending. That is all a scheduler needs to know: a prefill, a decode step, forced tokens
    and a new start after an abort differ in the number of pending tokens only.

    Args:
        order: what is to be decoded.
        vocabulary: of the model.
        model: as the file names itself.
    """

    def __init__(self, order: Order, vocabulary: Vocabulary, model: str) -> None:
        self.id = order.id
        self.tokens = list(order.prompt)
        self.evaluated = 0
        self.sequence: int | None = None
        self._order = order
        self._constraint = order.constraint
        self._notes = order.notes
        self._vocabulary = vocabulary
        self._model = model
        self._held = Piece()

    @property
    def pending(self) -> int:
        """How many tokens have to be evaluated before the next one can be chosen."""
        return len(self.tokens) - self.evaluated

    @property
    def _room(self) -> int:
        return self._order.limit - (len(self.tokens) - len(self._order.prompt))

    def begin(self) -> Delta:
        """Take in the tokens that the shape forces before anything is chosen.

        Their text goes out with the first chosen token, or the time to the first token would be that of no prefill.
        """
        first = self._after(Piece())
        if first.finish is not None:
            return first
        self._held = Piece(first.text, first.tokens)
        return Delta()

    def advance(self, logits: Logits) -> Delta:
        """Choose the next token. The answer is over where the delta has a finish reason.

        Args:
            logits: after the last of `tokens`.
        """
        token = self._choose(logits)
        held, self._held = self._held, Piece()
        if token in self._vocabulary.ends:
            return self._finish(held, "stop")
        thought = confidence(logits, token)
        return self._after(held + self._take(token, Token("", thought.logprob, thought.margin)))

    def _after(self, piece: Piece) -> Delta:
        """What follows without a choice: forced tokens, and the end."""
        forced = deque(self._forced())
        while forced and self._room and not self._order.assembler.stopped:
            piece += self._take(forced.popleft(), Token("", forced=True))
        full = self._constraint is not None and self._constraint.complete
        if self._order.assembler.stopped or (full and not forced):
            return self._finish(piece, "stop")
        return Delta(piece.text, tokens=piece.tokens) if self._room else self._finish(piece, "length")

    def _forced(self) -> list[int]:
        if self._constraint is None:
            return []
        try:
            return self._constraint.forced()
        except Unenforceable as error:
            self._free(error)
            return []

    def _choose(self, logits: Logits) -> int:
        if self._constraint is not None:
            try:
                return self._constraint.choose(logits, self._order.sampler)
            except Unenforceable as error:
                self._free(error)
        return self._order.sampler.choose(logits)

    def _take(self, token: int, facts: Token) -> Piece:
        self.tokens.append(token)
        return self._order.assembler.push(self._vocabulary.piece(token), facts)

    def _free(self, error: Unenforceable) -> None:
        self._constraint = None
        self._notes = (*self._notes, f"the shape was enforced only up to here: {error}")

    def _finish(self, piece: Piece, finish: Finish) -> Delta:
        piece += self._order.assembler.finish()
        constraint: Enforcement | None = None
        if self._order.shaped:
            constraint = "none" if self._constraint is None else "enforced"
        prompt = len(self._order.prompt)
        return Delta(
            piece.text,
            tokens=piece.tokens,
            constraint=constraint,
            notes=self._notes,
            finish=finish,
            usage=Usage(prompt, len(self.tokens) - prompt),
            model=self._model,
        )
