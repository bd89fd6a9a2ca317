"""A look at a weak answer's own text beats the published routers, replayed on what two models answered to GSM8K."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.each import each
from rung.learn.metrics import deferral, oracle

from .from_scripts import script

routellm = script("routellm")


@pytest.fixture(scope="module")
def rows():
    try:
        return routellm.recorded()
    except FileNotFoundError as error:
        pytest.skip(f"needs the recorded answers: {error.filename}")


def curves(rows, seeds):
    return [deferral(routellm.gate(rows, seed=seed), rows.weak, rows.strong) for seed in range(seeds)]


def test_the_published_accuracies_are_reproduced(rows):
    assert len(rows.weak) == 1307
    found = (rows.weak.mean(), rows.strong.mean(), oracle(rows.weak, rows.strong))
    assert [round(100 * share, 3) for share in found] == [63.734, 85.769, 92.961]


def test_the_gate_tells_when_to_ask_the_strong_model(rows):
    for curve in curves(rows, seeds=2):
        assert curve.apgr >= 0.68
        assert curve.cpt(0.5) <= 0.18


@pytest.mark.proof
@pytest.mark.slow
def test_over_20_foldings_the_gate_keeps_its_worth(rows):
    found = curves(rows, seeds=20)
    apgr, half = [curve.apgr for curve in found], [curve.cpt(0.5) for curve in found]
    assert np.mean(apgr) >= 0.68
    assert min(apgr) >= 0.68
    assert np.mean(half) <= 0.165
    assert max(half) <= 0.175


def test_a_gate_on_shuffled_answers_is_worth_nothing(rows):
    score = np.random.default_rng(0).permutation(routellm.gate(rows))
    assert deferral(score, rows.weak, rows.strong).apgr == pytest.approx(0.5, abs=0.05)


@each(
    ("text", "feature", "value"),
    [
        ("3 * 2 = <<3*2=6>>6\n#### 6", "miscalculated", 0),
        ("3 * 2 = <<3*2=7>>7\n#### 7", "miscalculated", 1),
        ("10% is <<50*10%=5>>5\n#### 5", "miscalculated", 0),
        ("<<n*2=6>>\n#### 6", "miscalculated", 0),
        ("<<9**9=6>>\n#### 6", "miscalculated", 0),
        ("<<3*2=6>> and <<6+1=7>>\n#### 6", "from elsewhere", 1),
        ("<<3*2=6>> and <<6+1=7>>\n#### $7.00", "from elsewhere", 0),
        ("so half a bolt\n#### 2.5", "fraction", 1),
        ("so that is\n#### 1,200", "fraction", 0),
        ("and then she", "truncated", 1),
        ("done\n#### 4", "truncated", 0),
        ("<<1+1=2>><<2+2=4>>\n#### 4", "steps", 2),
    ],
)
def test_what_the_text_of_an_answer_says_of_itself(text, feature, value):
    assert routellm.read(text)[feature] == value
