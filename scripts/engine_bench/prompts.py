"""What the parties are asked: function calls, 10 free texts, and texts of a given length."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import bfcl
from engine_bench.bench import Skipped
from rung.contract import compile_output
from rung.types import Message

Messages = list[dict[str, Any]]

_FREE = (
    "Explain to a child why the sky is blue.",
    "Write a short letter that asks a neighbour to keep the music down after ten in the evening.",
    "What are the advantages and disadvantages of working from home?",
    "Describe how to repair a flat bicycle tyre, step by step.",
    "Summarise what happened in the French Revolution.",
    "Write a Python function that returns the n-th Fibonacci number, and explain it.",
    "Tell a story about a lighthouse keeper who finds a message in a bottle.",
    "What should I think about before I adopt a dog?",
    "Compare electric cars and petrol cars for somebody who lives in the country.",
    "Give me ideas for a birthday party for ten-year-olds on a rainy day.",
)
_WORDS = ("river", "stone", "window", "garden", "paper", "winter", "market", "bridge", "lantern", "harbour", "copper")


@dataclass(frozen=True)
class Prompt:
    """One question.

    Args:
        messages: as every party's chat interface takes them.
        schema: of the answer; `None` for free text.
    """

    messages: Messages
    schema: dict[str, Any] | None = None


def free_texts() -> list[Prompt]:
    """Ten ordinary questions."""
    return [Prompt([{"role": "user", "content": text}]) for text in _FREE]


def function_calls(count: int) -> list[Prompt]:
    """Rows of the function-calling set, with the words in which a ladder tells a model the schema.

    Raises:
        Skipped: the data set is not there.
    """
    return [call(row) for row in rows(count)]


def rows(count: int) -> list[bfcl.Row]:
    """The first rows of the function-calling set.

    Raises:
        Skipped: the data set is not there.
    """
    try:
        return bfcl.rows(count)
    except FileNotFoundError as error:
        raise Skipped(f"{error.filename} is not there; RUNG_DATA_DIR says where the data sets lie") from None


def call(row: bfcl.Row) -> Prompt:
    """What a ladder would ask for this row."""
    contract = compile_output(row.schema)
    asked = contract.instruct((Message("system", row.system), Message("user", row.prompt)))
    if contract.shape is None:
        raise AssertionError("a schema has a shape")
    return Prompt([{"role": m.role, "content": m.text} for m in asked], dict(contract.shape.schema))


def stories(count: int) -> list[Messages]:
    """Short questions with long answers, no two alike."""
    return [
        [{"role": "user", "content": f"Tell a very long story about a {_WORDS[i % len(_WORDS)]} and the number {i}."}]
        for i in range(count)
    ]


def filler(words: int, seed: int) -> str:
    """A text that shares no beginning with that of another seed; a little over one token a word."""
    chance = random.Random(seed)
    return f"Note {seed}: " + " ".join(chance.choices(_WORDS, k=words))
