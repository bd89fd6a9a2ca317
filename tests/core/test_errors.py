"""Errors travel between processes, as an attempt that failed elsewhere has to."""

from __future__ import annotations

import pickle

from helpers.each import each
from rung import Ladder, Unresolved, errors
from rung.testing import ScriptedTier

ERRORS = [
    errors.RungError("it failed", hint="try again"),
    errors.ModelNotFound("no model", hint="pull it"),
    errors.PromptTooLong(9, 8, hint="shorten it"),
    errors.RateLimited("too many", retry_after=2.0),
    errors.TierTimeout("late", billed="maybe"),
    errors.TierStalled("silent", silent=2.5, hint="wait"),
    errors.BudgetExceeded("spent"),
    errors.Offline("the reach forbids it"),
]


@each("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_out_of_a_pickle_as_it_went_in(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_what_could_not_be_resolved_comes_out_of_a_pickle_with_its_outcome():
    outcome = Ladder(ScriptedTier("small", "no", "no")).run("?", int)
    copy = pickle.loads(pickle.dumps(Unresolved(outcome)))
    assert copy.outcome == outcome
    assert str(copy) == str(Unresolved(outcome))
