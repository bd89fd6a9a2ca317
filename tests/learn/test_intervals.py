"""Intervals hold what they claim, for single rows and for groups, and the paired test is exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy

from rung.errors import ConfigError
from rung.learn.intervals import bootstrap, paired, share
from rung.learn.metrics import apgr, auroc


def test_a_share_without_groups_has_the_exact_interval():
    exact = scipy.stats.binomtest(7, 50).proportion_ci(0.9, "exact")
    found = share([True] * 7 + [False] * 43, level=0.9)
    assert (found.value, found.low, found.high) == pytest.approx((0.14, exact.low, exact.high))


def test_thirty_right_rows_do_not_mean_that_no_row_can_be_wrong():
    found = share([True] * 30)
    assert found.high == 1.0
    assert found.low == pytest.approx(0.884, abs=0.001)
    assert share([True] * 30, groups=[row // 10 for row in range(30)]).low < 0.5, "three groups say less"


def test_rows_that_repeat_each_other_give_the_interval_of_their_groups():
    right = np.random.default_rng(0).random(40) < 0.7
    ten_times = share(np.repeat(right, 10), groups=np.repeat(np.arange(40), 10))
    once = share(right)
    assert (ten_times.low, ten_times.high) == pytest.approx((once.low, once.high), abs=0.02)
    assert share(np.repeat(right, 10)).low > once.low + 0.05, "without groups it looks surer than it is"


def holds(groups, draws=80):
    """Share of draws whose 90% intervals hold the true 0.8, by kind of interval: rows alike within groups of ten."""
    generator = np.random.default_rng(1)
    kept = np.zeros(2)
    for _ in range(draws):
        right = (generator.random((40, 10)) < generator.beta(1.6, 0.4, size=40)[:, None]).ravel()
        labels = np.repeat(np.arange(40), 10) if groups else None
        resampled = bootstrap(lambda values: float(values.mean()), right, groups=labels, level=0.9, resamples=60)
        for kind, found in enumerate((share(right, labels, level=0.9), resampled)):
            kept[kind] += found.low <= 0.8 <= found.high
    return kept / draws


@pytest.mark.proof
@pytest.mark.slow
def test_intervals_by_group_hold_the_truth_about_as_often_as_they_say_and_without_groups_they_do_not():
    exact, resampled = holds(groups=True)
    assert exact >= 0.87
    assert resampled >= 0.8, "a percentile interval is a little short at 40 groups"
    assert holds(groups=False).max() < 0.75


@pytest.mark.slow
def test_a_number_that_most_resamples_lack_has_no_interval():
    assert bootstrap(auroc, [1.0, 2.0, 3.0], [True, True, False]).low is None
    found = bootstrap(apgr, [1.0], [False], [True])
    assert (found.value, found.low) == (0.5, None)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).random(50)
    first, second = (bootstrap(lambda x: float(x.mean()), values, resamples=100) for _ in range(2))
    assert first == second
    assert first.low < first.value < first.high


def test_without_groups_the_paired_test_is_mcnemars():
    first = [True] * 9 + [False] * 3 + [True] * 20
    second = [False] * 9 + [True] * 3 + [True] * 20
    found = paired(first, second)
    assert (found.first_only, found.second_only) == (9, 3)
    assert found.difference == pytest.approx(-6 / 32)
    assert found.p == pytest.approx(scipy.stats.binomtest(3, 12).pvalue)
    assert paired(first, first).p == 1.0


def test_by_group_the_paired_test_counts_all_signs_of_the_groups():
    generator = np.random.default_rng(2)
    first, second = generator.random(24) < 0.4, generator.random(24) < 0.7
    groups = generator.integers(8, size=24).tolist()
    sums = [sum(int(second[r]) - int(first[r]) for r in range(24) if groups[r] == g) for g in sorted(set(groups))]
    signs = list(itertools.product((-1, 1), repeat=len(sums)))
    away = [abs(sum(s * x for s, x in zip(sign, sums, strict=True))) >= abs(sum(sums)) for sign in signs]
    assert paired(first, second, groups).p == pytest.approx(np.mean(away))


def test_ten_copies_of_a_row_are_not_ten_proofs():
    first, second = [False] * 20, [True] * 20
    assert paired(first, second).p < 1e-5
    assert paired(first, second, groups=[row // 10 for row in range(20)]).p == 0.5


def test_columns_of_different_length_are_refused():
    with pytest.raises(ConfigError):
        bootstrap(auroc, [1.0], [True, False])
    with pytest.raises(ConfigError):
        share([True, False], groups=["a"])
    with pytest.raises(ConfigError):
        paired([True], [True, False])
