"""A model that is ready for calls: the file, its context, its chat template, its grammars."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rung.errors import PromptTooLong, TierUnavailable
from rung.tiers.llama.answer import Answer, Order
from rung.tiers.llama.constraint import Constraint, Grammars, Unenforceable
from rung.tiers.llama.frames import Ask, Load
from rung.tiers.llama.native import GRAIN, Context, LoadError, Log, Model
from rung.tiers.llama.prompt import ChatTemplate
from rung.tiers.llama.sampling import Sampler
from rung.tiers.llama.text import Assembler
from rung.types import Message, Shape

BATCH = 256
"""Most tokens in one step: large enough for a prefill at full speed, small enough for the compute buffers."""


class LoadedModel:
    """Everything that a worker holds of one model. Only its context is bound to the loop's thread.

    Args:
        load: what to load, and how.
        threads: for decoding.

    Raises:
        TierUnavailable: the file can't be loaded, or has no chat template.
    """

    def __init__(self, load: Load, threads: int) -> None:
        # Held as long as the model: llama.cpp goes on calling it.
        self._log = log = Log()
        path = Path(load.path)
        cells = -(-load.context // GRAIN) * GRAIN
        try:
            with path.open("rb"):
                pass
            self._model = Model(load.path, log)
            self.native = Context(
                self._model,
                cells=cells,
                slots=load.slots,
                threads=threads,
                batch=min(BATCH, cells),
                log=log,
            )
        except OSError as error:
            raise TierUnavailable(
                f"{path} can't be read: {error.strerror}", mend="see the file's path and permissions"
            ) from None
        except LoadError as error:
            raise TierUnavailable(
                f"{path} can't be loaded: {error}", mend="run `rung models verify`, or pull the model again"
            ) from None
        self.cells = cells
        self.context = min(cells, self._model.trained_context or cells)
        self.name = self._model.metadata("general.name") or path.name
        self._template = self._chat_template(load.chat_template, path)
        self._grammars = Grammars(self._model.vocabulary)

    def _chat_template(self, given: str | None, path: Path) -> ChatTemplate:
        source = given or self._model.metadata("tokenizer.chat_template")
        if not source:
            raise TierUnavailable(
                f"{path} has no chat template", mend="name one with chat_template, as Jinja or as the path of a file"
            )
        vocabulary = self._model.vocabulary

        def spelling(token: int) -> str:
            return "" if token < 0 else vocabulary.piece(token, special=True).decode("utf-8", "replace")

        return ChatTemplate(source, model=self.name, bos=spelling(vocabulary.bos), eos=spelling(vocabulary.eos))

    def warm(self) -> float:
        """Build what the first constrained call would have to wait for; the seconds that it took."""
        started = time.perf_counter()
        _ = self._grammars.tokenizer
        return time.perf_counter() - started

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of a conversation, up to where the answer begins.

        Raises:
            Unsupported: the chat template doesn't take it.
        """
        vocabulary = self._model.vocabulary
        tokens = [
            token
            for segment in self._template.render(messages)
            for token in vocabulary.tokenize(segment.text, special=segment.trusted)
        ]
        # Most templates write the token themselves, and twice is worse than never.
        if vocabulary.adds_bos and tokens[:1] != [vocabulary.bos]:
            tokens.insert(0, vocabulary.bos)
        return tokens

    def answer(self, ask: Ask) -> tuple[Answer, float]:
        """A request, ready for the loop, and the seconds of it that only the first one takes.

        Raises:
            PromptTooLong: no room is left for an answer.
            Unsupported: the chat template doesn't take the conversation.
        """
        prompt = self.prompt(ask.messages)
        room = self.context - len(prompt)
        if room < 1:
            raise PromptTooLong(len(prompt), self.context)
        seconds = 0.0 if ask.shape is None else self.warm()
        constraint, notes = self._constraint(ask.shape)
        order = Order(
            id=ask.id,
            prompt=tuple(prompt),
            limit=min(room, ask.max_tokens or room),
            sampler=Sampler(ask.sampling),
            constraint=constraint,
            assembler=Assembler(ask.sampling.stop),
            shaped=ask.shape is not None,
            notes=notes,
        )
        return Answer(order, self._model.vocabulary, self.name), seconds

    def _constraint(self, shape: Shape | None) -> tuple[Constraint | None, tuple[str, ...]]:
        if shape is None:
            return None, ()
        try:
            return self._grammars.constrain(shape), ()
        except Unenforceable as error:
            return None, (f"the shape can't be enforced while decoding: {error}",)
