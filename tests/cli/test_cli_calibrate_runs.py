"""`rung calibrate` on recordings: killed, grouped, on average, and of tiers that are not worth asking."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from helpers.doubler import Doubler

if TYPE_CHECKING:
    from conftest import Program

ROWS = range(1, 81)
EVERY = list(range(1, 1000))
RIGHT = [n for n in EVERY if n % 4]


@pytest.fixture
def person(program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doubler:
    """Somebody whose small tier is unsure where it is wrong, which is every fourth row."""
    doubler = Doubler(program, capsys, monkeypatch)
    doubler.ladder({"right": RIGHT}, {"right": EVERY})
    doubler.data(ROWS)
    return doubler


@pytest.mark.slow
def test_a_killed_calibration_goes_on_where_it_was_and_comes_to_the_same(person: Doubler) -> None:
    whole = person("calibrate", "data.csv", "--record", "whole", "--json").object
    (person.folder / "learned.json").unlink()
    (person.folder / "looks.json").unlink()
    once = sorted(person.calls())
    (person.program.home / "counts").unlink()
    person.ladder({"right": RIGHT, "seconds": 0.05}, {"right": EVERY, "seconds": 0.05})
    words = ("data.csv", "--record", "calls", "--json")
    with person.program.start(*person.words("calibrate", *words)) as process:
        until = time.monotonic() + 60
        while len(person.calls()) < 20 and time.monotonic() < until:
            time.sleep(0.005)
        process.kill()
    killed = len(person.calls())
    assert 20 <= killed < len(once)
    assert not (person.folder / "looks.json").exists()
    again = person("calibrate", *words).code, person("calibrate", "data.csv", "--replay", "calls", "--json").object
    # the calls that were under way when it was killed had not been answered
    assert len(person.calls()) <= len(once) + 8
    assert sorted(set(person.calls())) == once
    assert again[0] == 0
    assert (again[1]["look"], _told(again[1])) == ("same", _told(whole))


def _told(found: dict[str, Any]) -> dict[str, Any]:
    """What doesn't depend on how long a call took."""
    seconds = ("seconds", "next_seconds", "pays")
    tiers = [{key: value for key, value in tier.items() if key not in seconds} for tier in found["tiers"]]
    kept = ("question", "promised", "certify_rows", "kept", "losses", "least_sent_up")
    return {**{key: found[key] for key in kept}, "tiers": tiers, "says": found["sentences"][0]}


@pytest.mark.slow
def test_a_replay_comes_to_the_same_and_what_it_lacks_is_recorded_by_the_command_that_is_named(person: Doubler) -> None:
    first = person("calibrate", "data.csv", "--record", "calls", "--json").object
    asked = person.calls()
    again = person("calibrate", "data.csv", "--replay", "calls", "--json").object
    assert (again["look"], again["certified"]) == ("same", True)
    assert {**again, "look": "first"} == first
    assert person.calls() == asked
    done = person("calibrate", person.data(range(300, 380), "other.csv"), "--replay", "calls")
    assert done.code == 2
    assert "record it with `rung calibrate DATA --task NAME --record FILE`" in done.err


def test_too_few_groups_are_refused_however_many_rows_they_have(person: Doubler) -> None:
    done = person("calibrate", person.data(range(1, 201), group=lambda n: n // 4))
    assert done.code == 2
    assert "groups" in done.err
    assert not person.calls()


@pytest.mark.slow
def test_rows_of_a_group_count_together(person: Doubler) -> None:
    halves = person.data(range(1, 301), group=lambda n: f"customer {n // 2}")
    found = person("calibrate", halves, "--within", "0.05", "--json").object
    assert found["method"] == "betting"
    assert found["groups"] in (found["certify_rows"] // 2, found["certify_rows"] // 2 + 1)
    assert f"by drawing one of their groups first, of which {found['groups']:,} certify" in found["sentences"][0]


@pytest.mark.slow
def test_near_duplicates_stand_on_one_side_of_the_split_and_count_once(person: Doubler) -> None:
    rows = [text.format(n) for n in range(1, 151) for text in ("double {}", "Double   {} !")]
    (person.program.work / "twice.jsonl").write_text("".join(f"{json.dumps({'prompt': row})}\n" for row in rows))
    (person.program.home / "tasks" / "double" / "task.toml").write_text('regex = "[0-9]+"\n')
    found = person("calibrate", "twice.jsonl", "--within", "0.05", "--json").object
    assert found["fit_rows"] + found["certify_rows"] == 300
    assert found["fit_rows"] % 2 == 0
    assert found["groups"] == found["certify_rows"] / 2


@pytest.mark.slow
def test_on_average_keeps_more_and_says_that_it_is_weaker(person: Doubler) -> None:
    person.ladder(
        {"right": RIGHT, "logprobs": dict.fromkeys(RIGHT[:-700], -0.3) | {4: -0.1, 8: -0.2}}, {"right": EVERY}
    )
    strict = person("calibrate", "data.csv", "--record", "calls", "--json").object
    found = person("calibrate", "data.csv", "--replay", "calls", "--on-average", "--json").object
    assert found["method"] == "conformal risk control"
    assert found["look"] == "later", "another promise about the same rows"
    assert found["kept"] > strict["kept"]
    fresh = person("calibrate", person.data(range(400, 480), "fresh.csv"), "--on-average", "--json").object
    assert (fresh["certified"], fresh["look"]) == (True, "first")
    assert "This holds on average over samples, and not in each of them: it is weaker" in fresh["sentences"][0]
    assert person("calibrate", person.data(range(600, 680), "later.csv"), "--check").code == 2


@pytest.mark.slow
def test_constant_scores_certify_nothing_and_the_tier_does_not_pay(person: Doubler) -> None:
    same = dict.fromkeys(EVERY, -0.5)
    person.ladder({"right": RIGHT, "logprobs": same, "seconds": 0.002}, {"right": EVERY, "seconds": 0.004})
    found = person("calibrate", "data.csv", "--json").object
    assert found["kept"] == 0
    said = " ".join(found["sentences"])
    small = found["tiers"][0]
    assert "AUROC of 0.50 (0.50 to 0.50), where 0.5 is chance: no usable signal" in said
    assert f"({small['seconds']:.2f} s and {small['next_seconds']:.2f} s)" in said
    assert "small doesn't pay: it answers 0% of what it is asked" in said
    for offer in ("Skip it: ", "let it always escalate: ", "in the shadow"):
        assert offer in said
    assert "Even the best threshold, chosen in hindsight, sends up 100% of these prompts" in said


@pytest.mark.slow
def test_scores_that_know_nothing_certify_no_more_than_chance(person: Doubler) -> None:
    draw = random.Random(1)
    person.ladder({"right": RIGHT, "logprobs": {n: -draw.random() for n in EVERY}}, {"right": EVERY})
    found = person("calibrate", person.data(range(1, 301)), "--json").object
    allowed = 3  # losses of some 200 rows; each comes with three other answers on average
    assert found["kept"] <= 3 * 4 * allowed
    assert found["hardly_pays"]
    assert "no usable signal" in " ".join(found["sentences"])
