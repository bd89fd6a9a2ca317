"""The rows that an evaluation asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rung import Cancel
from rung.errors import Cancelled, ConfigError
from rung.learn.dataset import Dataset


def write(path: Path, count: int) -> Path:
    rows = ({"prompt": f"question number {n} of {count}", "expected": n if n % 2 else None} for n in range(count))
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.slow
def test_a_sample_is_the_same_in_every_run_and_part_of_every_larger_one(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", 200)
    chosen = [{row.number for row in Dataset(path, most=most, cancel=Cancel())()} for most in (20, 20, 50, 500)]
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 20
    assert chosen[0] < chosen[2] < chosen[3]
    assert len(chosen[3]) == 200


def test_what_is_counted_is_what_is_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", 60)
    with path.open("a") as file:
        file.write("nonsense\n")
    data = Dataset(path, most=10, cancel=Cancel())
    asked = list(data())
    assert data.counts.rows == len(asked) == 10
    assert data.counts.labelled == sum(row.labelled for row in asked)
    assert data.counts.left_out == 50
    assert [line for line, _ in data.counts.bad] == [61]


def test_rows_that_ask_nearly_the_same_are_one_group(tmp_path: Path) -> None:
    text = "please tell me what the weather will be like tomorrow in the city of rome at noon"
    prompts = [text, f"{text.upper()}!", f"{text} thanks", "how do you bake bread"]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(f"{json.dumps({'prompt': prompt})}\n" for prompt in prompts))
    groups = [row.group for row in Dataset(path, cancel=Cancel())()]
    assert groups[0] == groups[1] == groups[2] != groups[3]
    assert "weather" not in groups[0]


def test_a_file_without_a_row_that_can_be_used_says_what_is_wrong_with_the_first(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("1\n2\n")
    with pytest.raises(ConfigError, match="can be used: line 1: it holds a number"):
        Dataset(path, cancel=Cancel())


def test_reading_can_be_cancelled(tmp_path: Path) -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        Dataset(write(tmp_path / "data.jsonl", 3), cancel=cancel)
