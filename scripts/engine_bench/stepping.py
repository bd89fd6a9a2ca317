"""Steps of the decode loop, taken apart: answers at a place that was recorded, and where the time of a step goes."""

from __future__ import annotations

import functools
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from engine_bench.parties.in_process import InProcess
from engine_bench.prompts import stories
from rung.tiers.llama import frames
from rung.tiers.llama.binding import llama
from rung.tiers.llama.worker import answer as answers
from rung.tiers.llama.worker import sampling
from rung.tiers.llama.worker.answer import Answer, DecodeOrder
from rung.tiers.llama.worker.constraint import Constraint, Grammars
from rung.tiers.llama.worker.device_survey import DeviceSurvey
from rung.tiers.llama.worker.log import Log
from rung.tiers.llama.worker.native import Context
from rung.tiers.llama.worker.sampling import Sampler
from rung.tiers.llama.worker.text import Assembler
from rung.tiers.llama.worker.vocabulary import Vocabulary
from rung.types import Delta, Sampling, Shape

Fact = tuple[dict[str, Any] | None, list[int]]
"""The schema of an answer, and its tokens so far."""

_ROOM = 64
_CELLS = 384
"""Tokens of context that prompt and answer of one text take at most."""


class Places:
    """Makes answers that stand where recorded ones stood.

    Args:
        path: of the model's file, of which only the vocabulary is loaded.
    """

    def __init__(self, path: str) -> None:
        self._log = Log()
        params = llama.llama_model_default_params()
        params.vocab_only = True
        self._model = llama.llama_model_load_from_file(path.encode(), params)
        self._vocabulary = Vocabulary(llama.llama_model_get_vocab(self._model))
        self._grammars = Grammars(self._vocabulary)

    def answers(self, facts: Sequence[Fact], temperature: float) -> Callable[[int], list[Answer]]:
        """Makes the first so many of these answers, each time anew.

        Args:
            facts: schema and tokens of each.
            temperature: for the choice of the next token.
        """
        matchers = [None if schema is None else self._matcher(schema, tokens) for schema, tokens in facts]

        def make(count: int) -> list[Answer]:
            return [
                self._answer(index, tokens, matcher, temperature)
                for index, ((_, tokens), matcher) in enumerate(zip(facts[:count], matchers, strict=False))
            ]

        return make

    def _matcher(self, schema: dict[str, Any], tokens: list[int]) -> Any:
        matcher = self._grammars.constrain(Shape("json", schema))._matcher
        if tokens and not matcher.consume_tokens(tokens):
            raise ValueError(matcher.get_error())
        return matcher

    def _answer(self, index: int, tokens: list[int], matcher: Any, temperature: float) -> Answer:
        order = DecodeOrder(
            id=index,
            prompt=(0, *tokens),
            limit=_ROOM,
            sampler=Sampler(Sampling(temperature=temperature, seed=index)),
            constraint=None if matcher is None else Constraint(matcher.deep_copy(), self._vocabulary.size),
            assembler=Assembler(),
            shaped=matcher is not None,
        )
        return Answer(order, self._vocabulary, "m")


class Stopwatch:
    """Time by stage. What a stage asks of another one counts for the other one alone."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._open: list[float] = []

    def timed(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed.

        Args:
            stage: what its time counts for.
            work: the function.
        """

        @functools.wraps(work)
        def run(*args: Any, **named: Any) -> Any:
            self._open.append(0.0)
            began = time.perf_counter()
            try:
                return work(*args, **named)
            finally:
                took = time.perf_counter() - began
                self.spent[stage] += took - self._open.pop()
                if self._open:
                    self._open[-1] += took

        return run


_ENDLESS = {
    "type": "array",
    "minItems": 99,
    "items": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "city": {"type": "string"}},
        "required": ["name", "age", "city"],
        "additionalProperties": False,
    },
}
"""Answers that go on until they are cut: keys and punctuation that are forced, and values that aren't."""

_STAGES: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("decode", Context, ("decode",)),
    ("logits", Context, ("logits", "row")),
    ("logits", DeviceSurvey, ("logits",)),
    ("choice", Sampler, ("choose",)),
    ("constraint", Constraint, ("choose", "take", "forced", "allowed")),
    # the one look at a row also finds the token that is chosen
    ("confidence", answers, ("confidence",)),
    ("confidence", sampling, ("survey",)),
    ("text", Assembler, ("push",)),
)


def profiled(
    path: str,
    threads: int,
    count: int,
    tokens: int,
    *,
    constrained: bool,
    gpu_layers: int = 0,
    surveyed: bool | None = None,
) -> dict[str, float]:
    """Microseconds of a step, by stage.

    Args:
        path: of the model's file.
        threads: for decoding.
        count: answers at once.
        tokens: of each answer.
        constrained: whether the answers are long lists by a schema, or else free texts.
        gpu_layers: layers of the model that go to a GPU.
        surveyed: whether the device surveys the rows of logits; by default only a GPU does.
    """
    party = InProcess(path, max(4096, count * _CELLS), threads, gpu_layers, slots=count, surveyed=surveyed)
    watch = Stopwatch()
    asked = [(messages, _ENDLESS if constrained else None) for messages in stories(count)]
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader:
        assert reader.stdin is not None
        pipe = reader.stdin

        def send(request: int, delta: Delta) -> None:
            frames.write(pipe, frames.AnswerDelta(request, delta))

        originals = [(where, name, getattr(where, name)) for _, where, names in _STAGES for name in names]
        for stage, where, names in _STAGES:
            for name in names:
                setattr(where, name, watch.timed(stage, getattr(where, name)))
        try:
            steps, seconds = party.stepped(asked, tokens, watch.timed("pipe", send), watch.spent.clear)
        finally:
            for where, name, original in originals:
                setattr(where, name, original)
    found = {stage: 1e6 * spent / steps for stage, spent in watch.spent.items()}
    found["rest"] = 1e6 * seconds / steps - sum(found.values())
    return found
