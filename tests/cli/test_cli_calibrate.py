"""`rung calibrate` as a person meets it, on two scripted tiers: what it says, and what a calibrated task then does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rung
from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.learn import calibrating
from rung.learn.making import make_task

if TYPE_CHECKING:
    from conftest import Program

LADDER = """
[[tier]]
name = "small"
kind = "doubling"
right = "{right}"
counts = "{counts}"

[[tier]]
name = "mid"
kind = "doubling"
right = "{everything}"
counts = "{counts}"
"""
ROWS = 180
WRONG = {n for n in range(1, ROWS + 1) if n % 4 == 0}

Calibrate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def calibrate(program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Calibrate:
    """A person with prompts, a task, and a small tier that is unsure where it is wrong, which is every fourth."""
    everything = list(range(10 * ROWS))
    good = [n for n in everything if n % 4]
    counts = (program.home / "counts").as_posix()
    program.config(LADDER.format(right=good, everything=everything, counts=counts))
    make_task(program.home / "tasks" / "double", {"prompt": "double {n}", "regex": "[0-9]+"})
    make_task(program.home / "tasks" / "chat", {"prompt": "double {n}"})
    monkeypatch.chdir(program.work)
    # intervals are tested where they are made; here fewer draws will do
    monkeypatch.setattr(calibrating, "_DRAWS", 30)
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("outside")))
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(program.home))

    def run(*words: str, task: str = "double", rows: range = range(1, ROWS + 1), labelled: bool = False) -> Any:
        head, line = ("n,expected", "{n},{two}") if labelled else ("n", "{n}")
        lines = [head, *(line.format(n=n, two=2 * n) for n in rows)]
        (program.work / "data.csv").write_text("\n".join(lines) + "\n")
        code = invoke(
            ("calibrate", "data.csv", "--task", task, *words, "--config", str(program.home / "rung.toml")), Interrupts()
        )
        return code, *capsys.readouterr()

    run.home = program.home  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="module")
def calibration() -> dict[str, str]:
    """What a calibration without labels said, and the files of the task behind it, once there is one."""
    return {}


@pytest.fixture
def calibrated(calibrate: Calibrate, calibration: dict[str, str]) -> dict[str, Any]:
    """What it said; the task is calibrated."""
    folder = home_of(calibrate) / "tasks" / "double"
    if not calibration:
        calibration["said"] = json.dumps(object_of(calibrate("--json")))
        calibration |= {path.name: path.read_text() for path in folder.iterdir()}
    for name, content in calibration.items():
        if name != "said":
            (folder / name).write_text(content)
    found: dict[str, Any] = json.loads(calibration["said"])
    return found


def object_of(done: tuple[int, str, str]) -> dict[str, Any]:
    assert done[0] == 0, done[2]
    found: dict[str, Any] = json.loads(done[1])
    return found


def home_of(calibrate: Calibrate) -> Path:
    home: Path = calibrate.home  # type: ignore[attr-defined]
    return home


@pytest.mark.slow
def test_prompts_alone_give_a_certificate_whose_sentences_say_what_the_numbers_say(calibrated: dict[str, Any]) -> None:
    found = calibrated
    assert (found["promised"], found["certified"], found["look"]) == (True, True, "first")
    assert found["fit_rows"] + found["certify_rows"] == found["rows"] == ROWS
    small = found["tiers"][0]
    assert small["good"] == ROWS - len(WRONG)
    assert found["losses"] <= 0.03 * found["certify_rows"]
    assert found["kept"] == small["kept"] >= 0.6 * found["certify_rows"]
    first, *others = found["sentences"]
    assert first == (
        "On prompts drawn like these 180, at most 3 in 100 answers differ from what mid alone would say. So the ladder "
        "is at most 3 points less accurate than mid, however good mid is. How good mid is, this can't tell. The method "
        "is right in 90% of samples."
    )
    kept = re.search(r"small answers ([\d,]+) of the ([\d,]+) prompts that certify \((\d+)%\)", " ".join(others))
    assert kept is not None
    share = round(100 * found["kept"] / found["certify_rows"])
    assert [int(n) for n in kept.groups()] == [found["kept"], found["certify_rows"], share]
    alone = re.search(r"small agrees with mid on (\d+) of 180 prompts", " ".join(others))
    assert alone is not None
    assert int(alone.group(1)) == small["good"]


@pytest.mark.slow
@pytest.mark.usefixtures("calibrated")
def test_a_calibrated_task_sends_an_unsure_answer_up_and_takes_a_sure_one(calibrate: Calibrate) -> None:
    with rung.load(home_of(calibrate) / "rung.toml") as ladder:
        sure, unsure = ladder.run({"n": "401"}, task="double"), ladder.run({"n": "404"}, task="double")
    assert unsure.tier == "mid"
    assert [attempt.reason for attempt in unsure.attempts] == ["low_confidence", "valid"]
    assert sure.tier == "small"
    attempt = sure.attempts[0]
    assert attempt.threshold is not None
    assert attempt.score is not None
    assert attempt.score > attempt.threshold.above
    probability = attempt.threshold.probability(attempt.score)
    assert probability is not None
    assert probability > 0.9
    assert attempt.threshold.origin.startswith("calibrated ")
    assert not any("void" in note for a in (*unsure.attempts, *sure.attempts) for note in a.notes)


@pytest.mark.slow
def test_the_same_look_again_certifies_and_another_one_is_an_estimate(calibrate: Calibrate) -> None:
    object_of(calibrate("--json"))
    before = (home_of(calibrate) / "tasks" / "double" / "learned.json").read_text()
    assert object_of(calibrate("--json"))["look"] == "same"
    for words in (("--within", "0.05"), ("--feature", "sum")):
        later = object_of(calibrate("--json", *words))
        assert (later["look"], later["certified"]) == ("later", False), words
        assert later["sentences"][0].startswith("This is an estimate and not a certificate")
    labelled = object_of(calibrate("--json", labelled=True))
    assert labelled["look"] == "later"
    some = object_of(calibrate("--json", rows=range(50, 150)))
    assert some["look"] == "later"
    assert (home_of(calibrate) / "tasks" / "double" / "learned.json").read_text() == before
    fresh = object_of(calibrate("--json", rows=range(1000, 1000 + ROWS)))
    assert fresh["look"] == "first"


@pytest.mark.slow
def test_too_few_rows_are_told_before_any_model_is_asked(calibrate: Calibrate) -> None:
    code, _, said = calibrate(rows=range(1, 76))
    assert code == 2
    assert "75 rows can certify, but 76 are needed" in said
    assert not (home_of(calibrate) / "counts").exists()
    assert calibrate(rows=range(1, 77))[0] == 0


def test_free_text_gets_no_certificate_and_the_reason(calibrate: Calibrate) -> None:
    code, _, said = calibrate(task="chat")
    assert code == 2
    assert "free text" in said
    assert "same = " in said
    assert not (home_of(calibrate) / "counts").exists()


def test_risk_needs_labels(calibrate: Calibrate) -> None:
    code, _, said = calibrate("--risk", "0.05")
    assert code == 2
    assert "180 of 180 rows have no expected answer" in said


@pytest.mark.slow
def test_risk_binds_the_last_tier_too(calibrate: Calibrate) -> None:
    found = object_of(calibrate("--risk", "0.05", "--json", labelled=True))
    assert [tier["tier"] for tier in found["tiers"]] == ["small", "mid"]
    assert found["sentences"][0].startswith(
        "On prompts drawn like these 180, at most 5 in 100 accepted answers are wrong."
    )
    assert found["losses"] <= 0.05 * (found["certify_rows"] - found["unanswered"])
