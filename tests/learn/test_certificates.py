"""What a certificate is made of: the exact bound, betting, one threshold for several tiers, and a second opinion."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy

from helpers.each import each
from rung.errors import ConfigError
from rung.learn.bounds import Betting, Binomial
from rung.learn.certificates import _at_most, certify, certify_accepted, rows_likely, rows_needed, shadow_losses
from rung.learn.costs import Pay
from rung.learn.paths import Path, common
from rung.learn.rechecks import check

LIMIT, DELTA = 0.03, 0.1


def sample(rows=400, seed=0, rate=0.1):
    generator = np.random.default_rng(seed)
    lost = generator.random(rows) < rate
    return np.round(generator.normal(size=rows) - 1.5 * lost, 1), lost


def test_the_allowed_losses_are_the_most_that_the_binomial_allows():
    assert [Binomial.of(rows, LIMIT, DELTA).allowed for rows in (75, 76, 200, 300)] == [-1, 0, 2, 4]
    for rows, limit, delta in itertools.product((10, 45, 100, 777), (0.01, 0.05, 0.5), (0.05, 0.1, 0.5)):
        allowed = Binomial.of(rows, limit, delta).allowed
        assert allowed < 0 or scipy.stats.binom.cdf(allowed, rows, limit) <= delta
        assert scipy.stats.binom.cdf(allowed + 1, rows, limit) > delta


def test_the_chance_that_a_threshold_passes_is_the_beta_binomials():
    draws, most = np.array([0, 5, 90, 400, 1500]), np.array([-1, 5, 2, 0, 40])
    a, b = np.array([0.5, 3.5, 1.5, 0.5, 30.5]), np.array([0.5, 9.5, 80.5, 300.5, 900.5])
    assert _at_most(most, draws, a, b) == pytest.approx(scipy.stats.betabinom.cdf(most, draws, a, b), abs=1e-9)


def test_the_threshold_is_the_score_of_the_first_lost_row_too_many_and_its_ties_are_sent_up():
    scores, lost = sample()
    found = certify(scores, lost, limit=LIMIT, delta=DELTA)
    allowed = Binomial.of(400, LIMIT, DELTA).allowed
    assert found.threshold == np.sort(scores[lost])[::-1][allowed]
    assert (scores[lost] > found.threshold).sum() == found.losses <= allowed
    assert found.kept == (scores > found.threshold).mean()
    assert (found.method, found.of, found.rows, found.average) == ("binomial", "prompts", 400, False)


def test_rows_that_failed_validation_are_never_accepted_and_count_as_rows():
    scores, lost = sample(rows=70, rate=0)
    assert certify(scores, lost, limit=LIMIT, delta=DELTA).threshold is None, "too few rows"
    scores, lost = np.append(scores, [-np.inf] * 30), np.append(lost, [True] * 30)
    found = certify(scores, lost, limit=LIMIT, delta=DELTA)
    assert (found.kept, found.losses) == (0.7, 0)
    assert certify([-np.inf] * 100, [True] * 100, limit=LIMIT, delta=DELTA).threshold is None


def test_an_answer_that_is_less_sure_than_all_that_were_seen_is_not_accepted():
    scores, lost = sample(rate=0)
    found = certify(scores, lost, limit=LIMIT, delta=DELTA)
    assert found.kept == 1.0
    assert scores.min() - 1e-9 < found.threshold < scores.min()


def test_rows_needed_are_the_fewest_that_certify():
    assert (rows_needed(0.03, 0.1), rows_needed(0.05, 0.1)) == (76, 45)
    for losses in (0, 3, 20):
        rows = rows_needed(LIMIT, DELTA, losses)
        lost = np.arange(rows) < losses
        assert certify(np.zeros(rows), lost, limit=LIMIT, delta=DELTA).kept == 1.0
        assert certify(np.zeros(rows - 1), lost[1:] if not losses else lost[:-1], limit=LIMIT, delta=DELTA).kept == 0.0


def test_rows_likely_needed_certify_as_often_as_asked():
    rows = rows_likely(0.05, 0.1, rate=0.02)
    lost = np.random.default_rng(0).binomial(rows, 0.02, size=4000)
    assert 0.78 < (lost <= Binomial.of(rows, 0.05, 0.1).allowed).mean() < 0.9
    assert rows_likely(0.05, 0.1, rate=0.0) == 45
    assert rows_likely(0.05, 0.1, rate=0.05) is None


def test_a_group_is_one_unit_with_its_mean_loss():
    scores, lost = sample(rows=300, rate=0.005)
    copied = certify(
        np.repeat(scores, 4), np.repeat(lost, 4), limit=LIMIT, delta=DELTA, groups=np.repeat(range(300), 4)
    )
    assert (copied.method, copied.rows, copied.groups) == ("betting", 1200, 300)
    assert copied.kept <= certify(scores, lost, limit=LIMIT, delta=DELTA).kept
    few = certify(np.repeat(scores[:20], 60), np.zeros(1200), limit=LIMIT, delta=DELTA, groups=np.repeat(range(20), 60))
    assert few.threshold is None, "1,200 rows of 20 groups are 20 units"


@pytest.mark.parametrize("pairs", [1, 5, 20])
def test_a_few_rows_that_repeat_each_other_cost_no_more_than_themselves(pairs):
    """Nearly every set has a near-duplicate. With k losses allowed, the threshold is the (k+1)-th lost group's."""
    scores, lost = sample(rows=300, rate=0.02)
    groups = np.where(np.arange(300) < 2 * pairs, np.arange(300) // 2, np.arange(300))
    found = certify(scores, lost, limit=LIMIT, delta=DELTA, groups=groups)
    allowed = Binomial.of(300 - pairs, LIMIT, DELTA).allowed
    highest = {group: max(scores[(groups == group) & lost], default=-np.inf) for group in groups.tolist()}
    assert found.method == "binomial"
    assert found.threshold == sorted(highest.values())[-allowed - 1]


def test_a_group_that_is_lost_in_part_is_lost_to_a_promise_and_not_against_one():
    groups = np.where(np.arange(220) < 40, np.arange(220) // 2, np.arange(220))
    partly, wholly = (np.arange(220) < 12) & (np.arange(220) % 2 == 0), np.arange(220) < 12
    assert check(partly, limit=LIMIT, delta=DELTA, groups=groups).p == 1.0
    assert check(wholly, limit=LIMIT, delta=DELTA, groups=groups).p == pytest.approx(
        scipy.stats.binom.sf(5, 200, LIMIT)
    )
    assert check(partly, limit=LIMIT, delta=DELTA, groups=groups).verdict == "too few rows to tell"


def test_betting_does_not_depend_on_the_order_of_the_groups():
    scores, lost = sample(rows=600, rate=0.02)
    groups = np.arange(600) // 3
    order = np.random.default_rng(1).permutation(600)
    first = certify(scores, lost, limit=LIMIT, delta=DELTA, groups=groups)
    assert first.threshold is not None
    assert certify(scores[order], lost[order], limit=LIMIT, delta=DELTA, groups=groups[order]) == first


def test_a_gambler_at_the_limit_gains_nothing_on_average():
    """The expected fortune, over all outcomes of few units of unequal size and weight, is at most 1."""
    units = np.array([0, 0, 1, 2, 2, 3])
    weights = np.array([1.0, 1.0, 4.0, 2.0, 2.0, 1.0])
    bound = Betting.of(units, weights, 0.2, 0.1)
    total = 0.0
    for outcome in itertools.product((0.0, 1.0), repeat=4):
        chance, factors = 1.0, np.ones(len(bound.stakes))
        for unit, value in enumerate(outcome):
            most = bound.most[unit]
            chance *= 0.2 / most if value else 1 - 0.2 / most
            edge = (0.2 - value * most) / (most - 0.2)
            factors *= [1 + stake * edge for stake in bound.stakes]
        total += chance * factors.mean()
    assert total == pytest.approx(1.0)


def test_weighted_rows_need_76_that_the_coin_chose_and_a_dropped_shadow_differs():
    scores = np.random.default_rng(0).normal(size=4000)
    tossed = np.arange(4000) % 20 == 0
    agrees = np.where(tossed, 1.0, np.nan)
    chances = np.full(4000, 0.05)

    def kept(rows):
        return certify(
            scores[:rows], shadow_losses(tossed, agrees)[:rows], limit=LIMIT, delta=DELTA, chances=chances[:rows]
        ).kept

    assert (kept(75 * 20), kept(85 * 20)) == (0.0, 1.0), "the betting bound needs a few more than the exact one"
    agrees[[0, 400, 800]] = np.nan
    assert shadow_losses(tossed, agrees).sum() == 3
    assert kept(85 * 20) < 1.0


def test_rows_collected_under_a_threshold_certify_none_below_it():
    scores, _ = sample()
    assert certify(scores, np.zeros(400), limit=LIMIT, delta=DELTA, floor=0.5).threshold == 0.5


def test_on_average_keeps_more_and_says_that_it_is_weaker():
    scores, lost = sample()
    sure, average = (certify(scores, lost, limit=LIMIT, delta=DELTA, average=a) for a in (False, True))
    assert average.average
    assert average.kept > sure.kept
    assert average.losses == np.floor(LIMIT * 401 - 1)


def answers(scores, lost, cut):
    """What each row loses where tier after tier is asked at one threshold, the last one losing nothing."""
    loses = []
    for row in range(len(scores)):
        tier = next((tier for tier in range(scores.shape[1]) if scores[row, tier] > cut), None)
        loses.append(tier is not None and bool(lost[row, tier]))
    return np.array(loses)


def test_several_tiers_are_certified_as_one_policy():
    """At the certified threshold and at every higher one the policy loses no more than is allowed."""
    generator = np.random.default_rng(4)
    lost = generator.random((500, 2)) < (0.15, 0.05)
    scores = np.round(generator.normal(size=(500, 2)) - 1.5 * lost, 1)
    scores[:20, 0] = -np.inf
    found = certify(scores, lost, limit=LIMIT, delta=DELTA)
    allowed = Binomial.of(500, LIMIT, DELTA).allowed
    higher = [cut for cut in np.unique(scores) if cut >= found.threshold]
    assert all(answers(scores, lost, cut).sum() <= allowed for cut in higher)
    assert any(answers(scores, lost, cut).sum() > allowed for cut in np.unique(scores) if cut < found.threshold)
    assert found.kept == ((scores > found.threshold).any(axis=1)).mean()


def test_one_column_of_several_tiers_is_the_single_tier():
    scores, lost = sample()
    assert certify(scores[:, None], lost[:, None], limit=LIMIT, delta=DELTA) == certify(
        scores, lost, limit=LIMIT, delta=DELTA
    )


def test_a_path_puts_tiers_on_the_scale_of_how_likely_they_agree():
    generator = np.random.default_rng(0)
    agrees = generator.random((4000, 2)) < (0.6, 0.9)
    scores = np.stack(
        [generator.normal(size=4000) + 2 * agrees[:, 0], 100 * (generator.normal(size=4000) + agrees[:, 1])], axis=1
    )
    path = common(scores, agrees)
    thresholds = path.thresholds(np.log(0.8 / 0.2))
    for tier, threshold in enumerate(thresholds):
        near = np.abs(path.positions(scores)[:, tier] - np.log(4)) < 0.3
        assert agrees[near, tier].mean() == pytest.approx(0.8, abs=0.07)
        assert ((path.positions(scores)[:, tier] > np.log(4)) == (scores[:, tier] > threshold)).all()


def test_a_tier_whose_score_says_nothing_is_asked_whole_or_not_at_all():
    scores = np.stack([np.zeros(100), -np.arange(100.0)], axis=1)
    agrees = np.stack([np.arange(100) < 80, np.arange(100) > 50], axis=1)
    path = common(scores, agrees)
    assert path.slopes == (0.0, 0.0), "constant, and worse than chance"
    assert path.thresholds(0.0) == (-np.inf, np.inf)
    assert Path((1.0,), (0.0,)).positions([[-np.inf]]).tolist() == [[-np.inf]]


def test_share_of_the_accepted_is_tested_downwards_until_the_first_failure():
    scores, wrong = sample(rows=300, rate=0.2)
    fit_scores, fit_wrong = sample(rows=150, seed=1, rate=0.2)
    found = certify_accepted(scores, wrong, fit_scores=fit_scores, fit_wrong=fit_wrong, limit=0.1, delta=DELTA)
    accepted = scores > found.threshold
    assert scipy.stats.binom.cdf(wrong[accepted].sum(), accepted.sum(), 0.1) <= DELTA
    assert found.kept == accepted.mean() > 0.2
    assert (found.of, found.losses) == ("accepted", wrong[accepted].sum())
    nothing = certify_accepted(scores, wrong, fit_scores=[-np.inf], fit_wrong=[True], limit=0.1, delta=DELTA)
    assert nothing.threshold is None, "no fit row says where to begin"


@pytest.mark.parametrize("grouped", [False, True])
def test_fresh_rows_contradict_confirm_or_are_too_few(grouped):
    def verdict(lost, rows):
        groups = np.arange(rows) // 2 if grouped else None
        return check(np.arange(rows) < lost, limit=LIMIT, delta=DELTA, groups=groups)

    assert verdict(60, 400).verdict == "contradicted"
    assert verdict(60, 400).p < 0.001
    assert verdict(1, 400).verdict == "confirmed"
    assert verdict(0, 40).verdict == "too few rows to tell"
    assert verdict(12, 400).verdict == "too few rows to tell", "just at the limit"


def test_the_check_of_single_rows_is_the_exact_binomial_test():
    assert check([1] * 6 + [0] * 94, limit=LIMIT, delta=DELTA).p == pytest.approx(scipy.stats.binom.sf(5, 100, LIMIT))


@pytest.mark.parametrize("grouped", [False, True])
def test_a_right_promise_is_contradicted_at_most_as_often_as_the_check_says(grouped):
    generator = np.random.default_rng(0)
    groups = np.arange(300) // 3 if grouped else None
    draws = 400
    lost = [
        np.repeat(generator.random(100), 3) < LIMIT if grouped else generator.random(300) < LIMIT for _ in range(draws)
    ]
    false = sum(check(one, limit=LIMIT, delta=DELTA, groups=groups).verdict == "contradicted" for one in lost)
    assert false <= scipy.stats.binom.ppf(0.999, draws, 0.05)


def test_constant_scores_certify_nothing_where_the_tier_loses_more_than_the_limit():
    assert certify(np.zeros(1000), np.arange(1000) < 100, limit=LIMIT, delta=DELTA).kept == 0.0


def test_shuffled_labels_certify_no_more_than_chance_and_do_not_pay():
    """A score that says nothing keeps at most the share whose loss is the limit: 3 of 30 points."""
    generator = np.random.default_rng(0)
    kept = [
        certify(generator.normal(size=1000), generator.random(1000) < 0.3, limit=LIMIT, delta=DELTA).kept
        for _ in range(100)
    ]
    assert 0.03 < np.mean(kept) < LIMIT / 0.3
    assert not Pay(float(np.mean(kept)), seconds=0.3, next_seconds=1.0).pays


@each(
    "give",
    [
        lambda: certify([], [], limit=LIMIT, delta=DELTA),
        lambda: certify([1], [2], limit=LIMIT, delta=DELTA),
        lambda: certify([1], [1], limit=0, delta=DELTA),
        lambda: certify([1], [1], limit=LIMIT, delta=1),
        lambda: certify([1], [1], limit=float("nan"), delta=DELTA),
        lambda: certify([[1, 2]], [[1]], limit=LIMIT, delta=DELTA),
        lambda: certify([1], [1], limit=LIMIT, delta=DELTA, chances=[0]),
        lambda: certify([1], [1], limit=LIMIT, delta=DELTA, chances=[0.5], average=True),
        lambda: certify([1], [1], limit=LIMIT, delta=DELTA, groups=["a", "b"]),
        lambda: shadow_losses([1], [1, 1]),
        lambda: common([1], [1]),
        lambda: Path((1.0,), (0.0,)).positions([[1, 2]]),
        lambda: rows_likely(LIMIT, DELTA, rate=2),
    ],
)
def test_what_cannot_be_certified_is_a_sentence(give):
    with pytest.raises(ConfigError):
        give()
