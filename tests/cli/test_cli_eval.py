"""`rung eval` as a person meets it: a program of its own, with real files, killed and interrupted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.learn import summary
from rung.learn.intervals import bootstrap

if TYPE_CHECKING:
    from conftest import Program

LADDER = """
[[tier]]
name = "small"
kind = "doubling"
right = {right}
seconds = {seconds}
counts = "{counts}"
min_confidence = {least}

[[tier]]
name = "big"
kind = "doubling"
right = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
counts = "{counts}"
"""

RECORDING = ("eval", "data.jsonl", "--record", "calls", "--together", "2")


def rows(count: int, *, labelled: bool = True) -> str:
    found = ({"prompt": f"double {n}", **({"expected": str(2 * n)} if labelled else {})} for n in range(1, count + 1))
    return "".join(f"{json.dumps(row)}\n" for row in found)


@dataclass
class Done:
    """What came of a command."""

    returncode: int
    stdout: str
    stderr: str


@dataclass
class Person:
    """A person with 20 labelled rows, and a small tier that has the first twelve of them right and is sure of these.

    Commands run in this process, so that the libraries of the figures are imported once; `program` is one of its own.
    """

    program: Program
    capsys: pytest.CaptureFixture[str]

    @property
    def home(self) -> Path:
        return self.program.home

    @property
    def work(self) -> Path:
        return self.program.work

    def __call__(self, *words: str) -> Done:
        code = invoke(words, Interrupts())
        return Done(code, *self.capsys.readouterr())


@pytest.fixture
def person(program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Person:
    (program.work / "data.jsonl").write_text(rows(20))
    (program.work / "bare.jsonl").write_text(rows(20, labelled=False))
    monkeypatch.chdir(program.work)
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("outside")))
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(program.home))
    # intervals are tested where they are made; here fewer draws will do
    monkeypatch.setattr(summary, "bootstrap", partial(bootstrap, resamples=20))
    person = Person(program, capsys)
    ladder(person)
    return person


def ladder(person: Person, *, least: float = 0.9, seconds: float = 0.0) -> None:
    counts = (person.home / "counts").as_posix()
    text = LADDER.format(right=list(range(1, 13)), seconds=seconds, counts=counts, least=least)
    person.program.config(text)


def ask(person: Person, *words: str) -> Done:
    return person("eval", *words, "--config", str(person.home / "rung.toml"))


def calls(person: Person) -> list[str]:
    path = person.home / "counts"
    return path.read_text().splitlines() if path.exists() else []


def as_json(done: Done) -> dict[str, Any]:
    assert not done.returncode, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_the_report_says_what_each_tier_is_worth_and_what_the_ladder_makes_of_them(person: Person) -> None:
    done = ask(person, "data.jsonl")
    said = done.stdout
    assert not done.returncode, done.stderr
    assert re.search(r"^small +60\.0% +36 to 81 +100\.0% +- ", said, re.MULTILINE)
    assert re.search(r"^big +100\.0% +83 to 100 ", said, re.MULTILINE)
    assert re.search(r"^ladder +100\.0% +83 to 100 +100\.0% +40\.0% ", said, re.MULTILINE)
    assert "as accurate as big alone (paired test: p = 1, 20 rows)" in said
    assert "AUROC 1.000" in said
    assert "Surest of small and wrong (row and minimum): 13 (-1.00)" in said


@pytest.mark.slow
def test_the_report_and_the_results_hold_no_text_unless_it_is_asked_for(person: Person) -> None:
    for words, text in ((("data.jsonl",), "double 13"), (("data.jsonl", "--json"), '"value": "24"')):
        bare, whole = ask(person, *words), ask(person, *words, "--texts")
        assert "double" not in bare.stdout + bare.stderr
        assert '"value": "24"' not in bare.stdout
        assert text in whole.stdout


@pytest.mark.slow
def test_json_is_one_object_that_compare_reads(person: Person) -> None:
    before = as_json(ask(person, "data.jsonl", "--json"))
    assert before["summary"]["ladder"]["right"]["value"] == 1.0
    assert len(before["results"]["results"]) == 60
    ladder(person, least=0.0)
    after = as_json(ask(person, "data.jsonl", "--json"))
    for name, found in (("before", before), ("after", after)):
        (person.work / f"{name}.json").write_text(json.dumps(found))
    done = person("eval", "compare", "before.json", "after.json")
    assert re.search(r"^ladder +100\.0% +60\.0% +-40\.0 .* 0\.0078 +8 +0 ", done.stdout, re.MULTILINE)
    assert "Lost by the ladder: rows 13, 14, 15, 16, 17, 18, 19, 20" in done.stdout
    found = as_json(person("eval", "compare", "before.json", "after.json", "--json"))
    assert found["tiers"][-1]["test"] == {
        "first_only": 8,
        "second_only": 0,
        "difference": -0.4,
        "p": 0.0078125,
        "rows": 20,
        "groups": 20,
    }


@pytest.mark.slow
def test_without_labels_each_tier_is_held_against_the_next(person: Person) -> None:
    free = ask(person, "bare.jsonl")
    assert "free text can't be compared" in free.stderr
    done = ask(person, "bare.jsonl", "--same", "exact")
    assert "each tier is compared with the next one" in done.stderr
    assert re.search(r"^small +60\.0% ", done.stdout, re.MULTILINE)
    assert "The ladder's answer differs from big's in 0.0% of 20 rows (95% interval 0 to 17)" in done.stdout


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_where_it_was_and_asks_nothing_twice(person: Person) -> None:
    ladder(person, seconds=0.05)
    words = [*RECORDING, "--config", str(person.home / "rung.toml")]
    running = subprocess.Popen(
        [*person.program.command, *words], cwd=person.work, env=person.program.env, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 30
    while len(calls(person)) < 6 and time.monotonic() < until:
        time.sleep(0.01)
    running.kill()
    running.wait()
    before = calls(person)
    assert 6 <= len(before) < 40
    done = ask(person, *RECORDING[1:], "--json")
    assert not done.returncode, done.stderr
    after = calls(person)
    # the two calls that were under way when it was killed had not been answered
    assert len(after) <= 40 + 2
    assert set(after) == {f"{tier} {n}" for tier in ("small", "big") for n in range(1, 21)}
    whole = ask(person, "data.jsonl", "--json")
    came, whole_came = (
        [(r["row"], r["tier"], r["right"], r["answered_by"], r["features"]) for r in as_json(d)["results"]["results"]]
        for d in (done, whole)
    )
    assert came == whole_came


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_an_interrupted_evaluation_says_what_is_kept(person: Person) -> None:
    ladder(person, seconds=0.2)
    words = [*RECORDING, "--config", str(person.home / "rung.toml")]
    running = subprocess.Popen(
        [*person.program.command, *words], cwd=person.work, env=person.program.env, stderr=subprocess.PIPE
    )
    until = time.monotonic() + 30
    while len(calls(person)) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=30)[1].decode()
    assert running.returncode == 130
    assert re.search(r"\d+ calls are kept in .*calls; the same command continues from there", said)
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_replay_needs_no_model_and_no_configuration(person: Person) -> None:
    first = as_json(ask(person, "data.jsonl", "--record", "calls", "--json"))
    asked = calls(person)
    again = as_json(person("eval", "data.jsonl", "--replay", "calls", "--json"))
    assert calls(person) == asked
    assert again["results"]["results"] == first["results"]["results"]
    if os.name == "posix":
        assert (person.work / "calls").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_replay_tries_another_threshold_without_a_model(person: Person) -> None:
    ask(person, "data.jsonl", "--record", "calls")
    asked = calls(person)
    ladder(person, least=0.0)
    found = as_json(ask(person, "data.jsonl", "--replay", "calls", "--json"))
    assert found["summary"]["ladder"]["right"]["value"] == 0.6
    assert calls(person) == asked


@pytest.mark.slow
def test_a_replay_that_lacks_a_call_names_the_row_and_what_records_it(person: Person) -> None:
    ask(person, "data.jsonl", "--record", "calls")
    done = ask(person, "data.jsonl", "--replay", "calls", "--system", "Be brief.")
    assert done.returncode == 2
    said = done.stderr
    assert re.search(r"row \d+: tier 'small' has no recorded answer", said)
    assert "--record FILE" in said


@pytest.mark.slow
def test_fewer_rows_are_a_sample_that_is_part_of_every_larger_one(person: Person) -> None:
    chosen = []
    for count in ("5", "10"):
        found = as_json(ask(person, "data.jsonl", "--rows", count, "--json"))["results"]
        chosen.append({result["row"] for result in found["results"]})
    assert len(chosen[0]) == 5
    assert chosen[0] < chosen[1]
    assert chosen[0] != {1, 2, 3, 4, 5}


@pytest.mark.slow
def test_the_page_needs_nothing_else_and_the_picture_is_one(person: Person) -> None:
    done = ask(person, "data.jsonl", "--html", "r.html", "--png", "r.png")
    assert not done.returncode, done.stderr
    page = (person.work / "r.html").read_text()
    assert page.count("<svg") == 3
    assert "<script" not in page
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page.replace("http://www.w3.org", ""))
    assert "@import" not in page
    assert 'name="viewport"' in page
    assert "double" not in page
    assert (person.work / "r.png").read_bytes().startswith(b"\x89PNG")


def test_three_rows_one_class_and_bad_rows_are_told_and_not_lost(person: Person) -> None:
    (person.work / "few.jsonl").write_text(f'{rows(3)}{{"prompt": 3}}\nnonsense\n')
    done = ask(person, "few.jsonl")
    said = done.stdout
    assert not done.returncode, done.stderr
    assert "line 4 can't be used" in done.stderr
    assert "2 rows can't be used (line 4, 5)" in said
    assert re.search(r"^small +100\.0% +29 to 100 ", said, re.MULTILINE)
    assert "sending up gains nothing" in said


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("absent.jsonl",), 2, "no such file"),
        (("empty.jsonl",), 2, "holds no row"),
        (("bad.jsonl",), 2, "none of the 2 rows"),
        (("data.json",), 2, "data file; known: .jsonl, "),
        (("data.jsonl", "--check", "exct"), 2, "did you mean 'exact'"),
        (("data.jsonl", "--check", "own:missing"), 2, "there is no module 'own'"),
        (("data.jsonl", "--same", "regex", "--check", "regex"), 2, "can't compare two answers"),
        (("data.jsonl", "--tier", "smal"), 2, "did you mean 'small'"),
        (("data.jsonl", "--record", "a", "--replay", "b"), 2, "can't go together"),
        (("data.jsonl", "--record", "data.jsonl"), 2, "is not a recording"),
        (("data.jsonl", "--replay", "absent"), 2, "no such file"),
        (("data.jsonl", "--html", "absent/r.html"), 2, "there is no such folder"),
        (("data.jsonl", "--rows", "0"), 2, "greater than or equal to 1"),
        (("data.jsonl", "--max-cost", "much"), 2, "amount of money"),
        (("data.jsonl", "--reach", "moon"), 2, "moon"),
        ((), 2, "missing argument"),
        (("compare", "data.jsonl", "data.jsonl"), 2, "rung eval DATA --json > FILE"),
        (("compare", "data.jsonl"), 2, "missing argument"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(
    person: Person, words: tuple[str, ...], code: int, says: str
) -> None:
    (person.work / "empty.jsonl").write_text("")
    (person.work / "bad.jsonl").write_text("1\n2\n")
    (person.work / "data.json").write_text("[]")
    options = () if words[:1] == ("compare",) else ("--config", str(person.home / "rung.toml"))
    done = person("eval", *words, *options)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not calls(person)
    assert (person.work / "data.jsonl").read_text() == rows(20)


def test_a_check_that_raises_ends_it_soon_and_says_which_error(person: Person) -> None:
    (person.work / "own.py").write_text("def check(answer, expected):\n    raise KeyError(answer)\n")
    done = ask(person, "data.jsonl", "--check", "own:check", "--together", "1")
    assert done.returncode == 2
    assert "none of the first 3 answers can be graded: the check raised KeyError" in done.stderr
    assert len(calls(person)) < 10


@pytest.mark.slow
def test_an_unknown_feature_is_told_and_nothing_is_lost_by_it(person: Person) -> None:
    done = ask(person, "data.jsonl", "--score", "minmum")
    assert not done.returncode
    assert "no answer has the feature 'minmum', so minimum is used; known: " in done.stderr
    assert "by its minimum" in done.stdout


def test_a_data_file_that_is_called_compare_can_still_be_named(person: Person) -> None:
    Path(person.work / "compare.jsonl").write_text(rows(3))
    assert not ask(person, "./compare.jsonl").returncode
