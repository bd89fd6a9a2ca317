"""`rung serve token`, and what `rung serve` and `rung ledger` say of a server that people share."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

import rung
from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.ledger import Ledger
from rung.testing import ScriptedTier


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Runs `rung` within this process, in a home of its own."""
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("RUNG_LEDGER", str(tmp_path / "ledger.sqlite3"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = invoke([*arguments], Interrupts())
        return Done(code, *capfd.readouterr())

    return run


def test_a_token_is_made_listed_and_removed(command):
    made = command("serve", "token", "add", "ada", "--per-day", "200", "--reach", "host")
    secret = made.out.strip()
    assert (made.code, secret.startswith("rung-")) == (0, True)
    assert secret not in made.err
    listed = command("serve", "token", "list", "--json")
    [ada] = json.loads(listed.out)["tokens"]
    assert (ada["name"], ada["per_day"], ada["reach"]) == ("ada", 200, "host")
    assert secret not in listed.out + command("serve", "token", "list").out
    assert command("serve", "token", "remove", "ada").code == 0
    assert command("serve", "token", "remove", "ada").code == 2


def test_the_list_of_tokens_shows_what_each_may_spend_and_what_is_used_today(command, tmp_path):
    command("serve", "token", "add", "ada", "--per-day", "200", "--usd-per-day", "1.50")
    command("serve", "token", "add", "bob")
    before = json.loads(command("serve", "token", "list", "--json").out)["tokens"]
    assert [(it["usd_per_day"], it["usd_today"], it["requests_today"]) for it in before] == [(1.5, 0, 0), (None, 0, 0)]
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        purse = ledger.purse_of("ada", "1.50")
        purse.reserve(Decimal("0.75")).settle(Decimal("0.25"))
        purse.reserve(Decimal("0.50"))
        plan = rung.Ladder(ScriptedTier("small", "It is."), observers=[ledger]).plan("Is water wet?", None, {})
        for _ in rung.engine.run(replace(plan, request=replace(plan.request, caller="ada"))):
            pass
    table = command("serve", "token", "list").out.splitlines()
    assert table[1].split()[3:] == ["1", "200", "$0.75", "$1.50"]
    assert table[2].split()[3:] == ["0", "-", "$0.00", "-"]
    [ada, _] = json.loads(command("serve", "token", "list", "--json").out)["tokens"]
    assert (ada["usd_today"], ada["requests_today"]) == (0.75, 1)


def test_what_is_not_an_amount_of_money_makes_no_token(command):
    wrong = command("serve", "token", "add", "ada", "--usd-per-day", "much")
    assert (wrong.code, wrong.out) == (2, "")
    assert "'much' is not an amount of money" in wrong.err
    assert json.loads(command("serve", "token", "list", "--json").out)["tokens"] == []


def test_beyond_loopback_a_certificate_or_a_word_about_the_risk_is_asked_for_and_then_tokens(command):
    bare = command("serve", "--host", "0.0.0.0", "--port", "0")
    assert bare.code == 2
    assert "--certificate and --key, or --plain-http" in bare.err
    without = command("serve", "--host", "0.0.0.0", "--port", "0", "--plain-http")
    assert without.code == 2
    assert "rung serve token add NAME" in without.err
    alone = command("serve", "--certificate", "site.pem")
    assert (alone.code, "--key" in alone.err) == (2, True)
    assert command("serve", "--host", "box.example", "--plain-http").code == 2


def test_the_ledger_lists_who_asked_and_what_nobody_could_answer(command, tmp_path):
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        ladder = rung.Ladder(ScriptedTier("small", "It is.", ""), observers=[ledger])
        for caller in ("ada", "bob"):
            plan = ladder.plan("Is water wet?", None, {})
            for _ in rung.engine.run(replace(plan, request=replace(plan.request, caller=caller))):
                pass
    table = command("ledger", "list").out
    assert "asked by" in table
    waiting = json.loads(command("ledger", "list", "--unresolved", "--json").out)["requests"]
    assert [it["caller"] for it in waiting] == ["bob"]
    mine = json.loads(command("ledger", "list", "--by", "ada", "--json").out)["requests"]
    assert [it["caller"] for it in mine] == ["ada"]
    assert "asked by ada" in command("ledger", "show", mine[0]["id"]).out
