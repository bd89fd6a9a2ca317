"""Public sets, and two small ones of our own, as prompts with contracts: what default thresholds are made of.

Each set belongs to a kind of contract, and either to development or to the test: no row of a test set took part in a
choice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import bfcl

_OWN = Path(__file__).parent / "development_sets"
_SLOTS = ("time", "date", "people", "first_name", "last_name")


@dataclass(frozen=True)
class Question:
    """One row.

    Args:
        key: its name, unique within its set.
        prompt: what is asked.
        output: what the answer must be, as `Ladder.run` takes it.
        right: whether a value answers it.
        system: a system turn.
    """

    key: str
    prompt: str
    output: Any = field(repr=False)
    right: Callable[[Any], bool] = field(repr=False)
    system: str | None = None


@dataclass(frozen=True)
class QuestionSet:
    """Rows that go together.

    Args:
        name: of the set.
        kind: of its contract.
        part: what it is for.
        questions: its rows, in an order that is the same in every run.
    """

    name: str
    kind: Literal["choice", "object", "scalar"]
    part: Literal["development", "test"]
    questions: tuple[Question, ...] = field(repr=False)


def same(a: Any, b: Any) -> bool:
    """Whether two answers to one question are equal. Texts are compared as the function-calling set's checker does."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, str) and isinstance(b, str):
        return bfcl.plain(a) == bfcl.plain(b)
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def sets() -> Iterator[QuestionSet]:
    """All of them.

    Raises:
        FileNotFoundError: the data is not there; `RUNG_DATA_DIR` says where it is.
    """
    calls = bfcl.rows(400)
    yield QuestionSet("reviews", "choice", "development", tuple(_reviews()))
    yield QuestionSet("numbers", "scalar", "development", tuple(_numbers()))
    yield QuestionSet("booleans", "choice", "development", tuple(_bbh("boolean_expressions", ["True", "False"])))
    yield QuestionSet("navigate", "choice", "test", tuple(_bbh("navigate", ["Yes", "No"])))
    yield QuestionSet("intents", "choice", "development", tuple(_intents("val")))
    yield QuestionSet("intents", "choice", "test", tuple(_intents("test")))
    yield QuestionSet("domains", "choice", "development", tuple(_domains("val")))
    yield QuestionSet("dates", "choice", "test", tuple(_bbh("date_understanding", None)))
    yield QuestionSet("objects", "scalar", "development", tuple(_bbh("object_counting", int)))
    yield QuestionSet("arithmetic", "scalar", "test", tuple(_gsm8k()))
    yield QuestionSet("guests", "scalar", "test", tuple(_guests()))
    tables = list(_restaurant())
    yield QuestionSet("tables", "object", "development", tuple(tables[::2]))
    yield QuestionSet("tables", "object", "test", tuple(tables[1::2]))
    yield QuestionSet("functions", "object", "development", tuple(map(_call, calls[:200])))
    yield QuestionSet("functions", "object", "test", tuple(map(_call, calls[200:])))


def _call(row: bfcl.Row) -> Question:
    return Question(row.id, row.prompt, row.schema, lambda value: bfcl.right(row, value), row.system)


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_OWN / name).read_text(encoding="utf-8").splitlines()]


def _equals(expected: Any) -> Callable[[Any], bool]:
    return lambda value: same(value, expected)


def _reviews() -> Iterator[Question]:
    for n, row in enumerate(_lines("reviews.jsonl")):
        prompt = f"Is this review positive, negative or neutral?\n\n{row['text']}"
        yield Question(str(n), prompt, ["positive", "negative", "neutral"], _equals(row["label"]))


def _numbers() -> Iterator[Question]:
    for n, row in enumerate(_lines("numbers.jsonl")):
        yield Question(str(n), f"{row['text']}\n\n{row['question']}", int, _equals(row["label"]))


def _json(path: str) -> Any:
    return json.loads((bfcl.folder() / path).read_text(encoding="utf-8"))


def _bbh(task: str, output: Any) -> Iterator[Question]:
    for n, row in enumerate(_json(f"bbh/{task}.json")["examples"]):
        options = re.findall(r"^\([A-Z]\)", row["input"], re.MULTILINE) if output is None else output
        expected = int(row["target"]) if output is int else row["target"]
        yield Question(str(n), row["input"], options, _equals(expected))


def _clinc(part: str) -> list[tuple[int, str, str]]:
    """Number, text and intent of each row, in an order in which few rows hold many intents."""
    rows = _json("clinc150/clinc150_data_small.json")[part]
    order = sorted(range(len(rows)), key=lambda n: (n * 7919) % len(rows))
    return [(n, *rows[n]) for n in order]


def _intents(part: str) -> Iterator[Question]:
    intents = sorted({intent for _, _, intent in _clinc("val")})
    for n, text, intent in _clinc(part):
        yield Question(f"{part}-{n}", text, intents, _equals(intent), "What does the user want?")


def _domains(part: str) -> Iterator[Question]:
    domains = _json("clinc150/clinc150_domains.json")
    of = {intent: domain for domain, intents in domains.items() for intent in intents}
    for n, text, intent in _clinc(part):
        yield Question(f"{part}-{n}", text, list(domains), _equals(of[intent]), "What is this about?")


def _gsm8k() -> Iterator[Question]:
    for n, line in enumerate((bfcl.folder() / "gsm8k" / "test.jsonl").read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        expected = float(row["answer"].rpartition("####")[2].replace(",", ""))
        yield Question(str(n), row["question"], int, _equals(expected))


def _spans(row: dict[str, Any]) -> dict[str, str]:
    text = row["userInput"]["text"]
    found = {}
    for label in row.get("labels", ()):
        span = label["valueSpan"]
        found[label["slot"]] = text[span.get("startIndex", 0) : span["endIndex"]]
    return found


def _restaurant() -> Iterator[Question]:
    schema = {
        "type": "object",
        "properties": {slot: {"type": "string"} for slot in _SLOTS},
        "additionalProperties": False,
    }
    system = "Which of these does the guest of a restaurant name? Copy their words, and leave out what is not said."
    for n, row in enumerate(_json("restaurant8k/train_6.json")):
        yield Question(str(n), row["userInput"]["text"], schema, _equals(_spans(row)), system)


def _guests() -> Iterator[Question]:
    """Utterances that name one number of people."""
    for n, row in enumerate(_json("restaurant8k/train_6.json")):
        people = re.fullmatch(r"\D*(\d+)\D*", _spans(row).get("people", ""))
        if people:
            yield Question(str(n), row["userInput"]["text"], int, _equals(int(people[1])), "For how many people is it?")
