"""What all measures share: the options, and the parties that are running."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine_bench.processes import Party, PartyFailed

SMALL, MIDDLE, LARGE = "smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"

ALL_LAYERS = 999
"""More than a model has: `llama.cpp` takes it for all of them."""

_PAUSE = 0.03
"""Seconds between two parties, so that the threads of the one have stopped spinning when the other begins."""


class Skipped(Exception):
    """A measure can't be taken here; the message says why."""


@dataclass
class Bench:
    """One run.

    Args:
        models: name and path of each.
        threads: for every party's decoding.
        context: of every party, in tokens.
        quick: whether to see only that everything works.
        xllamacpp: an interpreter that has it; `None` leaves its rows out.
        seed: of whatever is random.
        gpu: whether all layers of every party's model go to a GPU.
    """

    models: dict[str, Path]
    threads: int
    context: int
    quick: bool
    xllamacpp: Path | None
    seed: int
    gpu: bool = False

    def some(self, whole: int, few: int) -> int:
        """How many of something."""
        return few if self.quick else whole

    def say(self, text: str) -> None:
        """A line for whoever waits."""
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def parties(self, model: str, *kinds: str, **settings: Any) -> Iterator[dict[str, Party]]:
        """Start parties on one model, and end them afterwards.

        Args:
            model: name of it.
            kinds: of parties.
            settings: for all of them, beside model, context and threads, or in place of these.

        Raises:
            Skipped: one of them can't be had here.
        """
        started: dict[str, Party] = {}
        try:
            for kind in kinds:
                started[kind] = self.start(kind, model, **settings)
            yield started
        finally:
            for party in started.values():
                party.close()

    def start(self, kind: str, model: str, **settings: Any) -> Party:
        """One party; its owner closes it.

        Raises:
            Skipped: it can't be had here.
        """
        python = None
        if kind == "xllamacpp":
            if self.gpu:
                raise Skipped("the ready-made wheel of xllamacpp has no GPU")
            if self.xllamacpp is None:
                raise Skipped("there is no interpreter that has xllamacpp; name one with --xllamacpp-python")
            python = str(self.xllamacpp)
        if model not in self.models:
            raise Skipped(f"{model} is not among the models of this run")
        if self.gpu:
            settings["gpu_layers"] = ALL_LAYERS
        path = str(self.models[model])
        try:
            return Party(kind, python, **{"model": path, "context": self.context, "threads": self.threads, **settings})
        except PartyFailed as error:
            raise Skipped(str(error)) from None

    def one(self, preferred: str) -> str:
        """The model of a row that needs only one: this, if it was selected, or else the first that was."""
        return preferred if preferred in self.models else next(iter(self.models))


def pause() -> None:
    """Let the party before come to rest."""
    time.sleep(_PAUSE)
