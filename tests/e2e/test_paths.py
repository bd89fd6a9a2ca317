"""Each path through a ladder of three tiers, with real weights on every one.

SmolLM2-135M and Qwen2.5-Coder-0.5B run in workers of ours. The third tier is an OpenAI-compatible server on loopback
with Qwen2.5-Coder-1.5B; `zone=INTERNET` and a price make it stand for a paid API.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import rung
from rung import Verdict, Zone

pytestmark = pytest.mark.weights

SMALL, MID, PAID = "small", "mid", "paid"


@pytest.fixture(scope="module")
def local(weights):
    """The two local tiers, loaded once."""
    tiers = (
        rung.llama(str(weights("smollm2-135m")), name=SMALL),
        rung.llama(str(weights("qwen2.5-coder-0.5b")), name=MID),
    )
    yield tiers
    for tier in tiers:
        tier.close()


@pytest.fixture
def ladder(local, forwarder):
    """Makes the three-tier ladder with a given reach."""
    paid = rung.openai(
        "qwen2.5-coder-1.5b",
        name=PAID,
        base_url=f"http://127.0.0.1:{forwarder.port}/v1",
        api_key="none-needed",
        zone=Zone.INTERNET,
        price=rung.Price(input=1, output=4),
        constraint="json_object",
    )
    yield lambda reach: rung.Ladder(*local, paid, reach=reach, budget=rung.Budget(seconds=300))
    paid.close()


def brief(text):
    return None if len(text.split()) <= 3 else "the answer must be at most three words"


def equals(number):
    def check(value):
        return None if value == number else "the number is wrong; work it out again"

    return check


def path(outcome):
    return [(a.tier, a.verdict) for a in outcome.attempts]


def test_accepted_at_once_by_the_smallest(ladder, forwarder):
    anything = rung.Threshold(above=-1e9, weights={"minimum": 1.0})
    outcome = ladder(Zone.INTERNET).run("Is water wet?", ["yes", "no"], thresholds={SMALL: anything})
    assert path(outcome) == [(SMALL, Verdict.ACCEPT)]
    assert outcome.value in ("yes", "no")
    assert outcome.attempts[0].candidate.constraint == "enforced"
    assert outcome.left_machine is False
    assert forwarder.connections == 0


def test_repaired_on_the_same_tier_with_the_issues(ladder, forwarder):
    outcome = ladder(Zone.INTERNET).run("What is the capital of Italy?", validators=[brief], max_tokens=60)
    assert path(outcome)[-2:] == [(MID, Verdict.REPAIR), (MID, Verdict.ACCEPT)]
    assert "Rome" in outcome.value
    assert forwarder.connections == 0


def test_escalated_to_the_bigger_local_model(ladder, forwarder):
    outcome = ladder(Zone.INTERNET).run("What is the square root of 144?", int, validators=[equals(12)], max_tokens=40)
    assert path(outcome)[-2:] == [(SMALL, Verdict.ESCALATE), (MID, Verdict.ACCEPT)]
    assert outcome.value == 12
    assert forwarder.connections == 0


def test_the_paid_tier_answers_after_both_local_answers_failed(ladder, forwarder):
    outcome = ladder(Zone.INTERNET).run("What is 17 * 23?", int, validators=[equals(391)], max_tokens=40)
    assert {a.tier for a in outcome.attempts[:-1] if a.answered} == {SMALL, MID}
    assert path(outcome)[-1] == (PAID, Verdict.ACCEPT)
    assert outcome.value == 391
    assert outcome.left_machine is True
    assert outcome.attempts[-1].consent == "always"
    assert outcome.attempts[-1].quote.max_cost > 0
    assert forwarder.connections > 0


def test_at_reach_host_the_same_stays_unresolved_and_nobody_connects(ladder, forwarder):
    outcome = ladder(Zone.HOST).run("What is 17 * 23?", int, validators=[equals(391)], max_tokens=40)
    assert not outcome.accepted
    assert path(outcome)[-1] == (PAID, Verdict.SKIP)
    assert outcome.reason == "beyond_reach"
    assert outcome.best is not None
    assert outcome.left_machine is False
    assert forwarder.connections == 0


def test_on_the_command_line_that_is_exit_code_3(weights, forwarder, tmp_path):
    config = tmp_path / "rung.toml"
    config.write_text(
        f"""
        [[tier]]
        name = "small"
        kind = "llama"
        model = {json.dumps(str(weights("smollm2-135m")))}

        [[tier]]
        name = "paid"
        kind = "openai"
        model = "qwen2.5-coder-1.5b"
        base_url = "http://127.0.0.1:{forwarder.port}/v1"
        zone = "internet"
        price = {{ input = 1.0, output = 4.0 }}
        """
    )
    (tmp_path / "checks.py").write_text("def right(value):\n    return value == '391'\n")
    asked = subprocess.run(
        [
            *(sys.executable, "-m", "rung", "ask", "What is 17 * 23?", "--config", str(config)),
            *("--regex", "[0-9]+", "--check", "checks:right", "--json"),
        ],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert asked.returncode == 3, asked.stderr
    told = json.loads(asked.stdout)
    assert (told["status"], told["reason"], told["left_machine"]) == ("unresolved", "beyond_reach", False)
    assert forwarder.connections == 0
