"""Whether an answer is right, and whether two are the same."""

from __future__ import annotations

import re
import sys
from datetime import date

import pytest
from pydantic import BaseModel

from helpers.each import each
from rung.errors import ConfigError
from rung.learn import grading
from rung.learn.grading import Grade, grade, grader, same_for

ALLOWED = {"name": "json", "how": "allowed", "loose": True}


class Invoice(BaseModel):
    vendor: str
    due: date


@each(
    ("check", "value", "expected", "right"),
    [
        ("exact", " yes\n", "yes", True),
        ("exact", "Yes", "yes", False),
        ({"name": "exact", "case": False}, "Yes", "yes", True),
        ("exact", "e\u0301", "\u00e9", True),
        ("exact", 5, "5", True),
        ("exact", True, 1, False),
        ("exact", [1, 2.0], [1.0, 2], True),
        ("number", "3 + 4 = 7, so 1,007.50", 1007.5, True),
        ("number", "the answer is \u22125", "-5", True),
        ("number", 18, "#### 18", True),
        ("number", "none", 5, False),
        ("number", "3.14", 3.14159, False),
        ({"name": "number", "within": 0.01}, "3.14", 3.14159, True),
        ("number", True, 1, False),
        ("choice", "(B).", "b", True),
        ("choice", "Out  of scope", "out of scope", True),
        ("choice", "yes", "no", False),
        ("choice", 5, "5", False),
        ("json", '{"a": 1}', {"a": 1.0}, True),
        ("json", {"a": 1}, '{"a": 1}', True),
        ("json", {"a": 1, "b": 2}, {"a": 1}, False),
        ("json", {"a": "X-Y"}, {"a": "x y"}, False),
        ({"name": "json", "loose": True}, {"a": "X-Y"}, {"a": "x y"}, True),
        ({"name": "json", "how": "subset"}, {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1}}, True),
        ({"name": "json", "how": "subset"}, {"a": {}}, {"a": {"b": 1}}, False),
        ({"name": "json", "fields": ["a"]}, {"a": 1, "why": "so"}, {"a": 1, "why": "thus"}, True),
        ({"name": "json", "fields": ["a"]}, {"a": 2, "why": "so"}, {"a": 1, "why": "so"}, False),
        (ALLOWED, {"u": "Inch"}, {"u": ["in", "inch"], "n": ["", 2]}, True),
        (ALLOWED, {"u": "Inch"}, {"u": ["in", "inch"], "n": [2]}, False),
        (ALLOWED, {"u": "in", "more": 1}, {"u": ["in"]}, False),
        (ALLOWED, {"u": {"a": 1}}, {"u": [{"a": [1, 2], "b": [""]}]}, True),
        ("regex", "2024-03-05", r"\d{4}-\d\d-\d\d", True),
        ("regex", "on 2024-03-05", r"\d{4}-\d\d-\d\d", False),
        ("contains", "It was  FRANK Herbert.", ["frank herbert"], True),
        ("contains", "It was Frank.", ["frank", "herbert"], False),
    ],
)
def test_a_check_says_whether_an_answer_is_right(check, value, expected, right):
    assert grade(grader(check), value, expected) == Grade(right)


def test_a_model_is_graded_as_the_json_that_it_stands_for():
    value = Invoice(vendor="ACME", due=date(2024, 3, 5))
    assert grade(grader("json"), value, {"vendor": "ACME", "due": "2024-03-05"}).right


@each(
    ("check", "hint"),
    [
        ("exakt", "did you mean 'exact'?"),
        ("zzz", "known: choice, contains, exact, json, number, regex or write module:function"),
        ({"name": "json", "hows": "exact"}, "did you mean 'how'?"),
        ({"name": "exact", "within": 1}, "known: case"),
        ({"within": 1}, "write name = ..."),
    ],
)
def test_an_unknown_check_or_option_names_the_nearest(check, hint):
    with pytest.raises(ConfigError) as error:
        grader(check)
    assert hint in error.value.hint


@each(
    ("check", "value", "expected", "reason"),
    [
        ("number", "5", "none", "what is expected holds no number"),
        ("choice", "a", 5, "what is expected is not a text"),
        ("regex", "a", "(", "what is expected is not a regular expression"),
        ("contains", "a", [], "what is expected is neither a text nor a list of texts"),
        (ALLOWED, {"a": 1}, {"a": 1}, "what is expected has no list of allowed values for the field 'a'"),
        ({"name": "json", "fields": ["a"]}, {"a": 1}, 5, "what is expected is not an object"),
    ],
)
def test_what_a_check_cannot_tell_is_not_gradable_with_a_reason(check, value, expected, reason):
    assert grade(grader(check), value, expected) == Grade(None, reason)


def test_a_pattern_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(grading, "LONGEST_REGEX", 0.2)
    found = grade(grader("regex"), "a" * 200 + "b", r"(?!x)(a|aa)+")
    assert found == Grade(None, "the regular expression takes too long")


def test_a_check_of_ones_own_that_raises_is_a_reason_and_not_a_traceback(tmp_path):
    (tmp_path / "own_checks.py").write_text(
        "def broken(value, expected): return 1 / 0\n"
        "def vague(value, expected): return 'maybe'\n"
        "def near(value, expected): return abs(value - expected) < 2\n"
        "number = 5\n"
    )
    try:
        assert grade(grader("own_checks:broken", folder=tmp_path), "SECRET", 1) == Grade(
            None, "the check raised ZeroDivisionError"
        )
        vague = grade(grader("own_checks:vague", folder=tmp_path), 1, 1)
        assert vague == Grade(None, "own_checks:vague returned a str, not whether the answer is right")
        assert grade(grader("own_checks:near", folder=tmp_path), 4, 5).right
        with pytest.raises(ConfigError, match="'own_checks:number' is not a function"):
            grader("own_checks:number", folder=tmp_path)
        with pytest.raises(ConfigError, match="has no 'nera'; did you mean 'near'"):
            grader("own_checks:nera", folder=tmp_path)
        with pytest.raises(ConfigError, match=f"there is no module 'no_such'; rung looks for it in {tmp_path}"):
            grader("no_such:check", folder=tmp_path)
        with pytest.raises(ConfigError, match="takes no options"):
            grader({"name": "own_checks:near", "within": 1}, folder=tmp_path)
    finally:
        sys.path.remove(str(tmp_path))


def test_two_answers_are_the_same_under_the_contracts_own_equality():
    assert same_for(None) is None
    assert same_for(str) is None
    assert same_for(["yes", "no"])("Yes", "yes")
    assert same_for(re.compile(r"\d+"))("5", "5 ")
    schema = same_for({"type": "object"})
    assert schema({"a": 1}, {"a": 1.0})
    assert not schema({"a": 1}, {"a": 1, "b": 2})
    assert same_for(Invoice)(Invoice(vendor="A", due=date(2024, 3, 5)), {"vendor": "A", "due": "2024-03-05"})


def test_a_check_that_can_compare_two_answers_says_when_they_are_the_same():
    only = same_for({"type": "object"}, check={"name": "json", "fields": ["answer"]})
    assert only({"answer": 1, "why": "a"}, {"answer": 1, "why": "b"})
    loose = same_for({"type": "object"}, check=ALLOWED)
    assert loose({"u": "Inch"}, {"u": "inch"})
    assert not loose({"u": "inch"}, {"u": "in"})
    assert same_for(str, check="number")("so it is 5", "5")
    assert same_for(str, check="contains") is None
    assert same_for(str, same={"name": "exact", "case": False})("A", "a")
    with pytest.raises(ConfigError, match="'contains' can't compare two answers"):
        same_for(str, same="contains")
