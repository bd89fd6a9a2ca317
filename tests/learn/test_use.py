"""What use teaches: a certificate from coins that fell, and a drift that is found as soon as it was said to be."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import time
from itertools import count

import pytest
import scipy

from learn.used import CALIBRATED, FORM, ask, fill
from rung import ConfigError, Threshold
from rung.learn.certificates import rows_needed
from rung.learn.drift import loss_delay
from rung.learn.learned import Promise
from rung.learn.questions import Question
from rung.learn.use import fewest, read_use, tasks_in_use
from rung.learn.use_calibrating import calibrate_use, sentences
from rung.learn.watching import said, watch
from rung.ledger import Ledger, LedgerFile

LATER = time.time() + 86_400


@pytest.fixture
def ledger(tmp_path):
    # each request a second later, so that their order is that of time
    clock = map(float, count(1_700_000_000))
    with Ledger(tmp_path / "ledger.sqlite3", clock=lambda: next(clock)) as made:
        yield made


def used(ledger, **settings):
    ledger.flush()
    with LedgerFile(ledger.path) as file:
        return read_use(file, "intent", LATER, **settings)


def promise(limit=0.05):
    return Promise(kind="differs", limit=limit, delta=0.1, certified=True, against="mid", rows=300)


def test_as_many_rows_are_needed_as_the_certificate_needs():
    for limit, delta in ((0.03, 0.1), (0.05, 0.1), (0.1, 0.05), (0.01, 0.2)):
        assert fewest(limit, delta) == rows_needed(limit, delta)
    assert fewest(0.03, 0.1) == 76


def test_76_requests_that_all_agree_certify_and_75_say_how_many_are_missing(ledger):
    fill(ledger, [False] * 75)
    with pytest.raises(ConfigError, match=r"75 requests .* drawn for a shadow, but 76 are needed"):
        calibrate_use(used(ledger), "mid", Question())
    fill(ledger, [False])
    found = calibrate_use(used(ledger), "mid", Question())
    assert found.promised
    assert (found.kept, found.losses, found.certificate.method) == (76, 0, "binomial")


@pytest.mark.slow
def test_the_threshold_lies_above_the_answers_that_differ(ledger):
    for number in range(200):
        unsure = number % 4 == 0
        ask(ledger, score=-2.0 - number / 100 if unsure else -0.1, lost=unsure)
    found = calibrate_use(used(ledger), "mid", Question())
    # of 200 rows two may be lost: the surest two of those that differ
    assert found.weights == {"minimum": 1.0}
    assert found.above == pytest.approx(-2.08)
    assert (found.kept, found.losses) == (152, 2)


@pytest.mark.parametrize("way", ["dropped", "killed"])
def test_a_shadow_without_a_result_counts_as_one_that_differs(ledger, way):
    fill(ledger, [False] * 76)
    ask(ledger, score=-0.01, **{way: True})
    use = used(ledger)
    assert use.dropped == 1
    found = calibrate_use(use, "mid", Question())
    assert found.kept == 0
    assert "1 could not be compared, which counts as differing" in " ".join(sentences(found, "first"))


@pytest.mark.slow
def test_a_small_share_is_weighted_and_certifies_with_as_many_coins(ledger):
    generator = random.Random(3)
    for _ in range(1700):
        ask(ledger, chance=0.05, fell=generator.random() < 0.05)
    use = used(ledger)
    found = calibrate_use(use, "mid", Question())
    assert found.certificate.method == "betting"
    assert (found.promised, found.kept) == (True, 1700)
    assert 76 <= len(use.tossed) <= 120


@pytest.mark.slow
def test_enough_coins_of_too_few_requests_say_how_many_requests_are_missing(ledger):
    for number in range(400):
        ask(ledger, chance=0.05, fell=number % 4 == 0)
    missing = r"100 of 400 requests were drawn for a shadow, .* about 1,\d\d\d more are needed"
    with pytest.raises(ConfigError, match=missing):
        calibrate_use(used(ledger), "mid", Question())


def test_the_threshold_in_force_is_the_lowest_since_nothing_is_known_below_it(ledger):
    force = Threshold(-0.5, {"minimum": 1.0}, origin="default")
    for number in range(100):
        up = number % 2 == 0
        ask(ledger, up=up, score=-3.0 if up else -0.1, threshold=force)
    found = calibrate_use(used(ledger), "mid", Question())
    assert (found.before, found.above, found.kept) == (-0.5, -0.5, 50)
    assert any("a lower threshold needs" in sentence for sentence in sentences(found, "first"))


def test_an_answer_of_the_last_tier_that_feedback_changed_is_lost_wherever_the_threshold_lies(ledger):
    fill(ledger, [True] * 8 + [False] * 92, up=True)
    found = calibrate_use(used(ledger), "mid", Question())
    assert not found.promised
    assert found.unavoidable == 8
    assert next(sentences(found, "first")).startswith("Nothing can be promised: 8 of 100 answers differ")


def test_the_sentences_say_what_the_numbers_say(ledger):
    fill(ledger, [False] * 100)
    found = calibrate_use(used(ledger), "mid", Question())
    first, coins, keeps, *_ = sentences(found, "first")
    assert first == (
        "On prompts drawn like those of these 100 requests, at most 3 in 100 answers differ from what mid alone would "
        "say. So the ladder is at most 3 points less accurate than mid, however good mid is. How good mid is, this "
        "can't tell. The method is right in 90% of samples."
    )
    drawn = "100 of them were drawn for a shadow before they were answered"
    assert coins.startswith(f"{drawn}: 100 agree with mid, 0 differ, and 0 ")
    assert keeps == "small answers 100 of the 100 requests, and answered 100 of them so far."
    assert next(sentences(found, "later")).startswith("This is an estimate and not a certificate")


@pytest.mark.parametrize("change", [{"small": "x"}, {"mid": "x"}, {"threshold": CALIBRATED}])
def test_only_what_the_present_policy_answered_counts(ledger, change):
    fill(ledger, [True] * 30)
    fill(ledger, [False] * 10, **change)
    assert [row.lost for row in used(ledger).rows] == [False] * 10


def test_a_request_of_another_form_neither_counts_nor_cuts_off_what_was_before_it(ledger):
    fill(ledger, [False] * 5)
    fill(ledger, [True], form="e" * 64, small="x")
    fill(ledger, [False] * 5)
    assert len(used(ledger).rows) == 10
    assert len(used(ledger, form=FORM).rows) == 10


def test_what_is_cancelled_or_of_another_task_does_not_count(ledger):
    fill(ledger, [False] * 3)
    fill(ledger, [True], reason="cancelled", killed=True)
    fill(ledger, [True], task="other")
    assert [row.lost for row in used(ledger).rows] == [False] * 3
    with LedgerFile(ledger.path) as file:
        assert tasks_in_use(file) == ["intent", "other"]


def test_rows_end_before_the_first_shadow_that_may_still_come(ledger):
    fill(ledger, [False] * 3)
    ask(ledger, killed=True)
    fill(ledger, [False] * 3)
    with LedgerFile(ledger.path) as file:
        assert len(read_use(file, "intent", 1_700_000_100.0).rows) == 3
        assert len(read_use(file, "intent", LATER).rows) == 7


def misses(draws, rows, generator, tmp_path):
    """In how many draws the promise is wrong: of all requests above the threshold, more than 3% of all differ."""
    wrong = 0
    for draw in range(draws):
        clock = map(float, count(1_700_000_000))
        with Ledger(tmp_path / f"{draw}.sqlite3", clock=lambda clock=clock: next(clock)) as ledger:
            for _ in range(rows):
                sure = generator.random()
                ask(
                    ledger,
                    chance=0.5,
                    fell=generator.random() < 0.5,
                    score=-sure,
                    lost=generator.random() < 0.2 * sure,
                )
            found = calibrate_use(used(ledger), "mid", Question())
        reached = min(1.0, max(0.0, -found.above))
        wrong += 0.2 * reached**2 / 2 > 0.03
    return wrong


@pytest.mark.proof
@pytest.mark.slow
def test_the_promise_is_wrong_in_at_most_a_tenth_of_samples(tmp_path):
    assert misses(40, 400, random.Random(7), tmp_path) <= scipy.stats.binom.ppf(0.999, 40, 0.1)


def drifting(ledger, generator, before, after, rate):
    fill(ledger, (generator.random() < 0.05 for _ in range(before)), threshold=CALIBRATED)
    early = watch(used(ledger), promise())
    fill(ledger, (generator.random() < rate for _ in range(after)), threshold=CALIBRATED)
    return early, watch(used(ledger), promise())


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_drift_from_5_to_15_percent_is_found_within_the_delay_that_was_said(ledger, seed):
    delay = loss_delay(0.05, 0.15, after=200)
    early, late = drifting(ledger, random.Random(seed), 200, delay, 0.15)
    assert not early.void
    assert early.delay == delay
    assert f"a rise to 15 in 100 is found within about {delay:,} more requests" in " ".join(said(early))
    assert late.void
    assert "the certificate is void; calibrate anew" in " ".join(said(late))


@pytest.mark.proof
@pytest.mark.slow
def test_of_uses_without_a_drift_at_most_5_percent_are_suspected_over_10000_rows(tmp_path):
    generator = random.Random(11)
    alarms = 0
    for draw in range(2):
        clock = map(float, count(1_700_000_000))
        with Ledger(tmp_path / f"{draw}.sqlite3", clock=lambda clock=clock: next(clock)) as ledger:
            fill(ledger, (generator.random() < 0.05 for _ in range(10_000)), threshold=CALIBRATED)
            alarms += watch(used(ledger), promise()).void
    assert alarms <= scipy.stats.binom.ppf(0.999, 2, 0.05)


@pytest.mark.slow
def test_scores_that_change_are_a_warning_and_no_more(ledger):
    generator = random.Random(5)
    for number in range(500):
        ask(ledger, score=-abs(generator.gauss(2 if number > 250 else 0.1, 0.1)), fell=False, threshold=CALIBRATED)
    fill(ledger, [False], threshold=CALIBRATED)
    found = watch(used(ledger), promise())
    assert found.scores >= 20
    assert not found.void
    assert "warning: scores have changed" in " ".join(said(found))


def test_before_there_is_a_promise_nothing_is_said_of_how_often_they_agree(ledger):
    fill(ledger, [number % 3 == 0 for number in range(75)])
    found = watch(used(ledger), None)
    assert (found.losses, found.enough) == (None, False)
    assert list(said(found)) == [
        "intent: 75 requests under the present settings, 75 drawn for a shadow",
        "  76 are needed to calibrate from them",
    ]
    fill(ledger, [True])
    found = watch(used(ledger), None)
    assert list(said(found))[-1] == "  enough to calibrate: rung calibrate --task intent --from-ledger"


@pytest.mark.slow
def test_the_delay_counts_requests_and_not_coins(ledger):
    generator = random.Random(1)
    for _ in range(60):
        ask(ledger, chance=0.1, fell=generator.random() < 0.1, threshold=CALIBRATED)
    found = watch(used(ledger), promise())
    assert found.delay == round(loss_delay(0.05, 0.15, after=len(found.use.tossed)) / 0.1)


@pytest.mark.slow
def test_reading_and_watching_load_none_of_the_extra():
    code = "import sys, rung.learn.watching; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "sklearn"} & set(done.stdout.split())


def test_an_infinite_threshold_keeps_nothing_and_says_so(ledger):
    never = Threshold(math.inf, {}, origin="not calibrated")
    fill(ledger, [False] * 80, up=True, threshold=never)
    found = calibrate_use(used(ledger), "mid", Question())
    assert (found.kept, found.above) == (0, math.inf)
    assert "So mid answers all of them." in list(sentences(found, "first"))
