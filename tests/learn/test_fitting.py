"""A score is one feature unless several are shown to be better on rows that took no part in weighing them."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.each import each
from rung.errors import ConfigError
from rung.learn import extra
from rung.learn.fitting import FEWEST_ROWS, MOST_FEATURES, ROWS_PER_FEATURE, fit
from rung.learn.metrics import auroc


def sample(rows=400, seed=0, noise=0, right=0.7):
    """Two features that each tell a part, one that tells nothing, and further noise."""
    generator = np.random.default_rng(seed)
    agrees = generator.random(rows) < right
    columns = {"sum": generator.normal(size=rows) + agrees, "margin": 10 * (generator.normal(size=rows) + 1.2 * agrees)}
    columns |= {f"noise{number}": generator.normal(size=rows) for number in range(noise)}
    return columns, agrees


@pytest.mark.slow
def test_one_feature_is_itself_where_no_other_adds_anything():
    columns, agrees = sample(noise=5)
    del columns["margin"]
    fitted = fit(columns, agrees, default="sum")
    assert (fitted.weights, fitted.bias) == ({"sum": 1.0}, 0.0)
    assert (fitted.scores(columns) == columns["sum"]).all()
    assert (fitted.rows, fitted.agreeing) == (400, agrees.sum())


@pytest.mark.slow
def test_two_features_that_complete_each_other_are_weighed():
    columns, agrees = sample()
    fitted = fit(columns, agrees, default="sum")
    assert set(fitted.weights) == {"sum", "margin"}
    fresh, truth = sample(rows=5000, seed=1)
    assert auroc(fitted.scores(fresh), truth) > auroc(fresh["sum"], truth) + 0.05
    assert fitted.auroc == pytest.approx(auroc(fitted.scores(fresh), truth), abs=0.05), "said without optimism"


@pytest.mark.slow
def test_a_score_of_several_features_is_the_logit_that_an_answer_agrees():
    columns, agrees = sample(rows=3000)
    fitted = fit(columns, agrees, default="sum", form="several")
    said = 1 / (1 + np.exp(-fitted.scores(columns)))
    for low in (0.5, 0.7, 0.9):
        bin_ = (said > low) & (said < low + 0.1)
        assert agrees[bin_].mean() == pytest.approx(low + 0.05, abs=0.06)


@pytest.mark.parametrize(("rows", "right"), [(FEWEST_ROWS - 1, 0.5), (400, 0.97), (400, 1.0), (400, 0.0)])
def test_with_few_rows_or_few_of_a_class_nothing_is_fitted(rows, right):
    columns, agrees = sample(rows=rows, right=right)
    assert fit(columns, agrees, default="sum", form="several").weights == {"sum": 1.0}


@pytest.mark.slow
def test_the_rarer_class_limits_the_features_and_six_are_the_most():
    columns, agrees = sample(noise=20)
    assert len(fit(columns, agrees, default="sum", form="several").weights) == MOST_FEATURES
    few = np.flatnonzero(~agrees)[3 * ROWS_PER_FEATURE :]
    kept = np.setdiff1d(np.arange(400), few)
    part = {name: column[kept] for name, column in columns.items()}
    assert len(fit(part, agrees[kept], default="sum", form="several").weights) == 3


@pytest.mark.slow
def test_a_feature_that_repeats_another_or_is_constant_or_unknown_in_some_row_takes_no_part():
    columns, agrees = sample()
    columns |= {"twin": 3 * columns["sum"] + 1, "constant": np.ones(400)}
    columns["unknown"] = np.where(np.arange(400) == 7, np.nan, columns["margin"])
    assert set(fit(columns, agrees, default="sum", form="several").weights) == {"sum", "margin"}


@pytest.mark.slow
def test_an_answer_that_failed_validation_takes_no_part_and_scores_lowest():
    columns, agrees = sample()
    whole = fit(columns, agrees, default="sum")
    failed = {name: np.append(column, [np.nan] * 50) for name, column in columns.items()}
    fitted = fit(failed, np.append(agrees, [False] * 50), default="sum")
    assert fitted == whole
    assert (fitted.scores(failed)[400:] == -np.inf).all()


@pytest.mark.slow
def test_shuffled_labels_are_seen_through():
    """Noise never looks better than the default feature by more than the gain that is asked for, but for chance."""
    found = []
    for seed in range(5):
        columns, agrees = sample(rows=200, seed=seed, noise=5)
        found.append(fit(columns, np.random.default_rng(seed).permutation(agrees), default="sum"))
    assert np.mean([fitted.auroc for fitted in found]) == pytest.approx(0.5, abs=0.06)


def test_groups_never_stand_on_both_sides_of_a_fold():
    """A feature that only names the group can't look good."""
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    agrees = np.repeat(generator.random(40) < 0.5, 10)
    columns = {"sum": generator.normal(size=400), "name": np.repeat(generator.normal(size=40), 10)}
    columns["name"] += 0.001 * generator.normal(size=400)
    assert fit(columns, agrees, default="sum", groups=groups, form="several").auroc < 0.75


def test_the_curve_rises_fits_and_never_says_0_or_1():
    columns, agrees = sample(rows=2000)
    curve = np.array(fit(columns, agrees, default="sum", form="one").curve)
    assert (np.diff(curve, axis=0) >= 0).all()
    assert ((curve[:, 1] > 0) & (curve[:, 1] < 1)).all()
    near = np.abs(columns["sum"] - 0.5) < 0.2
    assert np.interp(0.5, *curve.T) == pytest.approx(agrees[near].mean(), abs=0.08)
    assert fit(*sample(rows=20), default="sum").curve == ()


@pytest.mark.slow
def test_a_fitted_score_becomes_the_threshold_that_a_ladder_acts_on():
    columns, agrees = sample()
    fitted = fit(columns, agrees, default="sum", form="several")
    threshold = fitted.threshold(0.3, "calibrated on 400 prompts")
    row = {name: float(column[0]) for name, column in columns.items()}
    score = threshold.bias + sum(weight * row[name] for name, weight in threshold.weights.items())
    assert score == pytest.approx(fitted.scores(columns)[0])
    assert (threshold.above, threshold.curve) == (0.3, fitted.curve)


@pytest.mark.slow
@each(
    "give",
    [
        lambda: fit({"sum": [1.0]}, [1], default="mean"),
        lambda: fit({"sum": [1.0, 2.0]}, [1], default="sum"),
        lambda: fit({"sum": [1.0]}, [2], default="sum"),
        lambda: fit({"sum": [1.0]}, [1], default="sum", form="net"),
        lambda: fit(*sample(), default="sum").scores({"sum": [1.0]}),
    ],
)
def test_what_cannot_be_fitted_is_a_sentence(give):
    with pytest.raises(ConfigError):
        give()


def test_without_the_extra_the_sentence_says_what_to_install():
    with pytest.raises(ConfigError) as caught:
        extra.library("no_such_library.part")
    assert caught.value.hint == 'pip install "rung[eval]"'


def test_a_library_that_is_there_and_broken_is_not_called_missing(monkeypatch):
    def broken(name):
        raise ModuleNotFoundError("No module named 'other'", name="other")

    monkeypatch.setattr(extra, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        extra.library("scipy.stats")
