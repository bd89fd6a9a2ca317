"""What a calibration promises is so on what real models answered to public sets (kept by scripts/outcomes.py)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from rung.learn.climbing import Climb
from rung.learn.fitting import Fitted
from rung.learn.outcomes import Outcomes
from rung.learn.results import TierResult
from rung.learn.rows import Row

from .from_scripts import script

outcomes = script("outcomes")
bench = script("bench_calibrate")

RECORDED = list(outcomes.kept())
NAMES = [each.name for each in RECORDED]
PLAIN = Fitted({"allowed_minimum": 1.0}, 0.0, (), None, 0, 0)


def result(tier, *, right, **settings):
    return TierResult(1, "k" * 64, "g", tier, valid=True, right=right, **settings)


def test_what_is_kept_is_read_as_it_was(tmp_path):
    small = result("small", right=False, agrees=False, seconds=0.5, features={"sum": -1.25})
    alone = result("mid", right=True, seconds=1.5)
    climb = Climb(Row(1, "k" * 64, (), group="g"), (small, replace(alone, agrees=True)), alone)
    path = outcomes.write(outcomes.Recorded("set", ("0.5b", "1.5b"), (climb,)), tmp_path)
    (found,) = outcomes.read(path).climbs
    assert [step.right for step in found.steps] == [False, True]
    assert found.steps[0].features == {"sum": -1.25}
    assert found.alone.seconds == 1.5


def test_rows_of_one_group_stay_together_and_those_of_two_apart_however_alike_their_names(tmp_path):
    alone = result("mid", right=True)
    climbs = [
        Climb(Row(number, f"{number:064x}", (), group=f"the very same beginning, {number // 2}"), (alone,), alone)
        for number in range(4)
    ]
    path = outcomes.write(outcomes.Recorded("set", ("1.5b",), tuple(climbs)), tmp_path)
    first, second, third, fourth = (climb.row.group for climb in outcomes.read(path).climbs)
    assert first == second != third == fourth


@pytest.mark.parametrize("recorded", RECORDED, ids=NAMES)
def test_the_ladder_loses_no_more_right_answers_than_it_has_different_ones(recorded):
    """So a promise about differences needs no labels: at every threshold it bounds the lost accuracy."""
    by_difference, by_labels = (Outcomes.of(recorded.climbs, [PLAIN], kind) for kind in ("differs", "worse"))
    for threshold in np.unique(by_difference.scores):
        differs, worse = (found.under([threshold])[1] for found in (by_difference, by_labels))
        assert worse.sum() <= differs.sum()


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["differs", "worse"])
@pytest.mark.parametrize("recorded", RECORDED, ids=NAMES)
def test_nine_promises_in_ten_hold_at_least(recorded, kind):
    draws = 100
    broken = sum(not bench.holds(recorded.climbs, 200, kind, seed) for seed in range(draws))
    assert broken <= binom.isf(0.001, draws, bench.DELTA)
