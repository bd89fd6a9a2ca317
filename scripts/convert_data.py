"""Public data sets as tasks: a task's folder and the rows as JSON Lines, for `rung eval` and `rung calibrate`.

    python scripts/convert_data.py clinc150 OUT
    rung task show clinc150 --data OUT/clinc150.jsonl --config OUT/rung.toml

Makes OUT/tasks/NAME/ and OUT/NAME.jsonl. The sets lie where `RUNG_DATA_DIR` says, or in a folder beside the project.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bfcl
from rung.learn.making import make_task

BBH = {
    "boolean_expressions": {
        "prompt": "Is this expression True or False?\n\n{text}",
        "choices": ["True", "False"],
    },
    "date_understanding": {
        "prompt": "{text}\n\nAnswer with the letter of the right option, in brackets.",
        "choices": ["(A)", "(B)", "(C)", "(D)", "(E)", "(F)"],
    },
    "navigate": {"prompt": "{text}", "choices": ["Yes", "No"]},
    "object_counting": {
        "prompt": "{text} Answer with the number alone, in digits.",
        "regex": "[0-9]{1,4}",
        "check": "number",
    },
}
SLOTS = {
    "people": "how many people come",
    "date": "the day",
    "time": "the time of day",
    "first_name": "the guest's first name",
    "last_name": "the guest's last name",
}


@dataclass(frozen=True)
class Converted:
    """One task.

    Args:
        name: of the task.
        task: what stands in its `task.toml`.
        rows: as objects.
        schema: of its answers, where it has one.
    """

    name: str
    task: dict[str, Any]
    rows: Iterable[dict[str, Any]] = field(repr=False)
    schema: dict[str, Any] | None = None


def convert_bfcl() -> Iterator[Converted]:
    """Function calls: each row has a schema of its own, and the rows of one function are a group."""
    rows = (
        {
            "messages": [{"role": "system", "content": row.system}, {"role": "user", "content": row.prompt}],
            "schema": row.schema,
            "expected": row.accepted,
            "group": row.system,
            "id": row.id,
        }
        for row in bfcl.rows(_ALL)
    )
    about = "the arguments of a function call (BFCL, simple)"
    yield Converted("bfcl", {"about": about, "check": {"name": "json", "how": "allowed", "loose": True}}, rows)


def convert_clinc150() -> Iterator[Converted]:
    """Intent among 150, or out of scope. The answer is the intent and nothing else: every token of it decides. And the
    same with every seventh or so of the intents, 20 in all, and nothing out of scope.
    """
    sets = json.loads((bfcl.folder() / "clinc150" / "clinc150_data_small.json").read_text(encoding="utf-8"))
    intents = sorted({intent for _, intent in sets["test"]})
    rows = [
        {"text": text, "expected": "out_of_scope" if intent == "oos" else intent}
        for text, intent in (*sets["test"], *sets["oos_test"])
    ]
    # the file goes through the intents one by one: mixed, its first rows are a sample of all
    rows.sort(key=lambda row: hashlib.sha256(row["text"].encode()).digest())
    task = {
        "about": "what somebody wants of an assistant (CLINC150)",
        "system": "Say which intent the message has, or out_of_scope where it has none of them.",
        "prompt": "{text}",
        "choices": [*intents, "out_of_scope"],
    }
    yield Converted("clinc150", task, rows)
    few = intents[:: len(intents) // 20][:20]
    fewer = {
        "about": "which of 20 intents somebody has (CLINC150)",
        "system": "Say which intent the message has.",
        "prompt": "{text}",
        "choices": few,
    }
    yield Converted("clinc20", fewer, [row for row in rows if row["expected"] in few])


def convert_restaurant8k() -> Iterator[Converted]:
    """Slots of a booking, as an object whose fields may be left out."""
    rows = []
    for turn in json.loads((bfcl.folder() / "restaurant8k" / "train_6.json").read_text(encoding="utf-8")):
        text = turn["userInput"]["text"]
        spans = {label["slot"]: label["valueSpan"] for label in turn.get("labels", [])}
        rows.append(
            {
                "text": text,
                "expected": {slot: text[span.get("startIndex", 0) : span["endIndex"]] for slot, span in spans.items()},
            }
        )
    task = {
        "about": "what a guest says of a booking (Restaurant8k)",
        "system": "Copy from the guest's message what it says of the booking. Leave out what it doesn't say.",
        "prompt": "{text}",
        "quoted": list(SLOTS),
        "check": {"name": "json", "loose": True},
    }
    schema = {
        "type": "object",
        "properties": {slot: {"type": "string", "minLength": 1, "description": says} for slot, says in SLOTS.items()},
        "additionalProperties": False,
    }
    yield Converted("restaurant8k", task, rows, schema)


def convert_bbh() -> Iterator[Converted]:
    """Four tasks of reasoning, answered without it: by an option or a number."""
    for name, task in BBH.items():
        found = json.loads((bfcl.folder() / "bbh" / f"{name}.json").read_text(encoding="utf-8"))["examples"]
        rows = [{"text": row["input"], "expected": row["target"]} for row in found]
        yield Converted(f"bbh-{name}", {"about": f"{name.replace('_', ' ')} (BIG-Bench Hard)", **task}, rows)


def convert_gsm8k() -> Iterator[Converted]:
    """Word problems. The working is arithmetic and nothing else: words would drown what decides in the score, and a
    small model that may write them writes until its cap."""
    path = bfcl.folder() / "gsm8k" / "test.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        number = row["answer"].rpartition("####")[2].strip().replace(",", "")
        rows.append({"text": row["question"], "expected": {"answer": float(number) if "." in number else int(number)}})
    step = {"type": "string", "pattern": "^[0-9][0-9 .+*/()%-]{0,58}= ?-?[0-9][0-9.]{0,12}$"}
    schema = {
        "type": "object",
        "properties": {
            "working": {"type": "array", "items": step, "minItems": 1, "maxItems": 12},
            "answer": {"type": "number"},
        },
        "required": ["working", "answer"],
        "additionalProperties": False,
    }
    task = {
        "about": "word problems with a number for an answer (GSM8K)",
        "system": "Solve the problem. Each step of the working is one calculation in numbers, such as 16 - 3 = 13.",
        "prompt": "{text}",
        "check": {"name": "json", "fields": ["answer"]},
        "max_tokens": 800,
    }
    yield Converted("gsm8k", task, rows, schema)


SETS: dict[str, Callable[[], Iterator[Converted]]] = {
    "bfcl": convert_bfcl,
    "clinc150": convert_clinc150,
    "restaurant8k": convert_restaurant8k,
    "bbh": convert_bbh,
    "gsm8k": convert_gsm8k,
}
_ALL = 1_000_000


def write(converted: Converted, out: Path, most: int | None = None) -> Path:
    """Make the task's folder and its data; the path of the data.

    Args:
        converted: the task.
        out: folder that gets `tasks/NAME/` and `NAME.jsonl`.
        most: rows, from the first.
    """
    make_task(out / "tasks" / converted.name, converted.task, schema=converted.schema)
    path = out / f"{converted.name}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(converted.rows):
            if number == most:
                break
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def main() -> None:
    """Convert a set."""
    parser = argparse.ArgumentParser(description="Public data sets as tasks of rung.")
    parser.add_argument("set", choices=SETS)
    parser.add_argument("out", type=Path, help="folder that gets tasks/NAME/ and NAME.jsonl")
    parser.add_argument("--rows", type=int, help="at most so many, from the first")
    arguments = parser.parse_args()
    for converted in SETS[arguments.set]():
        print(write(converted, arguments.out, arguments.rows))


if __name__ == "__main__":
    main()
