"""`rung ledger label`: a person gives requests that no tier could answer their right answers, which are data then."""

from __future__ import annotations

import io
import json
import time

import pytest

from rung import Ladder, Message, ToolCall
from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.learn.data import read
from rung.ledger import Ledger, LedgerFile, requests
from rung.testing import ScriptedTier
from rung.types import Image


@pytest.fixture
def label(tmp_path, monkeypatch, capfd):
    """Runs the command within this process; what is typed is its lines."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUNG_LEDGER", str(tmp_path / "ledger.sqlite3"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments, typed=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = invoke(["ledger", "label", *arguments], Interrupts())
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def failed(tmp_path):
    """Requests that no tier could answer, the earliest first."""

    def make(*prompts, content=True, task=None, answers=("bad", "worse")):
        with Ledger(tmp_path / "ledger.sqlite3", content=content) as ledger:
            for prompt in prompts:
                ladder = Ladder(ScriptedTier("small", *answers), observers=[ledger])
                assert not ladder.run(prompt, validators=[lambda value: value == "good"], task=task).accepted
                time.sleep(0.002)  # the ledger has no order within a millisecond

    return make


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_answers_that_a_person_gives_are_rows_of_data(label, failed, tmp_path):
    failed("Which river?", "Which town?", "Which lake?")
    code, out, err = label("right.jsonl", typed="2\ns\n= The Rhine\n")
    assert code == 0
    assert out == "2 labelled, 1 left; `rung eval right.jsonl` reads them.\n"
    assert "3 left" in err
    assert "1: bad\n2: worse" in err
    assert [row["expected"] for row in rows(tmp_path / "right.jsonl")] == ["worse", "The Rhine"]
    found = list(read(tmp_path / "right.jsonl"))
    assert [(row.messages[0].text, row.expected) for row in found] == [
        ("Which lake?", "worse"),
        ("Which river?", "The Rhine"),
    ]
    with LedgerFile(tmp_path / "ledger.sqlite3") as file:
        names = {it.id for it in requests(file)}
    assert {row["metadata"]["request"] for row in rows(tmp_path / "right.jsonl")} < names
    assert (tmp_path / "right.jsonl").stat().st_mode & 0o777 == 0o600


def test_it_goes_on_where_it_stopped_and_one_prompt_needs_one_answer(label, failed, tmp_path):
    failed("Which river?", "Which town?", "Which river?")
    assert label("right.jsonl", typed="=the Rhine\nq\n")[1].startswith("1 labelled, 1 left")
    code, out, _ = label("right.jsonl", "--json", typed="= Bonn\n")
    found = json.loads(out)
    assert (code, found["labelled"], found["left"], found["labelled_before"]) == (0, 1, 0, 2)
    assert [row["messages"][0]["content"] for row in rows(tmp_path / "right.jsonl")] == ["Which river?", "Which town?"]
    assert label("right.jsonl")[1] == "Nothing waits for a label.\n"


def test_undo_takes_the_last_answer_back_also_behind_a_skip(label, failed, tmp_path):
    failed("Which river?", "Which town?", "Which lake?")
    label("right.jsonl", typed="= one\ns\nu\n= two\nq\n")
    assert [(row["messages"][0]["content"], row["expected"]) for row in rows(tmp_path / "right.jsonl")] == [
        ("Which lake?", "two")
    ]


def test_what_cannot_be_labelled_is_told_with_the_setting_that_would_have_kept_it(label, failed):
    failed("Which river?", content=False)
    failed("Which town?", task="towns")
    failed([Message("user", [Image(b"\x89PNG", "image/png")])])
    failed(
        [Message("user", "It rains?"), Message("assistant", "", (ToolCall("c", "f", "{}"),)), Message("user", "So?")]
    )
    code, out, err = label("right.jsonl")
    assert (code, out) == (0, "Nothing waits for a label.\n")
    assert "1 can't be labelled: the ledger has no prompt of them; content = true under [ledger] in rung.toml" in err
    assert "2 can't be labelled: their prompts are not text alone" in err
    assert "1 more are of the task 'towns': --task towns" in err


def test_an_answer_has_to_fit_the_contract_of_the_task(label, failed, tmp_path):
    folder = tmp_path / "tasks" / "town"
    folder.mkdir(parents=True)
    (folder / "task.toml").write_text('schema = { type = "object", properties = { town = { type = "string" } } }\n')
    (tmp_path / "rung.toml").write_text('[[tier]]\nname = "small"\nkind = "scripted"\n')
    failed("Which town?", task="town", answers=('{"town": "Bonn"}', '{"town": 7}'))
    config = ("--task", "town", "--config", "rung.toml")
    code, _, err = label("right.jsonl", *config, typed="2\n")
    assert code == 2
    assert "answer 1: the task's contract doesn't accept that" in err
    assert label("right.jsonl", *config, typed="1\n")[0] == 0
    assert [row["expected"] for row in rows(tmp_path / "right.jsonl")] == [{"town": "Bonn"}]


def test_a_line_that_is_no_answer_writes_nothing(label, failed, tmp_path):
    failed("Which river?", "Which town?")
    for typed in ("3\n", "the Rhine\n", "=\n", "²\n"):
        code, _, err = label("right.jsonl", typed=typed)
        assert code == 2
        assert "not one of the choices" in err
    assert (tmp_path / "right.jsonl").read_text() == ""


def test_a_file_of_something_else_is_refused_and_left_alone(label, failed, tmp_path):
    failed("Which river?")
    for name, content, says in (
        ("right.csv", "", "not a name for JSON lines"),
        ("other.jsonl", "prompt;expected\n", "line 1: this is not a row"),
        ("cut.jsonl", '{"prompt": "Which', "has no end"),
    ):
        (tmp_path / name).write_text(content)
        code, _, err = label(name, typed="1\n")
        assert (code, (tmp_path / name).read_text()) == (2, content)
        assert says in err


def test_rows_of_ones_own_data_stay_and_count(label, failed, tmp_path):
    failed("Which river?", "Which town?")
    mine = {"messages": [{"role": "user", "content": "Which town?"}], "expected": "Bonn"}
    (tmp_path / "right.jsonl").write_text(json.dumps(mine) + "\n\n" + '{"prompt": "Hi", "expected": "Hello"}\n')
    assert label("right.jsonl", typed="= the Rhine\n")[0] == 0
    found = [row for row in (tmp_path / "right.jsonl").read_text().splitlines() if row]
    assert [json.loads(row)["expected"] for row in found] == ["Bonn", "Hello", "the Rhine"]


def test_who_asked_is_shown_and_kept(label, failed, tmp_path):
    failed("Which river?")
    with LedgerFile(tmp_path / "ledger.sqlite3") as file, file.transaction() as connection:
        connection.execute("UPDATE requests SET caller = 'ada'")
    assert label("right.jsonl", "--by", "bob")[1] == "Nothing waits for a label.\n"
    _, _, err = label("right.jsonl", "--by", "ada", typed="= the Rhine\n")
    assert "asked by ada" in err
    assert rows(tmp_path / "right.jsonl")[0]["metadata"]["asked_by"] == "ada"
