"""What the ledger keeps of shadows: beside the request, in none of its sums, and without a word of the answer."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from rung import Budget, Ladder, Price, Shadow, Shadowed, Usage, Zone
from rung.engine import shadows
from rung.ledger import as_object, chats, find, purge, requests, statistics
from rung.ledger import schema as schemas
from rung.ledger.file import LedgerFile
from rung.testing import QuotingTier, Reply, ScriptedTier
from rung.types import Toss

CANARY = "kanarienvogel"
PICK = ["yes", "no", CANARY]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(shadows, "_QUIET", 0.0)
    monkeypatch.setattr(shadows, "_LOOK", 0.01)


def shadowed(ledger, second, **settings):
    """A request that the small tier answers, with its shadow told."""
    told = threading.Event()

    def watch(event):
        if isinstance(event, Shadowed):
            told.set()

    small = ScriptedTier("small", Reply("yes", logprob=-0.1, usage=Usage(10, 1)))
    shadow = Shadow(1.0, idle=lambda: True)
    with Ladder(small, second, observers=[ledger, watch], shadow=shadow, **settings) as ladder:
        ladder.run("Is it?", PICK, task="check")
        assert told.wait(20)
    ledger.flush()
    with LedgerFile(ledger.path) as file:
        return requests(file)[0]


def test_a_shadow_stands_beside_its_request(ledger):
    record = shadowed(ledger, ScriptedTier("mid", Reply(CANARY, usage=Usage(10, 1))))
    assert [a.tier for a in record.attempts] == ["small"]
    assert (record.chance, record.fell, record.input_tokens) == (1.0, True, 10)
    assert (record.shadow.against, record.shadow.agrees) == ("mid", False)
    assert [(a.number, a.tier) for a in record.shadow.attempts] == [(2, "mid")]
    told = as_object(record)
    assert told["shadow"]["agrees"] is False
    assert told["attempts"][0]["features"]["minimum"] == pytest.approx(-0.1)
    assert "toss" not in told
    assert CANARY.encode() not in ledger.path.read_bytes()


def test_its_cost_is_told_by_itself_and_it_shows_that_the_prompt_left(ledger):
    cloud = QuotingTier("cloud", Reply("yes", usage=Usage(100, 50)), zone=Zone.INTERNET, price=Price(10, 20))
    record = shadowed(ledger, cloud, reach=Zone.INTERNET, budget=Budget(money=1))
    assert record.cost == 0
    assert record.left_machine is True
    with LedgerFile(ledger.path) as file:
        found = statistics(file)
        assert len(requests(file, left_machine=True)) == 1
    assert (found.cost, found.left_machine) == (0, 1)
    assert (found.shadows.told, found.shadows.dropped, found.shadows.asked) == (1, 0, 1)
    assert float(found.shadows.cost) == pytest.approx(0.002)
    assert [t.tier for t in found.tiers] == ["small"], "a tier's rates are those of requests"


def test_an_answer_of_a_shadow_is_no_conversation_to_learn_from(ledger):
    assert not list(chats([shadowed(ledger, ScriptedTier("mid", "yes"))]))


def test_a_dropped_shadow_is_told_with_its_reason(ledger):
    record = shadowed(ledger, ScriptedTier("mid"))
    assert (record.shadow.agrees, record.shadow.reason) == (None, "TierUnavailable")
    with LedgerFile(ledger.path) as file:
        assert statistics(file).shadows.dropped == 1


def test_a_purged_request_takes_its_shadow_along_and_one_that_comes_later_is_forgotten(ledger):
    record = shadowed(ledger, ScriptedTier("mid", "yes"))
    with LedgerFile(ledger.path) as file:
        purge(file, 2e9)
        assert not find(file, record.id)

    ledger(Shadowed(Toss(1.0, True, record.toss), "mid", True))
    ledger.flush()
    tables = sqlite3.connect(ledger.path)
    assert [tables.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("shadows", "attempts")] == [0, 0]
    tables.close()


def test_a_ledger_of_before_is_taken_over_with_its_requests(path):
    path.parent.mkdir(parents=True)
    old = sqlite3.connect(path, isolation_level=None)
    schemas.prepare(old, 1.0, schemas.STEPS[:2])
    old.execute(
        "INSERT INTO requests (id, at, accepted, reason, checked_by, seconds) VALUES ('a', 1, 1, 'valid', '[]', 0.5)"
    )
    old.execute(
        "INSERT INTO attempts (request, number, tier, zone, reason, issues, sent, seconds, load_seconds) "
        "VALUES ('a', 1, 'small', 'host', 'valid', '[]', 1, 0.5, 0)"
    )
    old.close()
    with LedgerFile(path) as file:
        (record,) = requests(file)
    assert (record.form, record.chance, record.fell, record.shadow) == (None, None, None, None)
    assert (record.attempts[0].features, record.attempts[0].conditions) == (None, None)
