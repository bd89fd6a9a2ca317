"""`rung ledger`, and what `rung ask` writes down."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from decimal import Decimal

import pytest

from ledger_requests import CANARY, climb, stay
from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.ledger import Ledger, LedgerFile, requests

SCHEMA = '{"type": "object", "properties": {"vendor": {"type": "string"}}, "required": ["vendor"]}'
CLOUD = """
reach = "internet"

[[tier]]
name = "small"
kind = "scripted"
script = ['{"vendor": "Bolt"}', '{"vendor": "Bolt"}']

[[tier]]
name = "cloud"
kind = "scripted"
zone = "internet"
price = 2.0
destination = "api.example.com:443"
script = ['{"vendor": "Acme"}']
stays_here = false
consent = "always"
"""
LOCAL = '[[tier]]\nname = "small"\nkind = "scripted"\nscript = ["fine"]\n'


def ask(program, config, *more, **env):
    (program.work / "s.json").write_text(SCHEMA)
    arguments = ("--schema", "s.json", "--quoted", "vendor", "--task", "invoice", "--config", config)
    return program("ask", f"Which vendor? Acme. {CANARY}", *arguments, *more, **env)


def recorded(path):
    with LedgerFile(path) as file:
        return requests(file)


def files(program):
    return [f for f in program.home.rglob("*ledger*") if f.is_file()]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Where this process's commands look for a ledger."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNG_LEDGER", str(tmp_path / "ledger.sqlite3"))
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def command(path, capfd):
    """Runs `rung ledger` within this process."""

    def run(*arguments):
        code = invoke(["ledger", *arguments], Interrupts())
        return Done(code, *capfd.readouterr())

    return run


@pytest.fixture
def history(path):
    """One request that left this machine, then one that stayed; with content where the test asks for it."""

    def make(**settings):
        with Ledger(path, **settings) as ledger:
            climb(ledger, prompt=f"Which? {CANARY}", task="invoice")
            stay(ledger)

    return make


def test_ask_records_by_default_without_a_word_of_what_was_said(program):
    assert ask(program, program.config(CLOUD)).returncode == 0
    (file,) = files(program)
    (request,) = recorded(file)
    assert (request.task, request.tier, request.left_machine, request.messages) == ("invoice", "cloud", True, None)
    assert [a.consent for a in request.attempts] == [None, None, "the configuration"]
    content = file.read_bytes()
    for word in (CANARY, "Acme", "Bolt"):
        assert word.encode() not in content


@pytest.mark.parametrize(("file", "env"), [("", {"RUNG_LEDGER": "off"}), ("[ledger]\nrecord = false\n", {})])
def test_recording_can_be_turned_off(program, file, env):
    assert program("ask", "Who?", "--config", program.config(file + LOCAL), **env).stdout == b"fine\n"
    assert files(program) == []


def test_the_ledger_lies_where_the_file_says_and_the_environment_says_more(program):
    path, other = program.home / "mine" / "ledger.db", program.home / "other.db"
    config = program.config(f'[ledger]\npath = "{path}"\n{LOCAL}')
    program("ask", "Who?", "--config", config)
    assert len(recorded(path)) == 1
    program("ask", "Who?", "--config", config, RUNG_LEDGER=str(other))
    assert (len(recorded(path)), len(recorded(other))) == (1, 1)


def test_a_days_budget_holds_across_commands_also_where_nothing_is_recorded(program):
    budget = "[budget]\nmoney_per_day = 0.00042\n[ledger]\nrecord = false\n"
    config = program.config(CLOUD.replace("[[tier]]", f"{budget}[[tier]]", 1))
    # so short that an answer isn't capped further before it is refused
    assert ask(program, config, "--max-tokens", "100").returncode == 0
    done = ask(program, config, "--max-tokens", "100")
    assert done.returncode == 3
    assert b"left of this day's $0.00042" in done.stderr
    (file,) = files(program)
    assert recorded(file) == []


def test_where_nothing_can_be_recorded_the_answer_comes_with_one_note(program):
    (program.home / "text").write_text("not a ledger " * 100)
    done = program("ask", "Who?", "--config", program.config(LOCAL), RUNG_LEDGER=str(program.home / "text"))
    assert (done.returncode, done.stdout) == (0, b"fine\n")
    assert done.stderr.count(b"note: the ledger ") == 1
    assert b"is not a ledger" in done.stderr


def test_show_says_why_a_request_left_this_machine(command, history):
    history()
    left = command("list", "--left", "--json").json["requests"][0]
    done = command("show", left["id"][:14])
    assert (done.code, done.err) == (0, "")
    for words in (
        "left this machine: yes",
        f"a prompt of {left['attempts'][2]['prompt_bytes']} bytes to api.example.com:443 (internet)",
        "before it, small's answer failed check:<lambda> (2 times)",
        "it was allowed by always",
        "it cost $0.002, and could have cost $0.021",
    ):
        assert words in done.out
    assert CANARY not in done.out
    assert len(command("show", left["id"], "--json").json["why_it_left"]) == 4


def test_show_without_an_id_is_of_the_latest_request_and_says_plainly_that_it_stayed(command, history):
    history()
    assert "left this machine: no\n" in command("show").out
    assert command("show", "--json").json["why_it_left"] == []


@pytest.mark.slow
def test_list_can_be_narrowed(command, history):
    history()

    def tiers(*more):
        return [r["tier"] for r in command("list", "--json", *more).json["requests"]]

    assert tiers() == ["small", "cloud"]
    assert tiers("--left") == tiers("--task", "invoice") == ["cloud"]
    assert tiers("--limit", "1") == ["small"]
    assert tiers("--days", "0") == []
    lines = command("list").out.splitlines()
    assert [len(lines), lines[0].split()[0]] == [3, "id"]


@pytest.mark.parametrize("argument", ["list", "stats", "show", "export", "purge"])
def test_without_a_ledger_a_command_says_so_and_makes_none(command, path, argument):
    done = command(argument, *(["--all", "--yes"] if argument == "purge" else []))
    assert done.out == ""
    assert done.code == (2 if argument == "show" else 0)
    assert bool(done.err) == (argument != "export")
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "says"), [("zzz", "no recorded request's ID begins with 'zzz'"), ("0", "several IDs begin with '0'")]
)
def test_an_id_that_is_none_or_not_enough_is_a_usage_error(command, history, name, says):
    history()
    done = command("show", name)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert says in command("show", name, "--json").json["error"]["message"]


def test_stats_split_savings_and_tell_the_budgets(command, history, path):
    history()
    config = path.with_name("budgets.toml")
    config.write_text("[budget]\nmoney_per_day = 1\n")
    with Ledger(path, per_day=1) as ledger:
        ledger.reserve(Decimal("0.5")).settle(Decimal("0.25"))
        ledger.reserve(Decimal("0.125"))
    done = command("stats", "--config", str(config))
    assert done.code == 0
    for words in (
        "2 requests, 2 answered, 1 left this machine, cost $0.002",
        "measured: $0.00",
        "imputed: $0.00",
        "unknown: 1 requests",
        "this day (UTC): $0.25 of $1.00 spent, $0.125 reserved by 1 calls that haven't ended, $0.625 left",
    ):
        assert words in done.out
    found = command("stats", "--json", "--config", str(config)).json
    rates = {(t["task"], t["tier"]): (t["acceptance_rate"], t["escalation_rate"]) for t in found["statistics"]["tiers"]}
    assert rates == {("invoice", "small"): (0, 1), ("invoice", "cloud"): (1, 0), (None, "small"): (1, 0)}
    assert found["budgets"][0] == {
        "span": "day",
        "spent_usd": 0.25,
        "reserved_usd": 0.125,
        "open": 1,
        "limit_usd": 1,
    }


def test_chats_need_content_and_say_so(command, history):
    history()
    done = command("export", "--format", "chat")
    assert (done.code, done.out) == (1, "")
    assert "content = true under [ledger]" in done.err


def test_export_writes_whole_requests_or_chats_a_line_each(command, history):
    history(content=True)
    (line,) = command("export", "--format", "chat").out.splitlines()
    assert json.loads(line)["messages"] == [
        {"role": "user", "content": f"Which? {CANARY}"},
        {"role": "assistant", "content": "good"},
    ]
    rows = [json.loads(line) for line in command("export").out.splitlines()]
    assert [(row["tier"], row["messages"][0]["content"]) for row in rows] == [
        ("cloud", f"Which? {CANARY}"),
        ("small", "Well?"),
    ]
    assert command("export", "--json").json["rows"] == rows


@pytest.mark.slow
def test_a_purge_says_what_it_forgets_and_asks_somebody_or_is_told(command, history, path):
    history(content=True)
    assert command("purge").code == 2
    for more in ([], ["--json"]):
        nobody = command("purge", "--all", *more)
        assert nobody.code == 2
        assert "--yes" in nobody.err
    gone = {"status": "ok", "requests": 0, "contents": 0}
    assert command("purge", "--older-than", "1", "--yes", "--json").json == gone
    assert command("purge", "--all", "--content", "--yes", "--json").json == gone | {"contents": 2}
    assert [r.messages for r in recorded(path)] == [None, None]
    assert CANARY.encode() not in path.read_bytes()
    assert "deleted 2 requests" in command("purge", "--all", "--yes").err
    assert recorded(path) == []


@pytest.mark.parametrize("argument", ["list", "stats", "show", "export"])
def test_a_file_that_is_no_ledger_is_an_error_in_a_sentence(command, path, argument):
    path.write_text("not a ledger " * 100)
    done = command(argument, "--json")
    assert (done.code, done.json["error"]["type"]) == (1, "LedgerError")
    assert "is not a ledger" in done.json["error"]["message"]


def test_a_ledger_of_a_newer_version_is_an_error_in_a_sentence(command, history, path):
    history()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    done = command("list")
    assert (done.code, done.out) == (1, "")
    assert "written by a newer rung" in done.err


def test_config_show_says_what_is_recorded_and_why(path, capfd):
    config = path.with_name("rung.toml")
    config.write_text("[ledger]\ncontent = true\n[budget]\nmoney_per_month = 5\n" + LOCAL)
    invoke(["config", "show", "--json", "--config", str(config)], Interrupts())
    values = json.loads(capfd.readouterr().out)["values"]
    assert values["ledger.record"] == {"value": True, "from": "default"}
    assert values["ledger.content"] == {"value": True, "from": f"named file {config}"}
    assert values["ledger.path"] == {"value": str(path), "from": "environment RUNG_LEDGER"}
    assert values["budget.money_per_month"] == {"value": 5.0, "from": f"named file {config}"}
