"""`rung label` as a person meets it: few questions, nothing lost, and a certificate that says what it is about."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING

import pytest

from helpers.doubler import Doubler, Judge
from helpers.terminal import Session

if TYPE_CHECKING:
    from conftest import Program

ROWS = range(1, 81)
"""Too few to fit anything, so all of them certify; none of them may be lost."""
DIFFER = list(range(5, 77, 6))
"""Twelve numbers of which the small tier is surer the smaller they are."""
BETTER = DIFFER[:6]
"""On those the small tier is right and the mid tier is wrong; on the other six it is the other way round."""


@pytest.fixture
def person(program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doubler:
    doubler = Doubler(program, capsys, monkeypatch)
    doubler.ladder(*tiers())
    doubler.data(ROWS)
    return doubler


def tiers() -> tuple[dict[str, object], dict[str, object]]:
    logprobs = {n: -0.3 - 0.01 * (n % 7) for n in ROWS} | {n: -0.002 * n for n in DIFFER}
    small = {"right": [n for n in ROWS if n not in DIFFER[6:]], "logprobs": logprobs}
    return small, {"right": [n for n in ROWS if n not in BETTER]}


@pytest.fixture(scope="module")
def recording() -> dict[str, bytes]:
    """The files of a recorded calibration, once there is one."""
    return {}


@pytest.fixture
def recorded(person: Doubler, recording: dict[str, bytes]) -> Doubler:
    """The person, behind a calibration that was recorded."""

    def make() -> None:
        told = person("calibrate", *RECORDED, "--json")
        (person.program.home / "told.json").write_text(told.out)

    person.once(recording, make)
    return person


RECORDED = ("data.csv", "--record", "calls")
REPLAYED = ("data.csv", "--replay", "calls")


def judge(person: Doubler, **mistakes: str) -> Judge:
    wrong = {int(name[1:]): letter for name, letter in mistakes.items()}
    return Judge(person.program.start(*person.words("label", *REPLAYED)), wrong)


@pytest.mark.slow
def test_few_judgements_of_blinded_disagreements_make_a_certificate_that_keeps_more(recorded: Doubler) -> None:
    person = recorded
    before = json.loads((person.program.home / "told.json").read_text())
    assert (before["question"]["kind"], before["look"], before["judged"]) == ("differs", "first", 0)
    asked = person.calls()
    session = judge(person)
    assert session.all() == 0, session.said
    assert [number for number, *_ in session.shown] == DIFFER[:7], "the surest first, and it ends at the first loss"
    assert session.heads == [(done, 12 - done) for done in range(7)]
    firsts = {a == str(2 * n) for n, a, _ in session.shown[:6]}
    assert firsts == {True, False}, "neither side is always the ladder's"
    assert "Enough is known (7 judged)" in session.out
    assert "small" not in session.said
    assert "mid" not in session.said
    found = person("calibrate", *REPLAYED, "--json").object
    assert (found["question"]["kind"], found["certified"], found["look"]) == ("judged", True, "first")
    assert found["judged"] == 7
    assert found["kept"] > before["kept"]
    assert (before["losses"], found["losses"]) == (0, 0)
    assert found["sentences"][0] == (
        "On prompts drawn like these 80, at most 3 in 100 answers are wrong where mid alone is right, as far as the "
        "judgements of 7 disagreements are right. So the ladder is at most 3 points less accurate than mid. The method "
        "is right in 90% of samples."
    )
    assert '"kind": "judged"' in (person.folder / "learned.json").read_text()
    assert person("calibrate", *REPLAYED, "--json").object["look"] == "same"
    assert person.calls() == asked
    kept = (person.folder / "judgements.jsonl").read_text()
    assert "double" not in kept
    assert '"10"' not in kept
    if os.name == "posix":
        assert (person.folder / "judgements.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_killed_session_keeps_each_judgement_and_undo_takes_the_last_one_back(recorded: Doubler) -> None:
    person = recorded
    first = judge(person)
    for _ in range(3):
        assert first.question()
        first.answer()
    assert first.question()
    first.kill()
    with (person.folder / "judgements.jsonl").open("ab") as file:
        file.write(b'{"row": "half')
    second = judge(person)
    assert second.question()
    assert "was cut off" in second.said
    assert second.heads == [(3, 9)]
    second.type("u")
    assert second.question()
    assert second.heads[-1] == (2, 10)
    assert second.shown[-1][0] == DIFFER[2]
    second.answer()
    assert second.all() == 0
    assert {number for number, *_ in first.shown + second.shown} == set(DIFFER[:7])
    assert person("calibrate", *REPLAYED, "--json").object["judged"] == 7


@pytest.mark.slow
def test_judgements_that_are_not_enough_are_told_and_do_not_count(recorded: Doubler) -> None:
    person = recorded
    done = person("label", *REPLAYED, "--json", stdin="t\nq\n")
    assert (done.object["judged"], done.object["left"], done.object["enough"]) == (1, 11, False)
    done = person("calibrate", *REPLAYED, "--json")
    assert (done.object["question"]["kind"], done.object["look"]) == ("differs", "same")
    assert "aren't enough yet (1 judged, at most 11 left), so they don't count" in done.err


@pytest.mark.slow
def test_judging_anew_after_the_certificate_makes_an_estimate_that_replaces_nothing(recorded: Doubler) -> None:
    person = recorded
    assert judge(person).all() == 0
    assert person("calibrate", *REPLAYED, "--json").object["certified"]
    certified = (person.folder / "learned.json").read_text()
    done = person("label", *REPLAYED, stdin="u\nt\n" + "n\n" * 5)
    assert done.code == 0, done.err
    shopped = person("calibrate", *REPLAYED, "--json")
    assert (shopped.object["look"], shopped.object["certified"]) == ("later", False)
    assert shopped.object["sentences"][0].startswith("This is an estimate and not a certificate")
    assert (person.folder / "learned.json").read_text() == certified
    # nor do judgements in another file
    assert person("label", *REPLAYED, "--labels", "other.jsonl", stdin="t\n" * 12).code == 0
    again = person("calibrate", *REPLAYED, "--labels", "other.jsonl", "--json").object
    assert (again["question"]["kind"], again["look"]) == ("judged", "later")


@pytest.mark.slow
def test_answers_behind_rejected_ones_are_judged_first_and_count_at_every_threshold(person: Doubler) -> None:
    small, mid = tiers()
    rejected = [73, 79]
    person.ladder({**small, "rejected": rejected}, {**mid, "swayed": rejected})
    before = person("calibrate", *RECORDED, "--json").object
    assert (before["promised"], before["unavoidable"]) == (False, 2)
    session = judge(person, n73="t", n79="t")
    assert session.all() == 0, session.said
    assert {number for number, *_ in session.shown[:2]} == set(rejected)
    assert [number for number, *_ in session.shown[2:]] == DIFFER[:7]
    found = person("calibrate", *REPLAYED, "--json").object
    assert (found["promised"], found["unavoidable"], found["certified"]) == (True, 0, True)


@pytest.mark.slow
def test_what_can_not_be_judged_is_said(recorded: Doubler) -> None:
    person = recorded
    done = person("label", *REPLAYED, stdin="t\nyes\nt\n")
    assert done.code == 2
    assert "answer 2 is not one of a, b, t, n, c, u, q" in done.err
    assert person("label", *REPLAYED, "--json", stdin="").object["judged"] == 1
    (person.program.work / "mine").write_text("something else\n")
    for words, says in (
        (("data.csv", "--replay", "absent"), "no such file"),
        ((*REPLAYED, "--labels", "mine"), "is not a file of judgements"),
        ((*REPLAYED, "--within", "0.01"), "230 are needed"),
    ):
        done = person("label", *words, stdin="")
        assert done.code == 2
        assert says in done.err
    assert person("calibrate", *REPLAYED, "--labels", "absent").code == 2
    (person.program.work / "labelled.csv").write_text("n,expected\n1,2\n")
    done = person("label", "labelled.csv", "--replay", "calls", stdin="")
    assert "every row has an expected answer" in done.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals of this kind")
def test_on_a_terminal_one_key_is_enough_and_ctrl_c_keeps_what_was_judged(recorded: Doubler) -> None:
    person = recorded
    session = Session(person.program, *person.words("label", *REPLAYED))
    session.until(b"[q] stop: ")
    session.type(b"t")
    session.until(b"[q] stop: ")
    session.type(b"?")
    session.until(b"[q] stop: ")
    assert b"Press one of these" in session.screen
    assert b"1 judged, at most 11 left" in session.screen
    session.type(b"\x03")
    assert session.end() == 130
    assert b"Traceback" not in session.screen
    assert re.search(r'"says": "both"\}\n$', (person.folder / "judgements.jsonl").read_text())
