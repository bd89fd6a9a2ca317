"""What a person is told of how sure a tier was, and had to be."""

from __future__ import annotations

import pytest

from rung import Finished, Ladder, Rung, Threshold
from rung.cli import receipts, report, trace
from rung.ledger.records import record
from rung.testing import Reply, ScriptedTier

LEARNT = Threshold(-0.5, {"mean": 1.0}, origin="learnt from 300 rows", curve=((-2.0, 0.25), (0.0, 0.75)))


def finished(threshold, **settings):
    ladder = Ladder(Rung(ScriptedTier("small", Reply("yes", logprob=-1.0)), **settings))
    *_, last = ladder.stream("Is it?", ["yes", "no"], thresholds={"small": threshold} if threshold else None)
    assert isinstance(last, Finished)
    return last


def test_the_trace_says_the_score_the_probability_the_threshold_and_where_it_comes_from():
    said = trace.table(finished(LEARNT).outcome)
    assert "score -1.000, right with a probability of 0.50; accepted above -0.500: learnt from 300 rows" in said


def test_the_json_of_an_attempt_has_them_as_well():
    told = report.as_json(finished(LEARNT).outcome)["attempts"][0]
    assert (told["score"], told["probability"]) == (-1.0, 0.5)
    assert told["threshold"] == {"above": -0.5, "origin": "learnt from 300 rows"}


def test_the_receipt_has_them_as_well_and_a_tier_without_a_threshold_says_nothing():
    receipt = receipts.receipt(record(finished(LEARNT), 0.0, content=False))
    assert "score -1.000, right with a probability of 0.50, accepted above -0.500: learnt from 300 rows" in receipt
    assert "score" not in receipts.receipt(record(finished(None), 0.0, content=False))


@pytest.mark.parametrize(
    ("threshold", "settings", "hint"),
    [
        (None, {"min_confidence": 0.9}, "the model wasn't sure enough; a lower min_confidence accepts it"),
        (LEARNT, {"min_confidence": 0.1}, "the model wasn't sure enough (learnt from 300 rows)"),
    ],
    ids=["set by a person", "learnt"],
)
def test_a_person_is_told_which_threshold_the_answer_did_not_reach(threshold, settings, hint):
    said = report.unresolved(finished(threshold, **settings).outcome, trace=False, continued=False)
    assert f"small: {hint}\n" in said
