"""`rung calibrate --check` as a gate: fresh rows against the certificate of a task."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import rung
from helpers.doubler import Doubler

if TYPE_CHECKING:
    from conftest import Program

ROWS = range(1, 81)
EVERY = list(range(2000))
SURE_AND_WRONG = range(1000, 1500)


@pytest.fixture(scope="module")
def certificate() -> dict[str, str]:
    """The files of the calibrated task, once there are any."""
    return {}


@pytest.fixture
def person(
    program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, certificate: dict[str, str]
) -> Doubler:
    """Somebody with a certificate. From 1000 to 1499 the small tier is sure and wrong."""
    doubler = Doubler(program, capsys, monkeypatch)
    ladder(doubler)
    doubler.data(ROWS)
    if not certificate:
        assert doubler("calibrate", "data.csv", "--json").object["certified"]
        certificate |= {path.name: path.read_text() for path in doubler.folder.iterdir()}
    for name, content in certificate.items():
        (doubler.folder / name).write_text(content)
    return doubler


def ladder(person: Doubler, **small: object) -> None:
    right = [n for n in EVERY if n % 4 and n not in SURE_AND_WRONG]
    person.ladder({"right": right, "logprobs": dict.fromkeys(SURE_AND_WRONG, -0.01), **small}, {"right": EVERY})


@pytest.mark.slow
def test_rows_as_before_confirm_it_and_bad_ones_contradict_it_with_exit_code_1(person: Doubler) -> None:
    learned = (person.folder / "learned.json").read_text()
    good = person("calibrate", person.data(range(200, 280), "good.csv"), "--check", "--json")
    assert (good.code, good.object["verdict"], good.object["rows"], good.object["losses"]) == (0, "confirmed", 80, 0)
    assert good.object["sentences"] == [
        "The certificate is confirmed (at most 3 in 100 answers differ from what mid alone would say): 0 of 80 fresh "
        "rows are lost. These rows alone would promise as much."
    ]
    bad = person("calibrate", person.data(range(996, 1008), "bad.csv"), "--check", "--json")
    assert (bad.code, bad.object["verdict"], bad.object["losses"], bad.object["rows"]) == (1, "contradicted", 8, 12)
    assert bad.object["p"] < 1e-6
    assert bad.object["sentences"][0].startswith("The certificate is contradicted")
    assert "8 of 12 fresh rows are lost" in bad.object["sentences"][0]
    few = person("calibrate", person.data(range(300, 330), "few.csv"), "--check")
    assert few.code == 0
    assert few.out.startswith("Too few rows to tell whether the certificate holds")
    assert (person.folder / "learned.json").read_text() == learned


@pytest.mark.slow
def test_a_check_is_recorded_and_replayed(person: Doubler) -> None:
    data = person.data(range(200, 280), "good.csv")
    first = person("calibrate", data, "--check", "--record", "calls", "--json").object
    asked = person.calls()
    assert person("calibrate", data, "--check", "--replay", "calls", "--json").object == first
    assert person.calls() == asked
    lacking = person("calibrate", person.data(range(400, 480), "other.csv"), "--check", "--replay", "calls")
    assert "record it with `rung calibrate DATA --task NAME --check --record FILE`" in lacking.err


@pytest.mark.slow
def test_rows_that_took_part_are_not_fresh_whatever_their_file_or_case(person: Doubler) -> None:
    done = person("calibrate", "data.csv", "--check")
    assert done.code == 2
    assert "none of the 80 rows is fresh" in done.err
    mixed = person.program.work / "mixed.jsonl"
    rows = [f"Double  {n}!" for n in range(1, 51)] + [f"double {n}" for n in range(200, 280)]
    mixed.write_text("".join(f"{json.dumps({'prompt': row})}\n" for row in rows))
    done = person("calibrate", "mixed.jsonl", "--check", "--json")
    assert done.code == 0, done.err
    assert (done.object["rows"], done.object["left_out"]) == (80, 50)
    assert "50 rows took part in a calibration, so they aren't fresh and are left out" in done.err


@pytest.mark.slow
def test_another_build_asks_for_a_check_and_a_passed_one_answers_it(
    program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Doubler(program, capsys, monkeypatch)
    ladder(person, build="1")
    assert person("calibrate", person.data(ROWS), "--json").object["certified"]
    ladder(person, build="2")
    asks = "build was 1 when the task was calibrated, and is now 2: `rung calibrate --check` on fresh rows tells"
    assert any(note.startswith(asks) for note in noted(person))
    assert asks in shown(person)
    few = person("calibrate", person.data(range(200, 220), "few.csv"), "--check")
    assert few.code == 0
    assert any(note.startswith(asks) for note in noted(person)), "too few rows answer nothing"
    done = person("calibrate", person.data(range(300, 380), "good.csv"), "--check")
    assert "the present setup of the tiers was checked" in done.err
    assert not noted(person)
    assert asks not in shown(person)
    assert "on 80 fresh rows with build = 2" in shown(person)
    ladder(person, build="3")
    asks = "build was 1 when the task was calibrated, and is now 3: `rung calibrate --check` on fresh rows tells"
    assert any(note.startswith(asks) for note in noted(person)), "a check answers for the build that it ran on"


def noted(person: Doubler) -> tuple[str, ...]:
    with rung.load(person.program.home / "rung.toml") as ladder:
        return ladder.run({"n": "401"}, task="double").attempts[0].notes


def shown(person: Doubler) -> str:
    done = person.program("task", "show", "double", "--config", str(person.program.home / "rung.toml"))
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.mark.slow
def test_what_can_not_be_checked_is_said_with_what_helps(person: Doubler) -> None:
    fresh = person.data(range(200, 280), "fresh.csv")
    for words, says in (
        ((fresh, "--check", "--within", "0.05"), "--check takes the promise as it is"),
        ((fresh, "--check", "--tier", "mid"), "a calibration needs two tiers"),
    ):
        done = person("calibrate", *words)
        assert done.code == 2
        assert says in done.err
    ladder(person, repairs=0)
    done = person("calibrate", fresh, "--check")
    assert done.code == 2
    assert "is void, because the number of repairs changed since" in done.err
    (person.folder / "learned.json").unlink()
    done = person("calibrate", fresh, "--check")
    assert done.code == 2
    assert "nothing is promised of the task 'double'" in done.err


@pytest.mark.slow
def test_a_promise_about_right_answers_is_confirmed_without_labels_where_few_differ(person: Doubler) -> None:
    rows = "n,expected\n" + "".join(f"{n},{2 * n}\n" for n in range(600, 680))
    (person.program.work / "labelled.csv").write_text(rows)
    found = person("calibrate", "labelled.csv", "--json").object
    assert (found["question"]["kind"], found["certified"]) == ("worse", True)
    assert person("calibrate", person.data(range(200, 280), "good.csv"), "--check", "--json").object["unknown"] == 0
    bad = person("calibrate", person.data(range(996, 1008), "bad.csv"), "--check", "--json")
    assert (bad.code, bad.object["verdict"], bad.object["unknown"]) == (0, "too few rows to tell", 8)
    assert "8 are unknown" in bad.object["sentences"][0]
    rows = "n,expected\n" + "".join(f"{n},{2 * n}\n" for n in range(996, 1008))
    (person.program.work / "bad_labelled.csv").write_text(rows)
    assert person("calibrate", "bad_labelled.csv", "--check").code == 1
