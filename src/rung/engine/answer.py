"""Putting a tier's deltas together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rung.contract import Contract
from rung.types import Candidate, Constraint, Delta, Finish, Token, Usage

_LOOK_EVERY = 256
"""Characters of new text between two looks at whether an answer goes round in circles."""


class Answer:
    """The first candidate of a stream, as far as it came."""

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()
        self._usage = Usage()
        self.ttft: float | None = None
        self.load_seconds = 0.0
        self._began = time.monotonic()
        self._texts: list[str] = []
        self._unseen = 0
        self._reasoning: list[str] = []
        self._tokens: list[Token] = []
        self._finish: Finish | None = None
        self._constraint: Constraint = "none"
        self._model: str | None = None

    @property
    def usage(self) -> Usage:
        """The tokens that the tier reported, as far as they can be right."""
        return self._usage.credible(answered=bool(self._texts or self._reasoning))

    def add(self, delta: Delta) -> None:
        """Take the next piece in."""
        self.notes += delta.notes
        self._usage = delta.usage or self._usage
        self.load_seconds += delta.load_seconds
        self._constraint = delta.constraint or self._constraint
        self._model = delta.model or self._model
        if delta.index:
            return
        self._finish = delta.finish or self._finish
        self._tokens += delta.tokens
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
        if delta.text:
            self._texts.append(delta.text)
            self._unseen += len(delta.text)
            if self.ttft is None:
                self.ttft = time.monotonic() - self._began - self.load_seconds

    def is_stuck(self, contract: Contract[Any]) -> bool:
        """Whether the answer only repeats itself by now, so that nothing would come of its end; looks now and then."""
        if self._unseen < _LOOK_EVERY:
            return False
        self._unseen = 0
        return contract.loops("".join(self._texts))

    def candidate(self, contract: Contract[Any], restore: Callable[[str], str] | None) -> Candidate:
        """The candidate.

        Args:
            contract: knows which tokens carry which value.
            restore: puts the real values back into an answer to a redacted prompt.
        """
        text = "".join(self._texts)
        reasoning = "".join(self._reasoning)
        score, fields = contract.score(text, self._tokens) if self._tokens else (None, {})
        return Candidate(
            text=restore(text) if restore else text,
            finish=self._finish,
            tokens=tuple(self._tokens),
            reasoning=restore(reasoning) if restore else reasoning,
            constraint=self._constraint,
            usage=self.usage,
            model=self._model,
            score=score,
            fields=fields,
        )
