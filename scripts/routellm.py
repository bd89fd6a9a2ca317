"""What Mixtral and GPT-4 answered to GSM8K, and what the text of a weak answer says of itself."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

WEAK = "mistralai/Mixtral-8x7B-Instruct-v0.1"
STRONG = "gpt-4-1106-preview"

_STEP = re.compile(r"<<([^<>=]+)=([^<>]+)>>")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")
_SUM = re.compile(r"[\d.\s()+*/%-]+")

FEATURES = ("truncated", "miscalculated", "fraction", "from elsewhere", "length", "steps")


@dataclass(frozen=True)
class Recorded:
    """The rows that are left without the contaminated ones.

    Args:
        prompts: what was asked.
        weak: whether Mixtral is right.
        strong: whether GPT-4 is right.
        features: of Mixtral's text, one column per name in `FEATURES`.
    """

    prompts: tuple[str, ...]
    weak: NDArray[np.bool_]
    strong: NDArray[np.bool_]
    features: NDArray[np.float64]


def folder() -> Path:
    """Where the records lie: below `RUNG_DATA_DIR`, or in a folder beside the project."""
    data = os.environ.get("RUNG_DATA_DIR") or Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(data) / "routellm_gsm8k"


def recorded() -> Recorded:
    """Reads the records.

    Raises:
        FileNotFoundError: they aren't there; `RUNG_DATA_DIR` says where they are.
    """
    known = (folder() / "contaminated_prompts.jsonl").read_text(encoding="utf-8").splitlines()
    contaminated = {json.loads(line)["eval_prompt"] for line in known if line}
    with (folder() / "gsm8k_responses.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["prompt"] not in contaminated]
    return Recorded(
        tuple(row["prompt"] for row in rows),
        np.array([row[WEAK] == "True" for row in rows]),
        np.array([row[STRONG] == "True" for row in rows]),
        np.array([list(read(row[f"{WEAK}_response"]).values()) for row in rows]),
    )


def read(text: str) -> Mapping[str, float]:
    """What a worked solution says of itself, without knowing the question: a number for each name in `FEATURES`."""
    steps = _STEP.findall(text)
    said = text.rpartition("####")[2] if "####" in text else ""
    final = _number(said)
    results = [_number(result) for _, result in steps]
    wrong = sum(_calculates(left, result) is False for (left, _), result in zip(steps, results, strict=True))
    values = (
        float(final is None),
        float(wrong > 0),
        float(final is not None and final != round(final)),
        float(final is not None and bool(results) and final != results[-1]),
        float(np.log1p(len(text))),
        float(len(steps)),
    )
    return dict(zip(FEATURES, values, strict=True))


def gate(rows: Recorded, columns: tuple[str, ...] = FEATURES, seed: int = 0, folds: int = 5) -> NDArray[np.float64]:
    """How sure to be of each weak answer: a logistic regression on features of its text, cross-validated.

    Args:
        rows: the records.
        columns: which features.
        seed: changes which rows share a fold. A row's fold follows from a hash of its prompt.
        folds: how many.
    """
    places = np.array([hashlib.sha256(f"{seed}:{prompt}".encode()).digest()[0] % folds for prompt in rows.prompts])
    used = rows.features[:, [FEATURES.index(name) for name in columns]]
    score = np.zeros(len(used))
    for fold in range(folds):
        train, test = places != fold, places == fold
        width = used[train].std(axis=0)
        scaled = (used - used[train].mean(axis=0)) / np.where(width > 0, width, 1)
        model = LogisticRegression(solver="newton-cholesky").fit(scaled[train], rows.weak[train])
        score[test] = model.decision_function(scaled[test])
    return score


def _number(text: str) -> float | None:
    found = _NUMBER.search(text)
    return float(found.group().replace(",", "")) if found else None


def _calculates(left: str, result: float | None) -> bool | None:
    """Whether a sum comes to its result; `None` where it isn't one of plain numbers."""
    left = left.replace(",", "").replace("$", "").replace("%", "/100").replace("x", "*").strip()
    if result is None or not _SUM.fullmatch(left) or "**" in left or len(left) > 100:
        return None
    try:
        # digits, operators and brackets alone get here
        value = eval(left, {"__builtins__": {}})
    except (SyntaxError, ZeroDivisionError, TypeError):
        return None
    return bool(abs(value - result) <= 0.01 * max(1.0, abs(result)))
