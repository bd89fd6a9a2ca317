"""`rung batch` as a person meets it: a program with real files, interrupted, and started again."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.learn.data import read as data_rows
from rung.learn.rows import Row
from rung.learn.templates import Template

if TYPE_CHECKING:
    from conftest import Program

LADDER = """
[[tier]]
name = "small"
kind = "doubling"
right = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
seconds = {seconds}
counts = "{counts}"
min_confidence = 0.9

[[tier]]
name = "big"
kind = "doubling"
right = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
counts = "{counts}"
"""


@dataclass
class Done:
    """What came of a command."""

    code: int
    stdout: str
    stderr: str


@dataclass
class Person:
    """A person with 20 rows in `data.csv`, and a small tier that is sure of the first twelve."""

    program: Program
    capsys: pytest.CaptureFixture[str]

    @property
    def work(self) -> Path:
        return self.program.work

    def ladder(self, seconds: float = 0.0) -> None:
        self.program.config(LADDER.format(seconds=seconds, counts=(self.program.home / "counts").as_posix()))

    def __call__(self, *words: str) -> Done:
        config = () if words[1] == "merge" else ("--config", str(self.program.home / "rung.toml"))
        return Done(invoke([*words, *config], Interrupts()), *self.capsys.readouterr())

    def batch(self, *words: str) -> Done:
        return self("batch", "data.csv", "--template", "double {{ n }}", *words)

    def calls(self) -> list[str]:
        path = self.program.home / "counts"
        return path.read_text().splitlines() if path.exists() else []

    def read(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.work / name).read_text().splitlines()]


@pytest.fixture
def person(program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Person:
    (program.work / "data.csv").write_text("id,n\n" + "".join(f"r{n},{n}\n" for n in range(1, 21)))
    monkeypatch.chdir(program.work)
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("outside")))
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(program.home))
    person = Person(program, capsys)
    person.ladder()
    return person


@pytest.mark.slow
def test_every_row_is_answered_and_the_end_says_how_they_add_up(person: Person) -> None:
    done = person.batch("--out", "out.jsonl")
    assert done.code == 0, done.stderr
    assert done.stdout == f"{person.work / 'out.jsonl'}\n"
    assert "20 rows = 20 accepted + 0 rejected + 0 bad" in done.stderr
    found = person.read("out.jsonl")
    assert [(row["id"], row["value"]) for row in found] == [(f"r{n}", str(2 * n)) for n in range(1, 21)]
    assert [row["tier"] for row in found] == ["small"] * 12 + ["big"] * 8
    assert "attempts" not in found[0]
    assert not (person.work / "out.rejects.jsonl").exists()
    asked = person.calls()
    assert person.batch("--out", "out.jsonl", "--attempts").code == 0
    assert person.calls() == asked
    assert [a["tier"] for a in person.read("out.jsonl")[19]["attempts"]] == ["small", "big"]


@pytest.mark.slow
def test_rejected_and_bad_rows_stand_apart_with_their_reasons_and_the_exit_code_says_so(person: Person) -> None:
    with (person.work / "data.csv").open("a") as out:
        out.write("r1,5\nr22\nr23,23\n")
    done = person.batch("--out", "out.csv", "--regex", "[1-9][0-9]*", "--json")
    assert done.code == 3
    told = json.loads(done.stdout)
    assert {key: told[key] for key in ("status", "rows", "accepted", "rejected", "bad", "open")} == {
        "status": "complete",
        "rows": 23,
        "accepted": 20,
        "rejected": 1,
        "bad": 2,
        "open": 0,
    }
    rejects = person.read("out.rejects.jsonl")
    assert [(row["id"], row["status"], row["detail"]) for row in rejects[:2]] == [
        ("r1", "bad", "its id stands already in line 2"),
        ("", "bad", "it has 1 cells, but the head has 2"),
    ]
    assert rejects[2]["id"] == "r23"
    assert rejects[2]["best"] == "0"
    assert (person.work / "out.csv").read_text().startswith("id,line,value,tier,verdict,")


@pytest.mark.slow
def test_another_job_on_the_same_output_is_refused(person: Person) -> None:
    assert person.batch("--out", "out.jsonl").code == 0
    done = person.batch("--out", "out.jsonl", "--regex", "[0-9]+", "--max-tokens", "9")
    assert done.code == 2
    assert "belongs to another job, with something else for the contract and the limits of an answer" in done.stderr
    assert "name another --out, or remove" in done.stderr
    assert person.batch("--out", "out.jsonl", "--tier", "small").code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "out.xlsx"], "is not a kind of file that is written"),
        (["--out", "out.jsonl", "--shard", "9/8"], "is not a share; write 3/8"),
        (["--out", "out.jsonl", "--order", "tier"], "is not an order; did you mean 'tiers'?"),
        (["--out", "out.jsonl", "--prompt", "n"], "--prompt and --template can't go together"),
        (["--out", "out.jsonl", "--id", "nr"], "there is no column 'nr' for --id; did you mean 'n'?"),
        (["--out", "out.jsonl", "--rejects", "out.jsonl"], "name the same file"),
        (["--out", "out.jsonl", "--max-cost", "much"], "is not an amount of money"),
        (["--out", "out.jsonl", "--on", "ray"], "Ray tries a link-local metadata address and a public resolver"),
        (["--out", "out.jsonl", "--on", "spark"], "--on 'spark' is not a cluster; write ray for this machine"),
        (["--out", "out.jsonl", "--on", "ray", "--order", "stream"], "--order stream can't go with it"),
        (["--out", "out.jsonl", "--actors", "2"], "--actors says nothing without --on"),
    ],
)
def test_wrong_words_are_sentences(person: Person, words: list[str], said: str) -> None:
    done = person.batch(*words)
    assert done.code == 2
    assert said in done.stderr
    assert person.calls() == []


@pytest.mark.slow
def test_an_estimate_asks_a_sample_keeps_it_and_goes_on_only_if_somebody_says_so(person: Person) -> None:
    done = person.batch("--out", "out.jsonl", "--estimate", "8")
    assert done.code == 0
    assert re.search(r"from 8 rows, for the 12 that are left \(95% intervals\):", done.stderr)
    assert re.search(r"  sent up by the first tier: \d+% \(\d+% to \d+%\)", done.stderr)
    assert "  cost: nothing; no tier that may be asked costs money" in done.stderr
    assert "what the sample answered is kept" in done.stderr
    assert len(person.read("out.jsonl")) == 8
    asked = person.calls()
    assert person.batch("--out", "out.jsonl", "--estimate", "8", "--yes").code == 0
    assert len(person.read("out.jsonl")) == 20
    assert person.calls()[: len(asked)] == asked
    assert len(person.calls()) == 28


def test_a_page_shows_answers_and_holds_no_way_out(person: Person) -> None:
    (person.work / "data.csv").write_text('id,n\nr1,"1 </script><b>x"\nr2,2\n')
    done = person.batch("--out", "out.jsonl", "--sample", "5")
    assert done.code == 0, done.stderr
    page = (person.work / "out.jsonl.review.html").read_text()
    assert f"the page for review is {person.work / 'out.jsonl.review.html'}" in done.stderr
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    shown = json.loads(data)
    assert [row["answer"] for row in shown] == ["2", "4"]
    assert shown[0]["label"] == {"messages": [{"role": "user", "content": "double 1 </script><b>x"}]}
    assert "http" not in page.replace("http-equiv", "")
    # what the page saves is a labelled row of a task, whether or not it has a template
    labels = person.work / "labels.jsonl"
    labels.write_text("".join(json.dumps({**row["label"], "expected": row["value"]}) + "\n" for row in shown))
    found = list(data_rows(labels, Template("double {n}")))
    assert [row.expected for row in found if isinstance(row, Row)] == ["2", "4"]


@pytest.mark.slow
def test_shards_are_merged(person: Person) -> None:
    for number in (1, 2):
        assert person.batch("--out", f"part{number}.jsonl", "--shard", f"{number}/2").code == 0
    done = person("batch", "merge", "all.jsonl", "part1.jsonl", "part2.jsonl")
    assert done.code == 0, done.stderr
    assert [row["id"] for row in person.read("all.jsonl")] == [f"r{n}" for n in range(1, 21)]
    assert "20 rows = 20 accepted + 0 rejected + 0 bad" in done.stderr
    assert person("batch", "merge", "all.jsonl", "part1.jsonl").code == 2
    assert person("batch", "merge", "some.jsonl", "all.jsonl").code == 2


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize("twice", [False, True])
def test_ctrl_c_finishes_what_is_under_way_and_twice_stops_at_once(person: Person, twice: bool) -> None:
    person.ladder(seconds=0.5)
    words = ["batch", "data.csv", "--template", "double {{ n }}", "--out", "out.jsonl", "--together", "2"]
    with person.program.start(*words, "--config", str(person.program.home / "rung.toml")) as running:
        until = time.monotonic() + 30
        while len(person.calls()) < 4 and time.monotonic() < until:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        if twice:
            time.sleep(0.1)
            running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert b"finishing the rows that are under way" in said
    assert b"Traceback" not in said
    if not twice:
        assert b"the same command goes on from here" in said
        assert len(person.read("out.jsonl")) >= 2
    asked = len(person.calls())
    assert person.batch("--out", "out.jsonl", "--together", "20").code == 0
    assert len(person.read("out.jsonl")) == 20
    # only what was under way is asked again
    assert len(person.calls()) <= 28 + (6 if twice else 0)
    assert asked < 28


def test_openais_form_comes_out_as_it_went_in(person: Person) -> None:
    body = {"model": "any", "messages": [{"role": "user", "content": "double 4"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    (person.work / "in.jsonl").write_text(json.dumps(line) + "\n")
    assert person("batch", "in.jsonl", "--out", "out.jsonl").code == 0
    (found,) = person.read("out.jsonl")
    assert found["custom_id"] == "a"
    assert found["response"]["body"]["choices"][0]["message"]["content"] == "8"


def test_a_folder_of_texts_is_asked_file_by_file(person: Person) -> None:
    (person.work / "docs").mkdir()
    for n in (3, 4):
        (person.work / "docs" / f"{n}.txt").write_text(f"double {n}")
    assert person("batch", "docs", "--out", "out.jsonl").code == 0
    assert [(row["id"], row["value"]) for row in person.read("out.jsonl")] == [("3.txt", "6"), ("4.txt", "8")]


def test_a_task_gives_prompt_and_contract(person: Person) -> None:
    folder = person.program.home / "tasks" / "doubles"
    folder.mkdir(parents=True)
    (folder / "task.toml").write_text('prompt = "double {n}"\nregex = "[0-9]+"\n')
    done = person("batch", "data.csv", "--out", "out.jsonl", "--task", "doubles")
    assert done.code == 0, done.stderr
    assert [row["value"] for row in person.read("out.jsonl")][:3] == ["2", "4", "6"]
