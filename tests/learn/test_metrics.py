"""What a score is worth, against computations by brute force, and what is said where nothing can be measured."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from helpers.each import each
from rung.errors import ConfigError
from rung.learn import metrics
from rung.learn.costs import Pay, equal_cost
from rung.learn.metrics import auroc, deferral


def rows(count, seed=0, step=1.0):
    """Scores with many ties, and whether the small and the larger tier are right."""
    generator = np.random.default_rng(seed)
    small, larger = generator.random(count) < 0.5, generator.random(count) < 0.8
    return np.round((generator.normal(size=count) + small) / step) * step, small, larger


def test_the_deferral_curve_is_the_mean_over_all_orders_of_tied_rows():
    scores, small, larger = rows(6, seed=3)
    assert len(set(scores)) < 6, "some rows tie"
    curves = []
    for order in itertools.permutations(range(6)):
        if all(scores[a] <= scores[b] for a, b in itertools.pairwise(order)):
            sent = [set(order[:count]) for count in range(7)]
            curves.append([np.mean([(larger if row in up else small)[row] for row in range(6)]) for up in sent])
    curve = deferral(scores, small, larger)
    expected = np.mean(curves, axis=0)
    assert [curve.at(count / 6) for count in range(7)] == pytest.approx(expected)
    assert curve.area == pytest.approx(np.mean([np.trapezoid(one, dx=1 / 6) for one in curves]))


def test_a_score_that_says_nothing_recovers_half_of_the_gap_and_a_perfect_one_nearly_all():
    small = np.array([False] * 50 + [True] * 950)
    larger = np.ones(1000, dtype=bool)
    assert deferral(np.zeros(1000), small, larger).apgr == pytest.approx(0.5)
    assert deferral(np.zeros(1000), small, larger).cpt(0.8) == pytest.approx(0.8)
    perfect = deferral(small, small, larger)
    assert perfect.apgr == pytest.approx(1 - 0.05 / 2)
    assert perfect.cpt(0.5) == pytest.approx(0.025)
    assert perfect.cpt(1.0) == pytest.approx(0.05)


def test_where_the_next_tier_is_no_better_there_is_no_gap_to_recover():
    curve = deferral([0.1, 0.2], [True, False], [False, True])
    assert (curve.apgr, curve.cpt(0.5)) == (None, None)


def test_what_is_read_off_the_curve_is_what_a_threshold_does():
    scores, small, larger = rows(200)
    curve = deferral(scores, small, larger)
    for threshold in np.unique(scores):
        ladder = np.where(scores > threshold, small, larger).mean()
        assert curve.at(metrics.sent_up(scores, threshold)) == pytest.approx(ladder)


def test_auroc_counts_pairs_and_a_tie_as_half_of_one():
    scores, right, _ = rows(60)
    pairs = [
        1.0 if good > bad else 0.5 if good == bad else 0.0
        for good, bad in itertools.product(scores[right], scores[~right])
    ]
    assert auroc(scores, right) == pytest.approx(np.mean(pairs))
    assert auroc(np.where(right, scores, -np.inf), right) == 1.0, "rows that failed validation rank last"
    assert auroc([0.1, 0.2], [True, True]) is None


def test_coverage_at_risk_and_the_oracle_threshold_are_the_best_of_all_thresholds_in_hindsight():
    scores, small, _ = rows(150, step=0.25)
    scores[:7] = -np.inf
    cuts = [-np.inf, *np.unique(scores[7:])]
    for limit in (0.0, 0.05, 0.2, 0.6):
        kept = [(scores > cut).mean() for cut in cuts]
        risk = [(~small)[scores > cut].mean() if (scores > cut).any() else 0 for cut in cuts]
        assert metrics.coverage_at_risk(scores, ~small, limit) == max(
            [share for share, wrong in zip(kept, risk, strict=True) if wrong <= limit], default=0
        )
        lost = [(~small & (scores > cut)).mean() for cut in cuts]
        best = metrics.oracle_threshold(scores, ~small, limit)
        assert best.kept == max(share for share, loss in zip(kept, lost, strict=True) if loss <= limit)
        assert (scores > best.threshold).mean() == best.kept


def test_tied_rows_are_accepted_together_or_not_at_all():
    assert metrics.coverage_at_risk([1, 1, 1, 0], [0, 0, 1, 0], 0.3) == 1.0
    assert metrics.coverage_at_risk([1, 1, 1, 0], [0, 0, 1, 1], 0.3) == 0.0
    assert metrics.oracle_threshold([1, 1, 0, 0], [0, 1, 0, 1], 0.25).kept == 0.5


def test_brier_and_calibration_error_of_known_forecasts():
    assert metrics.brier([1.0, 0.5], [True, False]) == pytest.approx(0.125)
    said = metrics.reliability([0.05, 0.05, 0.95, 1.0], [False, True, True, True])
    assert said.rows.tolist() == [2, 2]
    assert said.came.tolist() == [0.5, 1.0]
    assert said.error == pytest.approx((0.45 + 0.025) / 2)
    generator = np.random.default_rng(0)
    honest = generator.random(20_000)
    assert metrics.ece(honest, generator.random(20_000) < honest) < 0.02


def test_at_equal_cost_random_mixing_pays_the_small_tier_only_where_it_asks_it():
    found = equal_cost([1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], small_cost=1, larger_cost=5)
    assert (found.ladder, found.cost) == (1.0, 3.5)
    assert found.mixed_share == pytest.approx(2.5 / 4)
    assert found.mixing == pytest.approx(0.5 + 0.5 * 2.5 / 4)
    assert found.gain == pytest.approx(found.ladder - found.mixing)
    assert equal_cost([0], [0], [1], small_cost=1, larger_cost=5).mixing == 1.0, "more than every row can't be paid"


def test_a_tier_pays_where_it_keeps_more_than_asking_it_costs():
    assert Pay(0.5, 1, 4).pays
    assert Pay(0.5, 1, 4).mean_seconds == 3
    assert not Pay(0.25, 1, 4).pays, "as slow as without it"
    assert Pay(0.2, 1, 4).mean_seconds > 4


@each(
    "give",
    [
        lambda: deferral([], [], []),
        lambda: deferral([float("nan")], [1], [1]),
        lambda: deferral([float("inf")], [1], [1]),
        lambda: deferral([1, 2], [1], [1, 1]),
        lambda: deferral([1], [2], [1]),
        lambda: deferral([[1]], [1], [1]),
        lambda: auroc(["secret"], [1]),
        lambda: metrics.brier([0.5], [0.5]),
        lambda: metrics.reliability([0.5], [1], bins=0),
        lambda: equal_cost([1], [1], [1], small_cost=2, larger_cost=1),
    ],
)
def test_a_column_that_cannot_be_measured_is_a_sentence(give):
    with pytest.raises(ConfigError) as caught:
        give()
    assert "secret" not in str(caught.value)
