"""`rung tune` as a person meets it, on scripted tiers: what it says and keeps, and what a calibration makes of it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rung
from helpers.program import environment
from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.config import load
from rung.learn import axes, calibrating, tuning
from rung.learn import tuned as tuned_values
from rung.learn.examples import read_examples
from rung.learn.halving import halvings
from rung.learn.learned import read_learned
from rung.learn.making import make_task
from rung.learn.tasks import open_task

if TYPE_CHECKING:
    from conftest import Program

LADDER = """
[[tier]]
name = "small"
kind = "doubling"
right = "{right}"
learns = {learns}
seconds = {seconds}
shown_seconds = {shown_seconds}
counts = "{counts}"

[[tier]]
name = "mid"
kind = "doubling"
right = "{everything}"
seconds = {next_seconds}
counts = "{counts}"

[ledger]
path = "{ledger}"
content = {content}
"""
ROWS = 150
Tune = Callable[..., tuple[int, str, str]]


@contextmanager
def recorded(toml: Path) -> Iterator[rung.Ladder]:
    """The ladder of a configuration. At the end all that was asked of it is in the ledger's file."""
    found = load(toml)
    ledger = found.ledger.ledger()
    assert ledger is not None
    with ledger, found.ladder(ledger=ledger) as ladder:
        yield ladder


