"""The queue of requests that wait for a person: what has a label leaves it for good, and nothing else does."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from dataclasses import dataclass, field, replace

import pytest

import rung
from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.errors import LedgerError
from rung.ledger import Ledger, LedgerFile, requests
from rung.testing import ScriptedTier


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Runs `rung ledger` within this process; what is typed is its lines."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUNG_LEDGER", str(tmp_path / "ledger.sqlite3"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments, typed=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = invoke(["ledger", *arguments], Interrupts())
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def failed(tmp_path):
    """Requests that no tier could answer."""

    def make(*prompts, task=None, caller=None):
        with Ledger(tmp_path / "ledger.sqlite3", content=True) as ledger:
            for prompt in prompts:
                ladder = rung.Ladder(ScriptedTier("small", "bad"), observers=[ledger])
                plan = ladder.plan(prompt, None, {"task": task, "validators": [lambda value: value == "good"]})
                for _ in rung.engine.run(replace(plan, request=replace(plan.request, caller=caller))):
                    pass

    return make


def waiting(command, *options):
    """What stands in the list, by prompt."""
    code, out, _ = command("list", "--unresolved", "--limit", "1000", "--json", *options)
    assert code == 0
    return json.loads(out)["requests"]


def prompts(found):
    return sorted(it["messages"][-1]["content"] for it in found)


@pytest.mark.slow
def test_what_a_person_labels_leaves_the_list_and_all_still_shows_it_with_its_label(command, failed):
    failed("Which river?", "Which town?")
    assert command("label", "right.jsonl", typed="= Bonn\ns\n")[0] == 0
    assert prompts(waiting(command)) == ["Which river?"]
    every = {it["messages"][-1]["content"]: it.get("label") for it in waiting(command, "--all")}
    assert every["Which river?"] is None
    assert every["Which town?"]["expected"] == "Bonn"
    table = command("list", "--unresolved", "--all")[1].splitlines()
    assert "label" in table[0]
    assert "Bonn" in table[1]
    assert "label" not in command("list", "--unresolved")[1]
    name = table[1].split()[0]
    assert "UTC: Bonn" in command("show", name)[1]
    [exported] = [row for row in map(json.loads, command("export")[1].splitlines()) if "label" in row]
    assert exported["label"]["expected"] == "Bonn"


def test_one_label_serves_all_who_asked_the_same_whoever_they_are(command, failed):
    failed("Which town?", caller="ada")
    failed("Which town?", caller="bob")
    failed("Which town?", task="towns")
    assert command("label", "right.jsonl", "--by", "ada", typed="= Bonn\n")[0] == 0
    assert [it["task"] for it in waiting(command)] == ["towns"]


def test_undo_puts_a_request_back_into_the_list(command, failed):
    failed("Which town?", "Which river?", "Which town?")
    assert command("label", "right.jsonl", typed="= Born\nu\nq\n")[0] == 0
    assert prompts(waiting(command)) == ["Which river?", "Which town?", "Which town?"]


@pytest.mark.slow
def test_a_label_can_be_given_anew_into_another_file_and_undo_restores_the_first(command, failed, tmp_path):
    failed("Which river?", "Which town?")
    command("label", "right.jsonl", typed="= Born\n= the Rhine\n")
    assert command("label", "other.jsonl")[1] == "Nothing waits for a label.\n"
    command("label", "other.jsonl", "--all", typed="= Cologne\nu\nq\n")
    assert [it["label"]["expected"] for it in waiting(command, "--all")] == ["Born", "the Rhine"]
    command("label", "other.jsonl", "--all", typed="= Bonn\nq\n")
    assert [it["label"]["expected"] for it in waiting(command, "--all")] == ["Bonn", "the Rhine"]
    assert json.loads((tmp_path / "other.jsonl").read_text())["expected"] == "Bonn"


def test_answers_that_were_in_the_file_before_leave_the_list_with_the_next_run(command, failed, tmp_path):
    failed("Which town?", "Which river?")
    row = {"messages": [{"role": "user", "content": "Which town?"}], "expected": "Bonn"}
    (tmp_path / "right.jsonl").write_text(json.dumps(row) + "\n")
    command("label", "right.jsonl", typed="q\n")
    assert prompts(waiting(command)) == ["Which river?"]


@pytest.mark.slow
def test_a_label_goes_with_the_content_and_the_request_stays_out_of_the_list(command, failed):
    failed("Which town?", "Which river?")
    command("label", "right.jsonl", typed="s\n= Bonn\n")
    assert command("purge", "--all", "--content", "--yes")[0] == 0
    assert len(waiting(command)) == 1
    assert [("label" in it, it.get("label", {}).get("expected")) for it in waiting(command, "--all")] == [
        (False, None),
        (True, None),
    ]
    assert "(not kept)" in command("list", "--unresolved", "--all")[1]
    assert command("purge", "--all", "--yes")[0] == 0
    assert waiting(command, "--all") == []


def test_a_ledger_that_cannot_be_written_loses_no_label_and_is_told_with_the_next_run(
    command, failed, tmp_path, monkeypatch
):
    failed("Which river?", "Which town?")
    write = LedgerFile.transaction

    def refuse(self):
        raise LedgerError(f"the ledger {self.path} can't be written")

    monkeypatch.setattr(LedgerFile, "transaction", refuse)
    code, out, err = command("label", "right.jsonl", typed="= Born\nu\n= Bonn\nq\n")
    assert (code, out) == (0, "1 labelled, 1 left; `rung eval right.jsonl` reads them.\n")
    assert "can't be written, so `rung ledger list --unresolved` still has what was labelled" in err
    monkeypatch.setattr(LedgerFile, "transaction", write)
    assert len(waiting(command)) == 2
    command("label", "right.jsonl", typed="q\n")
    assert prompts(waiting(command)) == ["Which river?"]
    assert json.loads((tmp_path / "right.jsonl").read_text())["expected"] == "Bonn"


def test_all_goes_with_unresolved_alone(command, failed):
    failed("Which town?")
    code, _, err = command("list", "--all")
    assert code == 2
    assert "--all goes with --unresolved" in err


@dataclass
class Model:
    """What has to stand in the list: the prompt of each unresolved request, and whether it is labelled."""

    requests: list[list] = field(default_factory=list)
    answered: set = field(default_factory=set)

    def label(self, said):
        """A session in which prompts that wait are answered (`True`) or skipped, latest first."""
        for it in self.requests:
            it[1] = it[1] or (it[2] and it[0] in self.answered)
        queue = list(dict.fromkeys(it[0] for it in reversed(self.requests) if it[2] and not it[1]))
        for prompt, yes in zip(queue, said, strict=False):
            if yes:
                self.answered.add(prompt)
        for it in self.requests:
            it[1] = it[1] or (it[2] and it[0] in self.answered)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_labelled_requests_never_stand_in_the_list_and_others_always_do(command, failed, tmp_path, seed):
    chance, model = random.Random(seed), Model()
    for _ in range(25):
        act = chance.choice(["ask", "ask", "ask", "label", "label", "forget", "export", "purge"])
        if act == "ask":
            prompt = f"Question {chance.randrange(6)}?"
            failed(prompt)
            model.requests.append([prompt, False, True])
        elif act == "label":
            said = [chance.random() < 0.5 for _ in range(chance.randrange(4))]
            typed = "".join("= right\n" if yes else "s\n" for yes in said)
            assert command("label", "right.jsonl", typed=typed)[0] == 0
            model.label(said)
        elif act == "forget":
            command("purge", "--all", "--content", "--yes")
            for it in model.requests:
                it[2] = False
        elif act == "purge" and chance.random() < 0.3:
            command("purge", "--all", "--yes")
            model.requests.clear()
        else:
            command("export")
        with LedgerFile(tmp_path / "ledger.sqlite3") as file:
            found = requests(file, unresolved=True)
            assert len(requests(file, unresolved=True, labelled=True)) == len(model.requests)
        assert len(found) == sum(not labelled for _, labelled, _ in model.requests)
        shown = [json.loads(it.messages)[-1]["content"] for it in found if it.messages]
        assert sorted(shown) == sorted(prompt for prompt, labelled, kept in model.requests if kept and not labelled)
    assert len(waiting(command)) == len(found)


@pytest.mark.slow
def test_another_process_sees_at_once_what_one_has_labelled(command, failed, tmp_path):
    failed("Which town?", "Which river?")
    run = [sys.executable, "-m", "rung", "ledger"]
    subprocess.run([*run, "label", "right.jsonl"], input="s\n= Bonn\n", text=True, check=True, capture_output=True)
    assert prompts(waiting(command)) == ["Which river?"]
    done = subprocess.run([*run, "list", "--unresolved", "--json"], text=True, check=True, capture_output=True)
    assert prompts(json.loads(done.stdout)["requests"]) == ["Which river?"]
