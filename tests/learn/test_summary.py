"""The numbers of an evaluation, on a set that can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from rung.errors import ConfigError
from rung.learn import comparing, drawing, summary
from rung.learn.comparing import compare
from rung.learn.intervals import bootstrap
from rung.learn.results import LADDER, Results, TierFacts, TierResult, read_results, write_named
from rung.learn.summary import summarise

SURE = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, None, None)
"""Confidence of the small tier, row by row; the last two answers don't pass validation."""
SMALL = (1, 1, 0, 1, 1, 0, 1, 0, 0, 0)
BIG = (1, 1, 1, 1, 0, 1, 1, 1, 1, 0)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (summary, comparing):
        monkeypatch.setattr(module, "bootstrap", partial(bootstrap, resamples=40))


def result(number: int, tier: str, right: int, **more: object) -> TierResult:
    base = TierResult(
        row=number,
        key=f"key {number}",
        group="",
        tier=tier,
        answered_by=tier,
        valid=True,
        right=bool(right),
        calls=1,
        input_tokens=10,
        output_tokens=2,
        cost="0",
    )
    return replace(base, **more)  # type: ignore[arg-type]


def small(number: int) -> TierResult:
    sure = SURE[number - 1]
    features = {} if sure is None else {"minimum": math.log(sure)}
    return result(number, "small", SMALL[number - 1], features=features, valid=sure is not None, seconds=1.0)


def evaluation(kept: int = 6) -> Results:
    """Ten rows; the ladder keeps the small tier's surest answers."""
    found = []
    for number in range(1, 11):
        one, two = small(number), result(number, "big", BIG[number - 1], seconds=3.0, cost="0.5")
        found += [one, two]
        whole = (
            replace(one, tier=LADDER)
            if number <= kept
            else replace(two, tier=LADDER, seconds=4.0, calls=2, input_tokens=20)
        )
        found.append(whole)
    tiers = (TierFacts("small", "host", "s"), TierFacts("big", "internet", "b"))
    return Results(
        "2026-11-26T00:00:00+00:00", "d" * 64, 10, 10, ((12, "it is cut off"),), "exact", 8, tiers, tuple(found)
    )


def test_each_tier_has_its_accuracy_acceptance_seconds_tokens_and_cost() -> None:
    found = summarise(evaluation())
    first, second = found.tiers
    assert (first.right.value, second.right.value) == (0.5, 0.8)
    assert (first.accepted.value, second.accepted.value) == (0.8, 1.0)
    assert (first.seconds, second.seconds) == (1.0, 3.0)
    assert first.input_tokens == 10
    assert second.cost == Decimal(5)
    assert first.right.low == pytest.approx(0.187, abs=0.001)
    assert first.right.high == pytest.approx(0.813, abs=0.001)


def test_the_ladder_has_what_it_sent_up_and_who_answered() -> None:
    ladder = summarise(evaluation()).ladder
    assert ladder.sent_up.value == 0.4
    assert ladder.answered_by == {"small": 6, "big": 4}
    assert ladder.right.value == pytest.approx((4 + 3) / 10)
    assert ladder.seconds == pytest.approx(0.6 * 1 + 0.4 * 4)
    assert ladder.input_tokens == pytest.approx(0.6 * 10 + 0.4 * 20)


