"""The public sets become tasks and rows that are read back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rung.learn.data import read
from rung.learn.grading import grade
from rung.learn.tables import BadRow
from rung.learn.tasks import open_task

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import bfcl
import convert_data

COUNTS = {
    "bfcl": {"bfcl": 400},
    "clinc150": {"clinc150": 5500, "clinc20": 600},
    "restaurant8k": {"restaurant8k": 128},
    "bbh": {f"bbh-{name}": 250 for name in convert_data.BBH},
    "gsm8k": {"gsm8k": 1319},
}


@pytest.fixture
def converted(tmp_path):
    def convert(name):
        if not (bfcl.folder() / name).is_dir():
            pytest.skip(f"the data set {name} is not there: RUNG_DATA_DIR says where it lies")
        paths = {task.name: convert_data.write(task, tmp_path) for task in convert_data.SETS[name]()}
        return {task: (open_task(tmp_path / "tasks" / task, trusted=True), path) for task, path in paths.items()}

    return convert


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_a_set_becomes_tasks_whose_rows_are_all_read_and_labelled(converted, name):
    found = converted(name)
    assert set(found) == set(COUNTS[name])
    for task, (folder, path) in found.items():
        rows = list(read(path, folder.template))
        assert not [str(row) for row in rows if isinstance(row, BadRow)]
        assert len(rows) == COUNTS[name][task]
        assert all(row.labelled for row in rows)
        assert len({row.key for row in rows}) > 0.95 * len(rows)
        contract, check = folder.contract(), folder.grader()
        if name != "bfcl":
            assert contract.shape is not None
            if folder.kind == "choices":
                assert {row.expected for row in rows} <= set(folder.table.choices)
            assert all(grade(check, row.expected, row.expected).right for row in rows[:50])


def test_function_calls_are_graded_as_the_sets_own_checker_does(converted):
    ((folder, path),) = converted("bfcl").values()
    check = folder.grader()
    rows, originals = list(read(path)), bfcl.rows(400)
    told = []
    for row, original in zip(rows, originals, strict=True):
        assert row.schema == original.schema
        first = {name: allowed[0] for name, allowed in original.accepted.items() if allowed[0] != ""}
        flat = {name: value for name, value in first.items() if not isinstance(value, dict)}
        for value in (flat, {**flat, "other": 1}, dict(list(flat.items())[1:]), {k: str(v) for k, v in flat.items()}):
            told.append(bfcl.right(original, value))
            assert grade(check, value, row.expected).right is told[-1]
    assert 300 < told.count(True) < 1300


def test_slots_are_the_words_of_the_message(converted):
    ((_, path),) = converted("restaurant8k").values()
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert all(value and value in row["text"] for value in row["expected"].values())


@pytest.mark.slow
def test_the_first_rows_of_intents_are_a_sample_of_all(converted):
    folder, path = converted("clinc150")["clinc150"]
    expected = [row.expected for row in read(path, folder.template)]
    assert len(set(expected)) == 151
    assert 0.1 < expected[:500].count("out_of_scope") / 500 < 0.27
    assert len(set(expected[:500])) > 120
