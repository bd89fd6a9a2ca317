"""A change is found within the delay that is stated, and a ladder that hasn't changed is rarely suspected."""

from __future__ import annotations

import random
import subprocess
import sys
from statistics import NormalDist

import pytest
import scipy

from rung.errors import ConfigError
from rung.learn.drift import LossDrift, ScoreDrift, loss_delay, score_delay

LIMIT, WORSE = 0.05, 0.15


def rows_until_void(generator, before, most):
    """Rows after the change at which the certificate is void, and whether it was void before the change."""
    drift = LossDrift(LIMIT)
    for _ in range(before):
        drift.add(generator.random() < LIMIT)
    early = drift.void
    for row in range(1, most + 1):
        drift.add(generator.random() < WORSE)
        if drift.void:
            return row, early
    return most + 1, early


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.parametrize("before", [0, 100, 500])
def test_a_rise_of_the_loss_from_5_to_15_percent_is_found_within_the_stated_delay(before):
    delay = loss_delay(LIMIT, WORSE, after=before)
    generator = random.Random(before)
    found = [rows_until_void(generator, before, delay) for _ in range(60)]
    hits = sum(rows <= delay for rows, early in found if not early)
    assert hits >= scipy.stats.binom.ppf(0.001, sum(not early for _, early in found), 0.9)
    assert delay < 450, "useful at all"
    late = [rows for rows, early in found if not early]
    assert sorted(late)[len(late) // 2] > delay / 8, "the stated delay isn't far from what it takes"


def false_alarms(draws, rows):
    generator = random.Random(1)
    alarms = 0
    for _ in range(draws):
        drift = LossDrift(LIMIT)
        for _ in range(rows):
            drift.add(generator.random() < LIMIT)
        alarms += drift.void
    return alarms


@pytest.mark.proof
@pytest.mark.slow
def test_a_ladder_at_its_limit_is_rarely_suspected():
    assert false_alarms(20, 2000) <= scipy.stats.binom.ppf(0.999, 20, 0.05)


@pytest.mark.proof
@pytest.mark.slow
def test_over_10000_rows_at_most_5_percent_are_false_alarms():
    assert false_alarms(300, 10_000) <= scipy.stats.binom.ppf(0.999, 300, 0.05)


def test_the_evidence_is_a_fair_game_at_the_limit():
    """Over all outcomes of eight rows the mean fortune is 1: what makes 20 a rare one."""

    def total(chance, outcomes):
        if len(outcomes) == 8:
            drift = LossDrift(0.2)
            for lost in outcomes:
                drift.add(lost)
            return chance * drift._fortune.value
        return total(chance * 0.2, [*outcomes, True]) + total(chance * 0.8, [*outcomes, False])

    assert total(1.0, []) == pytest.approx(1.0)


def test_what_is_void_stays_void():
    drift = LossDrift(LIMIT)
    for _ in range(30):
        drift.add(True)
    assert drift.void
    for _ in range(2000):
        drift.add(False)
    assert drift.void
    assert drift.rows == 2030


def test_where_the_loss_does_not_rise_no_delay_is_stated():
    assert loss_delay(LIMIT, 0.04) is None
    assert loss_delay(LIMIT, 0.3) < loss_delay(LIMIT, 0.15) < loss_delay(LIMIT, 0.1)
    assert loss_delay(LIMIT, 0.15, after=10) < loss_delay(LIMIT, 0.15, after=10_000)


def shifted(generator, shift, most, seen=300, before=200):
    drift = ScoreDrift((generator.gauss(0, 1) for _ in range(seen)), seed=generator.randrange(1000))
    for _ in range(before):
        drift.add(generator.gauss(0, 1))
    early = drift.warns
    for _ in range(most):
        drift.add(generator.gauss(shift, 1))
    return drift.warns, early


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.parametrize("sign", [-1, 1])
def test_scores_that_shift_are_noticed_within_the_stated_delay(sign):
    shift = sign * 0.7
    delay = score_delay(300, NormalDist().cdf(shift / 2**0.5), after=200)
    assert delay < 200
    generator = random.Random(5)
    found = [shifted(generator, shift, delay) for _ in range(60)]
    assert sum(early for _, early in found) <= scipy.stats.binom.ppf(0.999, 60, 0.05)
    assert sum(warns for warns, _ in found) >= scipy.stats.binom.ppf(0.001, 60, 0.9)


@pytest.mark.proof
@pytest.mark.slow
def test_scores_that_do_not_change_are_rarely_suspected_ties_included():
    generator = random.Random(2)
    for digits in (6, 0):
        warned = 0
        for _ in range(20):
            drift = ScoreDrift([round(generator.gauss(0, 1), digits) for _ in range(200)], seed=generator.randrange(99))
            for _ in range(1000):
                drift.add(round(generator.gauss(0, 1), digits))
            warned += drift.warns
        assert warned <= scipy.stats.binom.ppf(0.999, 20, 0.05)


@pytest.mark.slow
def test_a_shift_that_becomes_ordinary_before_it_is_seen_has_no_delay():
    assert score_delay(20, 0.52) is None
    assert score_delay(300, 0.5) is None


def test_watching_loads_none_of_the_extra():
    code = "import sys, rung.learn.drift; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "sklearn"} & set(done.stdout.split())


@pytest.mark.parametrize("give", [lambda: LossDrift(0), lambda: loss_delay(1, 0.5), lambda: score_delay(100, 0)])
def test_numbers_out_of_range_are_a_sentence(give):
    with pytest.raises(ConfigError):
        give()