def test_the_deferral_curve_sends_up_invalid_answers_first_and_then_the_least_sure() -> None:
    pair = summarise(evaluation()).pairs[0]
    # rows 9 and 10 go up together (gain 1), then 8 (1), 7 (0), 6 (1), 5 (-1), 4 (0), 3 (1), 2 (0), 1 (0)
    assert [round(share, 2) for share in pair.curve.shares] == [0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert [round(10 * value) for value in pair.curve.accuracy] == [5, 6, 7, 7, 8, 7, 7, 8, 8, 8]
    assert pair.cpt50.value == pytest.approx(0.25)
    assert pair.perfect == pytest.approx(0.9)
    assert pair.enough == 0.5


def test_the_ladder_stands_beside_the_last_tier_random_mixing_and_the_best_threshold() -> None:
    found = summarise(evaluation()).against
    assert found.test.difference == pytest.approx(-0.1)
    assert (found.test.first_only, found.test.second_only) == (2, 1)
    assert found.test.p == 1.0
    assert found.time == pytest.approx(2.2 / 3)
    # 2.2 seconds buy the last tier for 0.6 of the rows
    assert found.mixing == pytest.approx(0.5 + 0.6 * 0.3)
    assert found.best == pytest.approx(0.7)


def test_the_confidence_is_held_against_what_came_over_valid_answers_only() -> None:
    first = summarise(evaluation()).tiers[0]
    squares = [(sure - right) ** 2 for sure, right in zip(SURE, SMALL, strict=True) if sure is not None]
    assert first.brier.value == pytest.approx(sum(squares) / 8)
    assert first.ece.value == pytest.approx(
        sum(abs(sure - right) for sure, right in zip(SURE, SMALL, strict=True) if sure is not None) / 8
    )


def test_the_rows_that_a_tier_was_surest_of_and_has_wrong_are_named() -> None:
    assert [row for row, _ in summarise(evaluation()).tiers[0].surest_wrong] == [3, 6, 8]


def test_held_against_the_next_tier_the_last_one_has_no_accuracy() -> None:
    base = evaluation()
    agreeing = [
        replace(r, right=None, agrees=None if r.tier == "big" else bool(SMALL[r.row - 1]) or r.answered_by == "big")
        for r in base.results
    ]
    found = summarise(replace(base, labelled=0, results=tuple(agreeing)))
    assert found.measure == "agrees"
    assert found.tiers[1].right is None
    assert found.tiers[0].right.value == 0.5
    assert found.pairs[0].curve.next == 1.0
    assert found.against.test.difference == pytest.approx(-0.2)


def test_a_row_that_no_tier_was_asked_about_says_nothing_of_the_tier() -> None:
    base = evaluation()
    kept = [
        replace(r, asked=False, right=None, reason="over_budget") if r.tier == "big" and r.row > 5 else r
        for r in base.results
    ]
    found = summarise(replace(base, results=tuple(kept)))
    assert found.tiers[1].rows == 5
    assert found.tiers[1].not_asked == {"over_budget": 5}
    assert found.against.test.rows == 5


def test_a_tier_without_log_probabilities_has_an_accuracy_and_no_curve() -> None:
    base = evaluation()
    found = summarise(replace(base, results=tuple(replace(r, features={}) for r in base.results)))
    assert found.tiers[0].right.value == 0.5
    assert found.pairs == ()
    assert found.tiers[0].brier is None


def test_a_feature_that_is_not_a_probability_orders_answers_and_has_no_brier_score() -> None:
    base = evaluation()
    margins = tuple(
        replace(r, features={"margin": 10 * math.exp(r.features["minimum"])} if r.features else {})
        for r in base.results
    )
    found = summarise(replace(base, results=margins), "margin")
    assert found.pairs[0].cpt50.value == pytest.approx(0.25)
    assert found.tiers[0].brier is None
    with pytest.raises(ConfigError, match="no answer has the feature 'minimum'"):
        summarise(replace(base, results=margins))


def test_an_unknown_cost_makes_the_sum_unknown_and_not_smaller() -> None:
    base = evaluation()
    kept = tuple(replace(r, cost=None) if r.tier == "big" and r.row == 1 else r for r in base.results)
    assert summarise(replace(base, results=kept)).tiers[1].cost is None


def test_results_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    import json

    path = tmp_path / "a.json"
    write_named(path, json.dumps(evaluation().as_json()).encode(), "the results")
    assert read_results(str(path)) == evaluation()
    path.write_text(path.read_text().replace('"row"', '"raw"'))
    with pytest.raises(ConfigError, match="something else changed"):
        read_results(str(path))


def test_two_evaluations_are_compared_on_the_rows_that_both_asked() -> None:
    first, second = evaluation(kept=10), evaluation(kept=6)
    second = replace(second, results=tuple(r for r in second.results if r.row != 1))
    found = compare(first, second)
    assert (found.rows, found.only_first, found.only_second) == (9, 1, 0)
    ladder = found.tiers[-1]
    assert ladder.tier == LADDER
    assert (ladder.test.first_only, ladder.test.second_only) == (0, 2)
    assert ladder.test.p == pytest.approx(0.5)
    assert ladder.won == (8, 9)
    assert ladder.difference.value == pytest.approx(2 / 9)


def test_evaluations_of_other_rows_or_another_measure_are_not_compared() -> None:
    first = evaluation()
    other = replace(first, results=tuple(replace(r, key=f"other {r.row}") for r in first.results))
    with pytest.raises(ConfigError, match="no row in common"):
        compare(first, other)
    with pytest.raises(ConfigError, match="compared with labels"):
        compare(first, replace(first, labelled=0))


@pytest.mark.slow
def test_each_figure_has_labelled_axes_and_intervals() -> None:
    found = summarise(evaluation())
    axes = drawing.axes(found)
    assert [axis.get_title(loc="left") for axis in axes] == [
        "What more right answers cost",
        "The same in money",
        "Is the confidence honest?",
        "What accepting more risks",
    ]
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in axes)
    assert all(axis.containers or axis.collections for axis in axes)
    assert drawing.picture(found).startswith(b"\x89PNG")