@pytest.fixture
def person(program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A person with prompts, a task, and a small tier that is right with examples and every third time without."""
    monkeypatch.setattr(axes, "FEW", 3)
    monkeypatch.setattr(tuning, "halvings", lambda forms, rows, answers: halvings(forms, min(rows, 24), answers))
    monkeypatch.setattr(calibrating, "_DRAWS", 30)
    monkeypatch.setattr(tuned_values, "_FREE", 1e9)  # scripted tiers take no time, and a busy machine makes some of it
    monkeypatch.chdir(program.work)
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("outside")))
    monkeypatch.delenv("RUNG_LEDGER", raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(program.home))
    make_task(program.home / "tasks" / "double", {"prompt": "double {n}", "regex": "[0-9]+"})

    class Person:
        home, work = program.home, program.work
        task = program.home / "tasks" / "double"

        def ladder(
            self,
            *,
            learns: bool = True,
            seconds: float = 0.0,
            shown_seconds: float = 0.0,
            next_seconds: float = 0.0,
            content: bool = True,
        ) -> None:
            program.config(
                LADDER.format(
                    right=[n for n in range(2000) if n % 3 == 0],
                    everything=list(range(2000)),
                    counts=(program.home / "counts").as_posix(),
                    ledger=(program.home / "ledger.sqlite3").as_posix(),
                    learns=str(learns).lower(),
                    content=str(content).lower(),
                    seconds=seconds,
                    shown_seconds=shown_seconds,
                    next_seconds=next_seconds,
                )
            )

        def rows(self, numbers: range = range(1, ROWS + 1), *, labelled: bool = True) -> None:
            lines = ["n,expected", *(f"{n},{2 * n if labelled else ''}" for n in numbers)]
            (program.work / "data.csv").write_text("\n".join(lines) + "\n")

        def says(self, *words: str) -> tuple[int, str, str]:
            code = invoke((*words, "--config", str(program.home / "rung.toml")), Interrupts())
            return code, *capsys.readouterr()

        def object(self, *words: str) -> dict[str, Any]:
            code, out, err = self.says(*words, "--json")
            assert code == 0, err
            found: dict[str, Any] = json.loads(out)
            return found

        def asked(self) -> int:
            counts = program.home / "counts"
            return len(counts.read_text().splitlines()) if counts.exists() else 0

    person = Person()
    person.ladder()
    person.rows()
    return person


@pytest.mark.slow
def test_a_better_form_is_found_said_kept_and_used(person: Any) -> None:
    code, out, err = person.says("tune", "data.csv", "--task", "double", "--tier", "small")
    assert code == 0, err
    assert "min buy" in err
    assert "small gets on better in this form: 4 similar examples" in out
    assert "What each choice brought small" in out
    learned = read_learned(person.task).forms["small"]
    assert learned.finished
    assert learned.form.examples == "similar"
    assert "rows that took no part in the choice it has 100% right" in learned.says
    examples = person.task / "examples.json"
    assert stat.S_IMODE(examples.stat().st_mode) == 0o600
    assert "double 1" not in (person.task / "learned.json").read_text()
    files, _ = open_task(person.task, trusted=True).files()
    assert {path.name for path in files} == {"task.toml", "learned.json"}, "a kit carries no examples"
    asked = person.says("ask", "--task", "double", "--field", "n=1999")
    assert asked[1].strip() == "3998"


@pytest.mark.slow
def test_where_nothing_is_better_nothing_is_written(person: Any) -> None:
    person.ladder(learns=False)
    found = person.object("tune", "data.csv", "--task", "double", "--tier", "small")
    (small,) = found["tiers"]
    assert (small["changed"], small["finished"]) == (False, True)
    assert "nothing beats rung's own form" in small["sentences"][0]
    assert not (person.task / "learned.json").exists()


@pytest.mark.slow
def test_a_form_makes_what_was_calibrated_void_and_a_calibration_keeps_the_form(person: Any) -> None:
    person.rows(labelled=False)
    person.object("calibrate", "data.csv", "--task", "double")
    told = person.object("tune", "data.csv", "--task", "double")
    assert any("run `rung calibrate` anew" in note for note in told["notes"])
    assert open_task(person.task, trusted=True).void() == {"small": ("the form",)}
    person.rows(range(200, 200 + ROWS), labelled=False)
    person.object("calibrate", "data.csv", "--task", "double")
    learned = read_learned(person.task)
    assert learned.forms["small"].form.examples == "similar"
    assert learned.tiers["small"].evidence.form
    assert open_task(person.task, trusted=True).void() == {}


@pytest.mark.slow
def test_time_that_is_over_leaves_the_best_so_far_and_says_so(person: Any) -> None:
    """What the time buys is planned by rung's own form, and here others take far longer."""
    person.ladder(shown_seconds=0.5)
    found = person.object("tune", "data.csv", "--task", "double", "--tier", "small", "--minutes", "0.05")
    (small,) = found["tiers"]
    assert not small["finished"]
    assert any("The time was over" in sentence for sentence in small["sentences"])


@pytest.mark.slow
def test_a_kill_keeps_the_best_so_far_and_a_second_start_goes_on(person: Any, tmp_path: Path) -> None:
    person.ladder(seconds=0.02, next_seconds=0.5)
    words = ("tune", "data.csv", "--task", "double", "--tier", "small", "--minutes", "5")
    config = ("--config", str(person.home / "rung.toml"))
    outside = str(Path(__file__).with_name("outside"))
    env = {**environment(person.home), "PYTHONPATH": outside}
    command = [sys.executable, "-m", "rung", *words, *config]
    with subprocess.Popen(
        command, cwd=person.work, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as it:
        until = time.monotonic() + 60
        while "small" not in read_learned(person.task).forms and time.monotonic() < until:
            time.sleep(0.02)
        it.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    kept = read_learned(person.task).forms["small"]
    assert not kept.finished
    assert "the best so far of a tuning that was cut short" in person.says("task", "show", "double")[1]
    before = person.asked()
    asked = person.says(*words)
    assert asked[0] == 0, asked[2]
    assert read_learned(person.task).forms["small"].finished
    counted = (person.home / "counts").read_text().splitlines()
    again = person.says(*words)
    assert again[0] == 0
    assert (person.home / "counts").read_text().splitlines() == counted
    assert before < len(counted)


@pytest.mark.slow
def test_what_a_higher_tier_answered_becomes_an_example_at_the_next_calibration(person: Any) -> None:
    with rung.load(person.home / "rung.toml") as ladder:
        for n in range(301, 307):
            ladder.run({"n": str(n)}, task="double", validators=[])
        # the small tier's own answers are accepted here: only what a higher tier answered counts
    nothing = person.says("tune", "--task", "double", "--from-ledger")
    assert "0 requests were answered by a higher tier" in nothing[1]

    toml = person.home / "rung.toml"
    toml.write_text(toml.read_text().replace("counts", "min_confidence = 0.9\ncounts", 1))
    with recorded(toml) as ladder:
        for n in range(401, 413):
            ladder.run({"n": str(n)}, task="double")
    found = person.object("tune", "--task", "double", "--from-ledger")
    (small,) = found["tiers"]
    assert (small["escalated"], small["new"]) == (8, 8)
    assert person.object("tune", "--task", "double", "--from-ledger")["tiers"][0]["new"] == 0

    with rung.load(toml) as ladder:  # they wait: nothing is shown yet
        assert ladder.run({"n": "500"}, task="double").attempts[0].text == "0"
    assert "8 wait for the next `rung calibrate`" in person.says("task", "show", "double")[1]
    person.rows(range(401, 401 + ROWS), labelled=False)
    code, _, err = person.says("calibrate", "data.csv", "--task", "double")
    assert code == 0, err
    assert "8 examples from escalations that waited" in err
    assert "rows that would certify are examples, so they are left out" in err
    with rung.load(toml) as ladder:
        assert ladder.run({"n": "701"}, task="double").tier == "small"
    shown = person.says("task", "show", "double", "--examples")[1]
    assert 'double 401 -> "802"' in shown

    name = read_examples(person.task).of("small").entries[0].id
    assert "1 example is gone" in person.says("task", "forget", "double", "--example", name)[1]
    assert open_task(person.task, trusted=True).void()["small"] == ("the form",)
    assert "7 examples are gone" in person.says("task", "forget", "double", "--from-ledger")[1]
    assert "rung's own form again" in person.says("task", "forget", "double", "--form", "small")[1]
    assert read_learned(person.task).forms == {}


def test_a_ledger_without_texts_gives_no_examples_and_says_what_helps(person: Any) -> None:
    person.ladder(content=False)
    toml = person.home / "rung.toml"
    toml.write_text(toml.read_text().replace("counts", "min_confidence = 0.9\ncounts", 1))
    with recorded(toml) as ladder:
        ladder.run({"n": "401"}, task="double")
    code, _, err = person.says("tune", "--task", "double", "--from-ledger")
    assert code == 2
    assert "content = true" in err
    assert not (person.task / "examples.json").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("data.csv", "--task", "double", "--tier", "smal"), "there is no tier 'smal'"),
        (("--task", "double"), "there is no data to tune by"),
        (("data.csv", "--task", "double", "--from-ledger"), "can't go together"),
        (("--task", "double", "--from-ledger"), "has no answered request"),
        (("data.csv", "--task", "double", "--minutes", "0"), "minutes"),
    ],
)
def test_a_wrong_call_is_a_sentence(person: Any, words: tuple[str, ...], says: str) -> None:
    code, _, err = person.says("tune", *words)
    assert code == 2
    assert says in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "nothing was named to forget"),
        (("--example", "00000000"), "has no example '00000000'"),
        (("--form", "smal"), "nothing is kept of tier 'smal'"),
    ],
)
def test_forgetting_what_isnt_there_is_a_sentence(person: Any, words: tuple[str, ...], says: str) -> None:
    code, _, err = person.says("task", "forget", "double", *words)
    assert code == 2
    assert says in err


@pytest.mark.parametrize(
    ("wordings", "says"),
    [
        ('["Pick one."]', "doesn't say what the answer must be"),
        ('["Pick {option}."]', "doesn't say what the answer must be"),
        ('["Fill {schema}."]', "doesn't say what the answer must be"),
    ],
)
def test_a_wording_that_breaks_the_prompt_is_refused_when_the_task_is_read(
    person: Any, wordings: str, says: str
) -> None:
    file = person.task / "task.toml"
    file.write_text(file.read_text() + f"wordings = {wordings}\n")
    code, _, err = person.says("tune", "data.csv", "--task", "double")
    assert code == 2
    assert says in err
    assert "{pattern}" in err


@pytest.mark.slow
def test_a_wording_of_the_persons_is_tried(person: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = person.task / "task.toml"
    file.write_text(file.read_text() + 'wordings = ["Only digits, as in {pattern}."]\n')
    monkeypatch.setattr(axes, "FEW", 5)
    found = person.object("tune", "data.csv", "--task", "double", "--tier", "small")
    assert "Only digits" in json.dumps(found["tiers"][0]["tried"])
