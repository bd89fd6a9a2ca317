"""A job asks each question once, keeps what came of it, and goes on from there."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

import rung
from batch.jobs import Answering, PaidAnswering, read, rows, run
from rung.batch.estimating import estimate
from rung.batch.intake import RowIntake
from rung.batch.manifest import JobManifest
from rung.batch.ordering import faster, measured
from rung.batch.purse import JobPurse
from rung.batch.questions import Questions, Usual
from rung.batch.sources import source_of
from rung.batch.working import Job, work
from rung.cli.batch_progress import BatchLine
from rung.cli.output import Output
from rung.errors import ConfigError, TierCrashed, TierUnavailable
from rung.ledger import LedgerFile, requests
from rung.limits import Cancel

CHOICES = ["yes", "no"]


def odd(prompt: str) -> str:
    return "yes" if int(prompt[1:]) % 2 else "perhaps"


@pytest.fixture
def data(tmp_path):
    return rows(tmp_path / "in.jsonl", [f"q{number}" for number in range(10)])


def test_rows_stand_in_the_order_of_the_input_and_each_tier_gets_what_the_one_before_it_could_not(data, tmp_path):
    small, big = Answering("small", odd), Answering("big", lambda prompt: "no")
    found = run(data, tmp_path / "out.jsonl", small, big, output=CHOICES)
    assert [row["line"] for row in found] == list(range(1, 11))
    assert [row["tier"] for row in found] == ["big", "small"] * 5
    assert [row["value"] for row in found] == ["no", "yes"] * 5
    # a rejected answer is repaired once on its tier
    assert sorted(small.asked) == sorted([f"q{n}" for n in range(10)] + [f"q{n}" for n in range(0, 10, 2)])
    assert sorted(big.asked) == [f"q{n}" for n in range(0, 10, 2)]


def test_all_rows_are_through_with_one_tier_before_the_next_is_asked(data, tmp_path):
    log = tmp_path / "log"
    run(data, tmp_path / "o.jsonl", Answering("small", odd, log), Answering("big", lambda p: "no", log), output=CHOICES)
    tiers = [line.split()[0] for line in log.read_text().splitlines()]
    assert tiers == sorted(tiers, reverse=True)


def test_both_orders_come_to_the_same(data, tmp_path):
    found = []
    for order in ("tiers", "stream"):
        out = tmp_path / f"{order}.jsonl"
        run(data, out, Answering("small", odd), Answering("big", lambda p: "no"), output=CHOICES, order=order)
        found.append([{**row, "seconds": 0} for row in read(out)])
    assert found[0] == found[1]


def test_a_finished_job_asks_nothing_and_writes_the_same_bytes(data, tmp_path):
    out = tmp_path / "out.jsonl"
    run(data, out, Answering("small", odd), Answering("big", lambda prompt: "no"), output=CHOICES)
    before = out.read_bytes()
    silent = Answering("small", odd), Answering("big", lambda prompt: "no")
    run(data, out, *silent, output=CHOICES)
    assert out.read_bytes() == before
    assert [tier.asked for tier in silent] == [[], []]


def test_rows_that_ask_the_same_are_asked_once_and_all_answered(tmp_path):
    data = rows(tmp_path / "in.jsonl", ["q1", "q3", "q1", "q1"])
    paid = PaidAnswering("paid", lambda prompt: "yes")
    found = run(data, tmp_path / "out.jsonl", paid, output=CHOICES, limit="1")
    assert sorted(paid.asked) == ["q1", "q3"]
    assert [row["value"] for row in found] == ["yes"] * 4
    assert len({row["id"] for row in found}) == 4
    assert [row["cost_usd"] for row in found] == [0.015, 0.015, 0, 0]


def test_the_input_may_grow_and_changed_rows_are_asked_anew(tmp_path):
    data, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    said = [{"id": f"r{n}", "prompt": f"q{n}"} for n in (1, 3, 5)]
    data.write_text("".join(json.dumps(row) + "\n" for row in said))
    first = run(data, out, Answering("small", odd), output=CHOICES)
    said[1]["prompt"] = "q7"
    said.append({"id": "r9", "prompt": "q9"})
    data.write_text("".join(json.dumps(row) + "\n" for row in said))
    small = Answering("small", odd)
    second = run(data, out, small, output=CHOICES)
    assert sorted(small.asked) == ["q7", "q9"]
    assert [row["id"] for row in second] == ["r1", "r3", "r5", "r9"]
    assert [second[0], second[2]] == [first[0], first[2]]


def test_a_rejected_row_is_tried_again_only_where_a_tier_failed_or_was_not_asked(data, tmp_path):
    out = tmp_path / "out.jsonl"
    small = Answering("small", odd)
    big = Answering("big", lambda prompt: TierCrashed("gone") if prompt == "q4" else "perhaps")
    run(data, out, small, big, output=CHOICES)
    rejects = read(tmp_path / "out.rejects.jsonl")
    assert [row["line"] for row in rejects] == [1, 3, 5, 7, 9]
    assert {row["best"] for row in rejects} == {"perhaps"}
    with JobManifest(Path(f"{out}.job")) as manifest:
        assert manifest.retry() == 5
    again = Answering("small", odd), Answering("big", lambda prompt: "no")
    found = run(data, out, *again, output=CHOICES)
    assert [tier.asked for tier in again] == [[], ["q4"]]
    assert [row["line"] for row in found] == [2, 4, 5, 6, 8, 10]


def test_a_row_whose_tier_crashed_is_asked_again_and_alone(data, tmp_path):
    crashed = []

    def crashes(prompt: str) -> object:
        if prompt == "q5" and len(crashed) < 2:
            crashed.append(prompt)
            return TierCrashed("killed")
        return "yes"

    small, big = Answering("small", crashes), Answering("big", lambda prompt: "no")
    found = run(data, tmp_path / "out.jsonl", small, big, output=CHOICES)
    assert [row["tier"] for row in found] == ["small"] * 10
    assert big.asked == []
    assert small.asked[-2:] == ["q5", "q5"]


def test_a_row_that_always_crashes_its_tier_goes_on_to_the_next(data, tmp_path):
    small = Answering("small", lambda prompt: TierCrashed("killed") if prompt == "q5" else "yes")
    big = Answering("big", lambda prompt: "no")
    found = run(data, tmp_path / "out.jsonl", small, big, output=CHOICES)
    assert [row["tier"] for row in found].count("big") == 1
    assert found[5]["tier"] == "big"
    assert small.asked.count("q5") == 4


def test_a_check_that_raises_rejects_its_row_alone(data, tmp_path):
    def check(value: str) -> None:
        raise ZeroDivisionError

    run(data, tmp_path / "out.jsonl", Answering("small", lambda p: "x"), validators=[check])
    rejects = read(tmp_path / "out.rejects.jsonl")
    assert len(rejects) == 10
    assert {(row["reason"], row["detail"]) for row in rejects} == {("check_failed", "a check raised ZeroDivisionError")}


def test_a_tier_that_is_not_there_stops_the_job_and_loses_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setattr("rung.batch.working._PAUSE", 0.0)
    out = tmp_path / "out.jsonl"
    big = Answering("big", lambda prompt: TierUnavailable("nobody listens"))
    with pytest.raises(TierUnavailable, match="nobody listens"):
        run(data, out, Answering("small", odd), big, output=CHOICES)
    assert [row["line"] for row in read(out)] == [2, 4, 6, 8, 10]
    small, big = Answering("small", odd), Answering("big", lambda prompt: "no")
    assert len(run(data, out, small, big, output=CHOICES)) == 10
    assert small.asked == []


def test_another_job_on_the_same_output_is_an_error_that_says_what_differs(tmp_path):
    with JobManifest(tmp_path / "out.jsonl.job") as manifest:
        manifest.demand_same({"the contract": "a", "the tiers": "b"})
        manifest.demand_same({"the contract": "a", "the tiers": "b"})
        with pytest.raises(ConfigError, match="belongs to another job, with something else for the tiers"):
            manifest.demand_same({"the contract": "a", "the tiers": "c"})


def test_a_row_has_its_own_schema(tmp_path):
    data = tmp_path / "in.jsonl"
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    rows(data, ["q1"], schema=schema)
    (found,) = run(data, tmp_path / "out.jsonl", Answering("small", lambda p: '{"n": 3}'))
    assert found["value"] == {"n": 3}


def test_an_input_that_changes_meanwhile_is_noticed_and_its_rows_are_asked_anew(tmp_path):
    # more than is read ahead
    more = " and so on" * 200
    data, out = rows(tmp_path / "in.jsonl", [f"q{n}{more}" for n in range(40)]), tmp_path / "out.jsonl"
    asked: list[str] = []

    def changes(prompt: str) -> str:
        if not asked:
            rows(data, [f"w{n}{more}" for n in range(40)])
        asked.append(prompt)
        return "yes"

    with pytest.raises(ConfigError, match="changed while the job was running"):
        run(data, out, Answering("small", changes), output=CHOICES, together=1)
    found = run(data, out, Answering("small", lambda prompt: "no"), output=CHOICES)
    assert [row["value"] for row in found] == ["no"] * 40


def test_an_estimate_tells_time_shares_and_money(data, tmp_path):
    small, far = Answering("small", odd), PaidAnswering("far", lambda prompt: "no")
    asks, ladder = Questions(Usual()), rung.Ladder(small, far, reach=rung.Zone.INTERNET)
    with JobManifest(tmp_path / "job") as manifest, source_of(data, asks.sees) as source:
        RowIntake(manifest, source, asks, None, Cancel()).run()
        purse = JobPurse(manifest, Decimal("3.00"))
        job = Job(manifest, source, asks, ladder, {"small": "s", "far": "f"}, CHOICES, purse=purse)
        found = estimate(job, 6, lambda progress: None)
    assert found is not None
    assert (found.rows, found.left) == (6, 4)
    share = len(far.asked) / 6
    assert found.sent_up.value == share
    assert found.cost.value == pytest.approx(share * 0.015)
    low, high = found.sent_up.low, found.sent_up.high
    assert low is not None
    assert high is not None
    assert 0 <= low < share < high <= 1
    assert "  and never more than $3.00 in all, which --max-cost says" in found.sentences()


def test_rows_that_cost_money_are_in_the_ledger_and_its_budget_holds(data, tmp_path):
    with rung.Ledger(tmp_path / "ledger.sqlite3", per_day="0.05") as ledger:
        ladder = rung.Ladder(
            Answering("small", odd),
            PaidAnswering("far", lambda prompt: "no"),
            reach=rung.Zone.INTERNET,
            purse=ledger,
            observers=[ledger],
        )
        found = run(data, tmp_path / "out.jsonl", output=CHOICES, ladder=ladder, limit="1", together=1)
        ledger.flush()
        with LedgerFile(ledger.path) as file:
            kept = list(requests(file))
    # three answers of $0.015 leave less than the bound of a fourth
    assert [row["tier"] for row in found].count("far") == 3
    assert [it.cost for it in kept if it.cost] == [Decimal("0.015")] * 3
    assert all(it.tier != "small" for it in kept)


def test_an_intake_that_is_killed_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("rung.batch.intake._PIECE", 0.0)
    data, asks = rows(tmp_path / "in.jsonl", [f"q{n}" for n in range(9)]), Questions(Usual())
    read_rows = []

    class Killed(Exception):
        pass

    def kills(count: int) -> None:
        read_rows.append(count)
        if count == 4:
            raise Killed

    with JobManifest(tmp_path / "job") as manifest, source_of(data, asks.sees) as source, pytest.raises(Killed):
        RowIntake(manifest, source, asks, None, Cancel()).run(kills)
    with JobManifest(tmp_path / "job") as manifest, source_of(data, asks.sees) as source:
        assert RowIntake(manifest, source, asks, None, Cancel()).run(read_rows.append)
        assert read_rows == [1, 2, 3, 4, 5, 6, 7, 8, 9]
        assert manifest.counts().rows == 9
        assert not RowIntake(manifest, source, asks, None, Cancel()).run(read_rows.append)


def test_the_faster_order_is_measured_on_rows_whose_answers_are_kept(tmp_path):
    data = rows(tmp_path / "in.jsonl", [f"q{n}" for n in range(85)])
    small, big = Answering("small", odd), Answering("big", lambda prompt: "no")
    asks = Questions(Usual())
    with JobManifest(tmp_path / "job") as manifest, source_of(data, asks.sees) as source:
        RowIntake(manifest, source, asks, None, Cancel()).run()
        names = {"small": "small", "big": "big"}
        job = Job(manifest, source, asks, rung.Ladder(small, big), names, CHOICES, together=1)
        trial = measured(job, lambda progress: None)
        assert set(trial.rates) == {"tiers", "stream"}
        assert trial.order == faster(trial.rates)
        assert f"going on with {trial.order}" in trial.sentence()
        # each order had six rows of its own, whose answers stay
        assert manifest.counts().accepted == 12
        # a job that is started again isn't tried again
        assert measured(job, lambda progress: None) == trial
        assert manifest.counts().accepted == 12


@pytest.mark.slow
def test_what_else_the_machine_does_for_a_while_is_not_taken_for_the_order(tmp_path):
    """The first half of the trial has the machine to itself, and the second takes three times as long."""
    data = rows(tmp_path / "in.jsonl", [f"q{n}" for n in range(85)])
    seconds = itertools.chain([0.01] * 9, itertools.repeat(0.03))  # six rows, and the three of them that climb

    def slow(prompt: str) -> str:
        time.sleep(next(seconds))
        return odd(prompt)

    small, big = Answering("small", slow), Answering("big", lambda prompt: slow(prompt) and "no")
    asks = Questions(Usual())
    with JobManifest(tmp_path / "job") as manifest, source_of(data, asks.sees) as source:
        RowIntake(manifest, source, asks, None, Cancel()).run()
        names = {"small": "small", "big": "big"}
        rates = measured(
            Job(manifest, source, asks, rung.Ladder(small, big), names, CHOICES, together=1), lambda progress: None
        ).rates
    assert rates["stream"] < 1.5 * rates["tiers"] < 3 * rates["stream"]


def test_nothing_is_tried_where_it_can_not_pay(data, tmp_path):
    small, big = Answering("small", odd), Answering("big", lambda prompt: "no")
    asks = Questions(Usual())
    with JobManifest(tmp_path / "job") as manifest, source_of(data, asks.sees) as source:
        RowIntake(manifest, source, asks, None, Cancel()).run()
        job = Job(
            manifest, source, asks, rung.Ladder(small, big), {"small": "small", "big": "big"}, CHOICES, together=1
        )
        assert measured(job, lambda progress: None).why == "the job is too short to try"
        assert measured(replace(job, ladder=rung.Ladder(small)), lambda progress: None).why == "there is one tier"
        assert small.asked == big.asked == []


def test_streaming_is_taken_only_where_it_is_clearly_faster():
    assert faster({"tiers": 10.0, "stream": 10.5}) == "tiers"
    assert faster({"tiers": 10.0, "stream": 12.0}) == "stream"
    assert faster({"tiers": 10.0, "stream": 2.0}) == "tiers"


@pytest.mark.slow
def test_progress_says_how_far_the_job_is_and_what_is_sent_up(tmp_path):
    data = rows(tmp_path / "in.jsonl", [f"q{n}" for n in range(30)])
    small, big = Answering("small", odd), Answering("big", lambda prompt: "no")
    asks = Questions(Usual())
    with JobManifest(tmp_path / "job") as manifest, source_of(data, asks.sees) as source:
        RowIntake(manifest, source, asks, None, Cancel()).run()
        names = {"small": "small", "big": "big"}
        job = Job(manifest, source, asks, rung.Ladder(small, big), names, CHOICES, together=1)
        line, said = BatchLine(Output(json=False), job), {}
        for progress in work(job):
            line._next_count = 0.0  # counts are otherwise taken now and then, as they cost time
            line.show(progress)
            said[progress.tier] = line._said(progress)
        assert said["small"].startswith("small: 15 of 30 rows")
        assert said["small"].endswith("100% accepted, 50% sent up")
        assert said["big"].startswith("big: 30 of 30 rows")
        assert said["big"].endswith("100% accepted, 0% sent up")
        # nothing is left, so nothing is said of the time that is left
        assert " left" not in said["big"]
