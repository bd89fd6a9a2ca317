"""A table of cases is one test, and a failure of it names the cases."""

from __future__ import annotations

import inspect

import pytest

from helpers.each import each


def names_of(error: BaseException) -> list[str]:
    return error.__notes__


def test_every_case_is_run_and_each_that_fails_is_named():
    ran = []

    @each(("number", "word"), [(1, "one"), (2, "two"), pytest.param(3, "three", id="the last")])
    def law(number, word, place):
        ran.append((number, word, place))
        assert number == 2, word

    with pytest.raises(BaseExceptionGroup, match="2 cases failed") as caught:
        law(place="here")
    assert ran == [(1, "one", "here"), (2, "two", "here"), (3, "three", "here")]
    assert [names_of(it) for it in caught.value.exceptions] == [["the case: 0: 1-'one'"], ["the case: the last"]]


def test_tables_are_stacked_and_what_is_left_are_fixtures():
    @each("a", [1, 2])
    @each("b", [3, 4], ids=["three", "four"])
    def law(a, b, tmp_path):
        if (a, b) == (2, 4):
            pytest.fail("no")

    assert [*inspect.signature(law).parameters] == ["tmp_path"]
    with pytest.raises(pytest.fail.Exception) as caught:
        law(tmp_path=None)
    assert names_of(caught.value) == ["the case: four, 1: 2"]


def test_a_skip_skips_no_other_case_in_silence():
    @each("a", [1, 2])
    def law(a):
        if a == 2:
            pytest.skip("lacks something")

    with pytest.raises(pytest.fail.Exception, match="lacks something"):
        law()


def test_a_case_with_marks_is_refused():
    with pytest.raises(AssertionError, match="marks"):
        each("a", [pytest.param(1, marks=pytest.mark.slow)])
