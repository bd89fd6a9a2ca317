"""What a configuration says about the ledger, and who may say it."""

from __future__ import annotations

import time

import pytest
from config_files import SMALL, project, put

import rung
from rung.config import load
from rung.errors import ConfigError
from rung.ledger import LedgerFile, requests


@pytest.fixture(autouse=True)
def own(places, monkeypatch):
    monkeypatch.delenv("RUNG_LEDGER", raising=False)


@pytest.mark.parametrize(("record", "kept"), [("true", 1), ("false", 0)])
def test_a_ladder_made_of_a_file_records_unless_the_file_says_otherwise(places, record, kept):
    path = places.home / "ledger"
    named = put(places.home / "named.toml", f'[ledger]\nrecord = {record}\npath = "{path}"\n{SMALL}')
    assert rung.load(named).run("Say it.").notes == ()
    if kept:
        began, found = time.monotonic(), []
        while not found:  # a thread writes
            assert time.monotonic() - began < 10
            with LedgerFile(path) as file:
                found = requests(file)
        assert [r.tier for r in found] == ["small"]
    else:
        assert not path.exists()


@pytest.mark.parametrize(
    ("policy", "record", "content"),
    [("nothing", False, False), ("metadata", True, False), ("content", True, True)],
)
def test_the_policy_says_how_much_the_ledger_may_hold(places, policy, record, content):
    put(places.policy, f'ledger = "{policy}"\n')
    named = put(places.home / "named.toml", "[ledger]\ncontent = true\n")
    found = load(named, places=places).ledger
    assert (found.record.value, found.content.value) == (record, content)
    assert (found.content.origin.source == "policy") is not content


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("[ledger]\nrecord = false\n", "set ledger.record = false"),
        ("[ledger]\ncontent = true\n", "set ledger.content = true"),
        ("[ledger]\nretention_days = 31\n", "set ledger.retention_days = 31"),
        ('[ledger]\npath = "/tmp/x"\n', 'set ledger.path = "/tmp/x"'),
        ("[budget]\nmoney_per_day = 2\n", "set budget.money_per_day = 2"),
        ("[budget]\nmoney_per_month = 2\n", "set budget.money_per_month = 2"),
    ],
)
def test_a_project_that_nobody_trusts_cant_hide_keep_or_spend_more(places, text, asks):
    put(places.user, "[budget]\nmoney_per_day = 1\nmoney_per_month = 1\n")
    project(places, text + SMALL, trusted=False)
    found = load(places=places)
    assert asks in found.denied
    with pytest.raises(ConfigError, match="is not trusted"):
        found.ladder()


def test_a_project_that_nobody_trusts_may_keep_and_spend_less(places):
    put(places.user, "[budget]\nmoney_per_day = 1\n[ledger]\ncontent = true\n")
    project(
        places, "[budget]\nmoney_per_day = 0.5\n[ledger]\ncontent = false\nretention_days = 3\n" + SMALL, trusted=False
    )
    found = load(places=places)
    assert found.denied == ()
    assert (found.ledger.content.value, found.ledger.retention_days.value) == (False, 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[ledger]\nrecords = true", "did you mean 'record'?"),
        ("[ledger]\nrecord = 'never'", "ledger.record"),
        ("[ledger]\nretention_days = -1", "ledger.retention_days"),
        ('[ledger]\npath = "ledger.db"', "ledger.path"),
        ("[budget]\nmoney_per_week = 1", "did you mean 'money_per_"),
        ("[budget]\nmoney_per_day = nan", "budget.money_per_day"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(places, text, says):
    with pytest.raises(ConfigError) as caught:
        load(put(places.home / "named.toml", text), places=places)
    assert says in str(caught.value)


def test_a_retention_is_no_longer_than_the_least_that_somebody_may_set(places):
    put(places.user, "[ledger]\nretention_days = 7\n")
    project(places, "[ledger]\nretention_days = 8\n" + SMALL, trusted=False)
    assert load(places=places).ledger.retention_days.value == 7
