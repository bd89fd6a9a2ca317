"""A model that is ready for calls: the file, its context, its chat template, its grammars."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rung.errors import PromptTooLong, TierUnavailable
from rung.tiers.llama import binding
from rung.tiers.llama.fit import Room
from rung.tiers.llama.frames import Ask, LoadModel
from rung.tiers.llama.residents import Residents
from rung.tiers.llama.worker.answer import THINK, Answer, DecodeOrder
from rung.tiers.llama.worker.constraint import Constraint, Grammars, Unenforceable
from rung.tiers.llama.worker.draft import Credit, Draft
from rung.tiers.llama.worker.errand import Errand
from rung.tiers.llama.worker.listing import Listing
from rung.tiers.llama.worker.memory import common_prefix
from rung.tiers.llama.worker.placing import Placed
from rung.tiers.llama.worker.prompt import ChatTemplate, Segment
from rung.tiers.llama.worker.sampling import Sampler
from rung.tiers.llama.worker.snapshots import Snapshots
from rung.tiers.llama.worker.text import Assembler
from rung.types import Message, Shape

_OTHER = "\N{SYMBOL FOR NULL}"
_LISTED = 0.75
"""Share of a context that is aimed at where a list of choices is cut: the rest is for the answer."""


class LoadedModel:
    """Everything that a worker holds of one model. Only its context is bound to the loop's thread.

    Args:
        load: what to load, and how.
        placed: the file in memory.

    Raises:
        TierUnavailable: the file has no chat template.
    """

    def __init__(self, load: LoadModel, placed: Placed) -> None:
        # Kept as long as the model, because llama.cpp goes on calling it.
        self._log = placed.log
        path = Path(load.path)
        self._model, self.native, self.plan = placed.model, placed.context, placed.plan
        self._notes = placed.notes
        self.context = self.plan.context
        self.longest_token = self.plan.fit.header.longest_token
        self.name = self._model.metadata("general.name") or path.name
        self._template = self._chat_template(load, path)
        self._grammars = Grammars(self._model.vocabulary)
        self._warming = threading.Lock()
        self._credit = Credit()
        opens = len(self._model.vocabulary.tokenize(THINK, special=True)) == 1
        self._opens, self._thinks = opens, load.thinking
        self.snapshots = self._snapshots(load, path) if load.snapshots else None

    def _may_think(self, effort: str | None) -> bool:
        """Whether an answer may begin with a thought: the model has the tags, and isn't told not to think."""
        wanted = self._thinks if effort is None else effort != "none"
        return self._opens and (wanted or not self._template.switches_thinking)

    def _snapshots(self, load: LoadModel, path: Path) -> Snapshots:
        sha256 = load.sha256
        if sha256 is None:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        key = (sha256, binding.VERSION, binding.llama.llama_print_system_info().decode())
        return Snapshots(Path(load.snapshots or ""), load.snapshot_bytes, json.dumps(key))

    def _chat_template(self, load: LoadModel, path: Path) -> ChatTemplate:
        source = load.chat_template or self._model.metadata("tokenizer.chat_template")
        if not source:
            raise TierUnavailable(
                f"{path} has no chat template", hint="name one with chat_template, as Jinja or as the path of a file"
            )
        vocabulary = self._model.vocabulary

        def spelling(token: int) -> str:
            return "" if token < 0 else vocabulary.piece(token, special=True).decode("utf-8", "replace")

        bos, eos = spelling(vocabulary.bos), spelling(vocabulary.eos)
        return ChatTemplate(source, model=self.name, bos=bos, eos=eos, thinking=load.thinking)

    def warm(self) -> float:
        """Build what constrained calls need, if nobody has. Returns the seconds that it took."""
        started = time.perf_counter()
        with self._warming:
            _ = self._grammars.tokenizer
        return time.perf_counter() - started

    def prompt(self, messages: Sequence[Message], errand: Errand) -> list[int]:
        """The tokens of a conversation, up to where the answer begins.

        Args:
            messages: the conversation.
            errand: the errand that this is part of.

        Raises:
            PromptTooLong: so many bytes can't be few enough tokens.
            Unsupported: the chat template doesn't take it.
            Dropped: nobody waits for it any more.
        """
        return self._tokens(self._template.render(messages, errand), errand)

    def _tokens(self, segments: Sequence[Segment], errand: Errand) -> list[int]:
        if self.longest_token is not None:
            least = sum(len(segment.text.encode()) for segment in segments) // self.longest_token
            if least > self.context:
                raise PromptTooLong(least, self.context, at_least=True)
        vocabulary = self._model.vocabulary
        tokens: list[int] = []
        for segment in segments:
            errand.check()
            tokens += vocabulary.tokenize(segment.text, special=segment.trusted)
        # Most templates write the token themselves, and writing it twice is worse than leaving it out.
        if vocabulary.adds_bos and tokens[:1] != [vocabulary.bos]:
            tokens.insert(0, vocabulary.bos)
        return tokens

    def answers(self, ask: Ask, errand: Errand) -> tuple[list[Answer], float]:
        """A request's answers, ready for the loop, and the seconds that only the first request takes.

        Args:
            ask: the request.
            errand: the errand that this is part of.

        Raises:
            PromptTooLong: no room is left for an answer.
            Unsupported: the chat template doesn't take the conversation.
            Dropped: nobody waits for it any more.
        """
        listing = Listing(ask.messages, ask.shape)
        messages: Sequence[Message] = ask.messages
        listed: tuple[str, ...] = ()
        while True:
            try:
                segments, prompt, room = self._fitted(messages, ask, errand)
                break
            except PromptTooLong as error:
                shorter = listing.cut(_LISTED * self.context / error.input_tokens)
                if shorter is None:
                    raise
                messages, listed = shorter, (listing.note,)
        seconds = 0.0 if ask.shape is None else self.warm()
        begun = segments[-1].trusted and segments[-1].text.rstrip().endswith(THINK)
        reusable = self._reusable(messages, prompt, errand)
        saved = self.snapshots.find(prompt[:reusable]) if self.snapshots and reusable else None
        answers = []
        for index in range(ask.candidates):
            errand.check()
            constraint, notes = self._constraint(ask.shape)
            order = DecodeOrder(
                id=ask.id,
                prompt=tuple(prompt),
                limit=room.limit,
                cells=room.cells,
                sampler=Sampler(ask.sampling, index),
                constraint=constraint,
                assembler=Assembler(ask.sampling.stop),
                index=index,
                shaped=ask.shape is not None,
                notes=(*self._notes, *listed, *notes),
                thinking="begun" if begun else "possible" if self._may_think(ask.sampling.effort) else "no",
                draft=self._draft(ask.draft) if ask.draft else None,
                alone=ask.sampling.temperature > 0 and ask.sampling.seed is not None,
                saved=saved,
                unsaved=reusable if saved is None else 0,
            )
            answers.append(Answer(order, self._model.vocabulary, self.name))
        return answers, seconds

    def _draft(self, text: str) -> Draft:
        return Draft(self._model.vocabulary.tokenize(text, special=False), self._credit)

    def _fitted(
        self, messages: Sequence[Message], ask: Ask, errand: Errand
    ) -> tuple[Sequence[Segment], list[int], Room]:
        """A conversation rendered and in tokens, and the room that it leaves.

        Raises:
            PromptTooLong: it leaves none.
        """
        segments = self._template.render(messages, errand, effort=ask.sampling.effort)
        prompt = self._tokens(segments, errand)
        room = self.plan.room(len(prompt), ask.max_tokens, held=self.native.cells, free=Residents().memory)
        if room is None:
            raise PromptTooLong(len(prompt), self.context)
        return segments, prompt, room

    def larger(self, tokens: int) -> int:
        """How large the context may become for calls that need so many tokens together, by the memory that is free."""
        return self.plan.larger(tokens, held=self.native.cells, free=Residents().memory())

    def _reusable(self, messages: Sequence[Message], prompt: Sequence[int], errand: Errand) -> int:
        """How many tokens of a prompt belong to what its caller marked as reusable, together with everything before
        that.
        """
        marked = max((i for i, message in enumerate(messages, 1) if message.reusable), default=0)
        if self.snapshots is None or not marked:
            return 0
        # Replace what follows by other words: the part that both prompts share is the marked one.
        others = [Message(m.role, _OTHER) for m in messages[marked:]]
        return min(common_prefix(self.prompt([*messages[:marked], *others], errand), prompt), len(prompt) - 1)

    def _constraint(self, shape: Shape | None) -> tuple[Constraint | None, tuple[str, ...]]:
        if shape is None:
            return None, ()
        try:
            constraint = self._grammars.constrain(shape)
        except Unenforceable as error:
            return None, (f"the shape can't be enforced while decoding: {error}",)
        return constraint, constraint.notes
