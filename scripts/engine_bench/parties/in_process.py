"""rung's decode loop without its worker and pipe. It also tells the tokens of conversations and texts."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from engine_bench.timing import Clock, Timing
from rung.tiers.llama import binding
from rung.tiers.llama.frames import Ask, LoadModel
from rung.tiers.llama.threads import Fixed
from rung.tiers.llama.worker import answer as answers
from rung.tiers.llama.worker import sampling
from rung.tiers.llama.worker.batch import Run
from rung.tiers.llama.worker.calls import Calls
from rung.tiers.llama.worker.errand import Errand
from rung.tiers.llama.worker.loaded import LoadedModel
from rung.tiers.llama.worker.loop import Loop
from rung.tiers.llama.worker.native import Context
from rung.tiers.llama.worker.placing import context_of, place
from rung.tiers.llama.worker.vocabulary import Vocabulary
from rung.types import Delta, Message, Shape

# As in a worker, llama.cpp is loaded before numpy. On a machine with CUDA it crashed at its first model the other way
# round, most likely because numpy had brought an older C++ library than the build needs.
assert binding.VERSION

_STEPS = 40
_FORCED, _MEANWHILE = 8, 16
"""Most tokens of an answer in a step, forced ones included, and those that it gets while another's prompt is evaluated.
"""


class TooShort(Exception):
    """Answers end before all of them have begun, so there is no step with all of them."""


class InProcess:
    """The loop, stepped by its caller.

    Args:
        model: path of the GGUF file.
        context: in tokens.
        threads: for decoding.
        gpu_layers: layers of the model that go to a GPU.
        slots: most calls at once.
        surveyed: whether the device surveys the rows of logits; by default only a GPU does.
    """

    def __init__(
        self,
        model: str,
        context: int,
        threads: int,
        gpu_layers: int = 0,
        slots: int = 4,
        surveyed: bool | None = None,
    ) -> None:
        load = LoadModel(model, context, slots, threads, gpu_layers=gpu_layers)
        # It holds llama.cpp's log callback, which ctypes frees when nobody else does.
        self._placed = place(load, Fixed(threads))
        self._threads = threads
        if surveyed is not None and surveyed != self._placed.context.surveyed:
            other = self._context(surveyed=surveyed)
            other.rehearse()
            if other.surveyed != surveyed:
                sys.exit("this build of llama-cpp-python can't survey rows of logits, or does so wrongly")
            self._placed.context.close()
            self._placed = replace(self._placed, context=other)
        self._model = LoadedModel(load, self._placed)
        self._model.warm()
        self._calls = Calls()
        self._calls.abort = self._model.native.abort
        self._sent: list[tuple[int, Delta]] = []
        self._loop = Loop(
            self._model.native,
            self._calls,
            lambda request, delta: self._sent.append((request, delta)),
            cells=self._model.native.cells,
            slots=slots,
        )
        self._vocabulary: Vocabulary = self._model._model.vocabulary
        self._id = 0

    def _context(self, *, surveyed: bool) -> Context:
        """A context like the first one, with or without the survey.

        Args:
            surveyed: whether the device surveys the rows of logits.
        """
        placed = self._placed
        profile, threads = placed.context.profile, Fixed(self._threads)
        return context_of(placed.model, placed.plan, profile, threads, placed.log, surveyed=surveyed)

    def tokens(self, messages: Any) -> list[int]:
        """The tokens of a conversation, up to where the answer begins."""
        return self._model.prompt(_messages(messages), Errand())

    def count(self, texts: list[str]) -> list[int]:
        """How many tokens each of the texts is."""
        return [len(self._vocabulary.tokenize(text, special=False)) for text in texts]

    def answer(self, messages: Any, max_tokens: int, schema: Any = None, rejected: str | None = None) -> Timing:
        """One answer, greedy."""
        shape = None if schema is None else Shape("json", schema)
        return self._run([Ask(0, _messages(messages), max_tokens=max_tokens, shape=shape, draft=rejected)])[0]

    def together(self, conversations: Any, max_tokens: int) -> list[Timing]:
        """Several free texts at once."""
        return self._run([Ask(0, _messages(messages), max_tokens=max_tokens) for messages in conversations])

    def steps(self, count: int, depth: int) -> float:
        """Seconds of a bare step that adds one token to each of so many sequences: the mean of some, since what it is
        held against are whole answers, which also meet whatever else the machine does.

        Args:
            count: of sequences, with nothing else in the context.
            depth: tokens that each of them has before.
        """
        # `llama_decode` alone is without the survey that a GPU adds to a step
        apart = self._context(surveyed=False) if self._model.native.surveyed else None
        context = apart or self._model.native
        for sequence in range(count):
            context.decode([Run(sequence, 0, list(range(depth)), 1)])
        found: list[float] = []
        for _ in range(_STEPS):
            began = time.perf_counter()
            context.decode([Run(sequence, depth, [0], 1) for sequence in range(count)])
            found.append(time.perf_counter() - began)
            for sequence in range(count):
                context.forget(sequence, depth)
        for sequence in range(count):
            context.forget(sequence)
        if apart is not None:
            apart.close()
        return statistics.fmean(found)

    def confidence(self, messages: Any, max_tokens: int) -> dict[str, float]:
        """Of one answer: seconds of reckoning how sure each token was, seconds of decoding, and tokens."""
        spent: list[float] = []
        real, survey = answers.confidence, sampling.survey

        def timed(work: Callable[..., Any]) -> Callable[..., Any]:
            def run(*facts: Any) -> Any:
                began = time.perf_counter()
                found = work(*facts)
                spent.append(time.perf_counter() - began)
                return found

            return run

        # the one look at a row also finds the token that is chosen
        answers.confidence, sampling.survey = timed(real), timed(survey)
        try:
            timing = self.answer(messages, max_tokens)
        finally:
            answers.confidence, sampling.survey = real, survey
        # The first token's belongs to the prefill.
        return {"reckoning": sum(spent[2:]), "decoding": timing.seconds, "tokens": len(spent) // 2 - 1}

    def stepped(
        self,
        asked: Sequence[tuple[Any, Any]],
        max_tokens: int,
        send: Callable[[int, Delta], None],
        begun: Callable[[], None],
    ) -> tuple[int, float]:
        """Number of steps in which all of some answers are decoding, and the seconds that they take.

        Args:
            asked: messages and schema of each answer.
            max_tokens: most steps that are counted.
            send: hands pieces on.
            begun: is called once all prompts are evaluated.

        Raises:
            TooShort: an answer is over before the last prompt is evaluated.
        """
        decoding: set[int] = set()
        over: set[int] = set()

        def heard(request: int, delta: Delta) -> None:
            if delta.tokens:
                decoding.add(request)
            if delta.finish is not None:
                over.add(request)
            send(request, delta)

        self._loop._send = heard
        for messages, schema in asked:
            shape = None if schema is None else Shape("json", schema)
            # while the last prompts are evaluated, piece by piece, the first answers go on
            most = _FORCED * max_tokens + _MEANWHILE * len(asked)
            self._submit(Ask(0, _messages(messages), max_tokens=most, shape=shape))
        while len(decoding) < len(asked):
            # prompts that are evaluated bit by bit, as their price beside answers wants it, would outlast the first of
            # these
            self._loop._planner._token_seconds = 1e-4
            self._loop.step()
            if over:
                raise TooShort(f"an answer is over before the last of {len(asked)} has begun")
        begun()
        steps, began = 0, time.perf_counter()
        while not over and steps < max_tokens:
            self._loop.step()
            steps += 1
        took = time.perf_counter() - began
        for request in decoding - over:
            self._calls.drop(request)
        return steps, took

    def _submit(self, ask: Ask) -> None:
        self._id += 1
        self._calls.add(self._id)
        (answer,), _ = self._model.answers(replace(ask, id=self._id), Errand())
        answer.begin()
        self._loop.submit(answer)

    def _run(self, asks: list[Ask]) -> list[Timing]:
        clocks: dict[int, Clock] = {}
        for ask in asks:
            clocks[self._id + 1] = Clock()
            self._submit(ask)
        left = len(asks)
        while left:
            self._loop.step()
            for request, delta in self._sent:
                if delta.tokens:
                    clocks[request].piece(delta.text)
                left -= delta.finish is not None
            self._sent.clear()
        return [clock.stop() for clock in clocks.values()]

    def close(self) -> None:
        """The process ends anyway."""


def _messages(messages: Any) -> tuple[Message, ...]:
    return tuple(Message(m["role"], m["content"]) for m in messages)
