"""A person judges few disagreements, blinded, and the certificate is the one that all judgements would give."""

from __future__ import annotations

import numpy as np
import pytest

from rung.errors import ConfigError
from rung.learn.certificates import certify
from rung.learn.labelling import REST, Judgement, Labelling, Pair
from rung.learn.outcomes import lost_first

from .from_scripts import script

LIMIT, DELTA = 0.03, 0.1
GOOD = script("binormal").Population(0.8, 0.85, 0.9)


def answer(question, ladder_right, mid_right):
    """What a person says who knows the truth."""
    right = (ladder_right, mid_right) if question.ladder_is_a else (mid_right, ladder_right)
    return {
        (True, False): Judgement.A,
        (False, True): Judgement.B,
        (True, True): Judgement.BOTH,
        (False, False): Judgement.NEITHER,
    }[right]


def labelled(rows, seed, groups=None, tied=False):
    found = GOOD.draw(np.random.default_rng(seed), rows)
    scores = np.round(found.scores, 1) if tied else found.scores
    labelling = Labelling(scores, found.differs, [str(r) for r in range(rows)], limit=LIMIT, delta=DELTA, groups=groups)
    shown = []
    while question := labelling.next():
        shown.append(question)
        lost = bool(found.worse[question.row])
        # where the two differ and the ladder isn't worse, either it is better or both are wrong
        labelling.judge(question, answer(question, not (lost or found.wrong[question.row]), lost))
    return labelling, scores, found, shown


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
def test_the_certificate_is_the_one_that_all_labels_would_give(tied, grouped):
    for seed in range(5):
        groups = (np.arange(400) // 2).tolist() if grouped else None
        labelling, scores, found, shown = labelled(400, seed, groups, tied)
        every = certify(scores, found.worse, limit=LIMIT, delta=DELTA, groups=groups)
        assert labelling.certificate() == every
        assert every.threshold is not None
        assert len(shown) < labelling.disagreements


@pytest.mark.slow
def test_few_labels_are_enough_and_each_is_a_disagreement_the_surest_first():
    counts = {rows: [len(labelled(rows, seed)[3]) for seed in range(10)] for rows in (300, 1000)}
    assert np.mean(counts[300]) < 15
    assert np.mean(counts[1000]) < 60
    _, scores, found, shown = labelled(300, 0)
    assert all(found.differs[question.row] for question in shown)
    assert sorted(shown, key=lambda question: -scores[question.row]) == shown


def test_which_side_the_ladder_stands_on_says_nothing_and_stays_the_same():
    first, second = (labelled(1000, 3)[3] for _ in range(2))
    assert first == second
    assert 0.3 < np.mean([question.ladder_is_a for question in first]) < 0.7


def test_what_nobody_judged_or_could_tell_counts_as_a_loss():
    found = GOOD.draw(np.random.default_rng(0), 300)
    keys = [str(row) for row in range(300)]
    labelling = Labelling(found.scores, found.differs, keys, limit=LIMIT, delta=DELTA)
    unjudged = certify(found.scores, found.differs, limit=LIMIT, delta=DELTA)
    assert labelling.certificate() == unjudged
    while question := labelling.next():
        labelling.judge(question, Judgement.UNSURE)
    assert labelling.certificate() == unjudged
    assert labelling.judged == 5, "four losses are allowed, the fifth ends it"


def test_judgements_of_before_a_restart_are_not_asked_again():
    labelling, scores, found, shown = labelled(300, 1)
    again = Labelling(scores, found.differs, [str(r) for r in range(300)], limit=LIMIT, delta=DELTA)
    again.restore({(q.row, q.tier): bool(found.worse[q.row]) for q in shown})
    assert again.next() is None
    assert again.certificate() == labelling.certificate()


def test_with_too_few_rows_nobody_is_asked():
    assert Labelling([1.0] * 75, [1] * 75, ["k"] * 75, limit=LIMIT, delta=DELTA).next() is None


def test_where_all_that_is_left_is_allowed_to_be_lost_nobody_is_asked():
    scores = np.arange(300.0)
    labelling = Labelling(scores, scores < 4, [str(r) for r in range(300)], limit=LIMIT, delta=DELTA)
    assert labelling.next() is None
    assert labelling.certificate().kept == 1.0


def test_of_several_tiers_only_answers_that_the_ladder_can_give_are_shown():
    generator = np.random.default_rng(0)
    differs = generator.random((300, 2)) < 0.2
    scores = generator.normal(size=(300, 2))
    labelling = Labelling(scores, differs, [str(r) for r in range(300)], limit=LIMIT, delta=DELTA)
    worse = differs & (generator.random((300, 2)) < 0.5)
    while question := labelling.next():
        assert differs[question.row, question.tier]
        assert question.tier == 0 or scores[question.row, 1] > scores[question.row, 0]
        labelling.judge(question, answer(question, not worse[question.row, question.tier], True))
    assert labelling.certificate() == certify(scores, worse, limit=LIMIT, delta=DELTA)


def test_a_row_without_a_disagreement_cannot_be_judged():
    labelling = Labelling([1.0, 2.0], [True, False], ["a", "b"], limit=LIMIT, delta=DELTA)
    with pytest.raises(ConfigError):
        labelling.judge(Pair(1, 0, True), Judgement.A)
    with pytest.raises(ConfigError):
        Labelling([1.0, 2.0], [True], ["a", "b"], limit=LIMIT, delta=DELTA)
    with pytest.raises(ConfigError):
        Labelling([1.0, 2.0], [True, True], ["a"], limit=LIMIT, delta=DELTA)


@pytest.mark.parametrize("average", [False, True])
def test_rows_that_are_lost_in_any_case_are_shown_first_and_count_until_they_are_judged(average):
    generator = np.random.default_rng(5)
    found = GOOD.draw(generator, 300)
    base = np.zeros(300, dtype=bool)
    base[:5] = True
    scores = np.where(base, -np.inf, found.scores)
    differs = found.differs & ~base
    keys = [str(row) for row in range(300)]
    more = {"limit": LIMIT, "delta": DELTA, "average": average}
    labelling = Labelling(scores, differs, keys, base=base, **more)
    worst = certify(*(column[:, 0] for column in lost_first(scores[:, None], differs[:, None], base)), **more)
    assert labelling.certificate() == worst
    shown = []
    while question := labelling.next():
        shown.append(question)
        lost = question.row == 0 or (question.tier != REST and bool(found.worse[question.row]))
        labelling.judge(question, answer(question, not lost, lost))
    assert [question.tier for question in shown[:5]] == [REST] * 5
    assert all(question.tier == 0 for question in shown[5:])
    base[1:] = False
    columns = lost_first(scores[:, None], (differs & found.worse)[:, None], base)
    assert labelling.certificate() == certify(*(column[:, 0] for column in columns), **more)
    assert labelling.certificate().kept > worst.kept


def test_what_is_known_anew_takes_the_place_of_what_was():
    labelling, *_, shown = labelled(300, 1)
    judged = labelling.judged
    labelling.restore({(q.row, q.tier): False for q in shown[:-1]})
    assert labelling.judged == judged - 1
    assert labelling.next() == shown[-1]
