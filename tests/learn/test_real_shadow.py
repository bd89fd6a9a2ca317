"""A real shadow: the 135M answers, the 0.5B is asked when nobody waits, and the ledger knows whether they agree."""

from __future__ import annotations

import threading

import pytest

import rung
from rung import Ladder, Rung, Shadow, Shadowed
from rung.engine import shadows
from rung.ledger import Ledger, LedgerFile, requests

pytestmark = pytest.mark.weights


def test_a_real_answer_is_held_against_the_next_model(tmp_path, monkeypatch):
    monkeypatch.setattr(shadows, "_QUIET", 0.0)
    told = threading.Event()
    heard = []

    def watch(event):
        if isinstance(event, Shadowed):
            heard.append(event)
            told.set()

    first = Rung(rung.llama("smollm2-135m", name="small"), min_confidence=0)
    second = rung.llama("qwen2.5-coder-0.5b", name="mid")
    shadow = Shadow(1.0, idle=lambda: True)
    with (
        Ledger(tmp_path / "ledger.sqlite3") as ledger,
        Ladder(first, second, observers=[ledger, watch], shadow=shadow) as ladder,
    ):
        outcome = ladder.run("Is 'What a lovely day!' positive or negative?", ["positive", "negative"])
        assert told.wait(300)
        ledger.flush()
        alone = Ladder(second).run("Is 'What a lovely day!' positive or negative?", ["positive", "negative"])
    (event,) = heard
    with LedgerFile(tmp_path / "ledger.sqlite3") as file:
        (record,) = requests(file)
    assert (outcome.tier, record.tier) == ("small", "small")
    assert event.agrees == record.shadow.agrees == (outcome.value == alone.value)
    assert [a.text for a in event.attempts] == [alone.text]
    own, next_one = record.attempts[0], record.shadow.attempts[0]
    assert own.weights != next_one.weights
    assert own.features is not None
    assert None not in (own.conditions, next_one.conditions, record.form)
