"""With a real model: what one keyword used to switch off for all of a shape is held."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, NaiveDatetime

from rung import Ladder, Rung
from rung.tiers.llama import LlamaTier

pytestmark = pytest.mark.weights


class Tagged(BaseModel):
    tags: set[str]
    place: str


class When(BaseModel):
    when: NaiveDatetime


def test_a_set_is_right_where_a_list_is(small):
    outcome = Ladder(Rung(small, repairs=0)).run("Tags a, b; place Bonn", Tagged, max_tokens=60)
    attempt = outcome.attempts[0]
    assert attempt.constraint == "enforced"
    assert any("uniqueItems" in note for note in attempt.notes)
    assert outcome.value.tags == {"a", "b"}


def test_choices_of_control_characters_are_held(small):
    outcome = Ladder(Rung(small, repairs=0)).run("Pick one of the two letters.", ["\x16", "b"], max_tokens=8)
    assert outcome.attempts[0].constraint == "enforced"
    assert outcome.value in ("\x16", "b")


@pytest.mark.slow
def test_a_date_and_time_gets_no_time_zone_that_nobody_named(weights):
    with Ladder(Rung(LlamaTier(weights("qwen2.5-coder-0.5b"), name="mid"), repairs=0)) as ladder:
        outcome = ladder.run("When is it? on 3 May 2026 at 14:30", When, max_tokens=60)
    assert json.loads(outcome.text) == {"when": "2026-05-03T14:30:00"}
