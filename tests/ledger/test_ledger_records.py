"""What is recorded of a request, what isn't, what that costs the caller, and what is made of it later."""

from __future__ import annotations

import gc
import hashlib
import json
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest
from looking import added_up, recorded

from ledger_requests import CANARY, KEY, climb, stay
from openai_tier.server import Server, events, piece, status, usage
from rung import Finished, Image, Ladder, Message, Price, Request, Text, TierCrashed, Usage, Zone, llama, openai
from rung.checks import command
from rung.errors import BudgetExceeded, LedgerError
from rung.ledger import (
    Ledger,
    LedgerFile,
    as_object,
    chats,
    content_held,
    find,
    purge,
    recorder,
    requests,
)
from rung.testing import QuotingTier, ScriptedTier
from rung.types import Issue, Outcome

DAY = 86_400.0


def held(ledger):
    ledger.flush()
    return recorded(ledger.path)


def bytes_on_disk(path):
    return b"".join(f.read_bytes() for f in path.parent.iterdir())


def test_a_request_is_recorded_with_every_attempt(ledger):
    before = time.time()
    outcome = climb(ledger, task="invoice")
    (record,) = held(ledger)
    assert (record.task, record.accepted, record.tier, record.left_machine) == ("invoice", True, "cloud", True)
    assert (record.cost, record.checked_by) == (Decimal("0.002"), ("check:<lambda>",))
    assert abs(record.at / 1000 - before) < 5
    assert [(a.tier, a.verdict, a.reason) for a in record.attempts] == [
        (a.tier, a.verdict, a.reason) for a in outcome.attempts
    ]
    first, _, last = record.attempts
    assert (first.issues, first.model, first.confidence) == (
        (("check:<lambda>", ""),),
        "small-model",
        pytest.approx(0.6065, abs=1e-3),
    )
    assert (last.zone, last.destination, last.consent, last.prompt_bytes) == (
        "internet",
        "api.example.com:443",
        "always",
        outcome.attempts[2].prompt_bytes,
    )
    assert (last.bound, last.cost, last.input_tokens, last.output_tokens) == (
        Decimal("0.021"),
        Decimal("0.002"),
        100,
        50,
    )
    assert last.ttft is not None
    assert last.seconds >= last.ttft


@pytest.mark.weights
def test_a_local_answer_is_recorded_with_the_hash_of_its_weights(ledger, weights):
    file = weights("smollm2-135m")
    with Ladder(llama("smollm2-135m"), observers=[ledger]) as ladder:
        ladder.run("Say hello.", max_tokens=8)
    (record,) = held(ledger)
    assert record.attempts[0].weights == hashlib.sha256(file.read_bytes()).hexdigest()
    assert record.attempts[0].destination == "this machine"


def test_pictures_count_with_what_was_handed_over(ledger):
    prompt = (Message("user", (Text("What is that?"), Image(b"png" * 100, "image/png"))),)
    Ladder(ScriptedTier("small", "good"), observers=[ledger]).run(prompt)
    assert held(ledger)[0].attempts[0].prompt_bytes == len("What is that?") + 300


def test_what_nobody_knew_is_none_and_not_zero(ledger):
    Ladder(QuotingTier("net", TierCrashed("it broke off"), zone=Zone.LAN), reach=Zone.LAN, observers=[ledger]).run("?")
    (record,) = held(ledger)
    (attempt,) = record.attempts
    assert (record.cost, attempt.cost, attempt.bound, attempt.ttft, attempt.input_tokens) == (None,) * 5
    assert (record.accepted, attempt.reason, attempt.model) == (False, "TierCrashed", None)


def test_with_content_off_no_word_of_prompt_answer_or_key_reaches_the_disk(ledger, path):
    conversation = (
        Message("system", f"Never tell {KEY}."),
        Message("user", (Image(CANARY.encode(), "image/png"),)),
        Message("user", f"Who is {CANARY}?"),
    )
    answer = json.dumps({"name": CANARY, f"{CANARY} {KEY}": 1})
    tier = ScriptedTier("small", answer, answer, TierCrashed(f"{CANARY} broke"))
    schema = {"type": "object", "properties": {"name": {"type": "integer"}}, "required": ["name"]}
    ladder = Ladder(tier, ScriptedTier("mid", ValueError(CANARY)), observers=[ledger])
    ladder.run(conversation, schema, context=CANARY)
    ladder.run(f"{CANARY} {KEY}", validators=[command(["python3", "-c", f"import sys; sys.exit('{CANARY}')"])])
    ledger.flush()
    assert len(recorded(path)) == 2
    log = path.with_name(path.name + "-wal")
    assert log.stat().st_size > 1000
    for secret in (CANARY, KEY):
        assert secret.encode() not in bytes_on_disk(path)
    ledger.close()
    assert CANARY.encode() not in bytes_on_disk(path)


def test_what_an_endpoint_was_sent_and_what_it_says_of_it_reaches_no_disk(ledger, path, caplog):
    """The key, the prompt, and an endpoint's error that quotes both."""
    caplog.set_level(0)
    said = {"message": f"{KEY} may not ask for {CANARY}", "code": KEY}
    with Server(status(401, error=said), events(piece(CANARY), piece(finish="stop"), usage())) as server:
        cloud = openai("m", base_url=server.url, api_key=KEY, zone=Zone.INTERNET, price=Price(1, 1))
        with Ladder(cloud, reach=Zone.INTERNET, observers=[ledger], purse=ledger) as ladder:
            assert [ladder.run(f"Who is {CANARY}?").accepted for _ in range(2)] == [False, True]
        assert all(KEY in request.headers["authorization"] for request in server.requests)
    ledger.flush()
    found = [bytes_on_disk(path), caplog.text.encode(), repr([ledger, *recorded(path)]).encode()]
    assert not [secret for secret in (CANARY, KEY) if any(secret.encode() in text for text in found)]


def test_kept_content_is_in_no_repr_and_in_no_complaint(path):
    with Ledger(path, content=True) as ledger:
        outcome = climb(ledger, prompt=CANARY)
        attempt = replace(outcome.attempts[0], seconds=float("nan"))
        ledger(Finished(Request((Message("user", CANARY),), task=CANARY), Outcome(attempts=(attempt,))))
        with pytest.raises(LedgerError) as caught:
            ledger.flush()
        (record,) = recorded(path)
    assert CANARY in record.messages
    shown = "".join(traceback.format_exception(caught.value))
    assert CANARY not in repr(record) + shown


def test_a_field_path_keeps_fields_and_leaves_out_what_a_model_made_of_them(ledger):
    issues = (
        Issue("lines[2].total", "", "schema"),
        Issue(f"names.{CANARY} of {KEY}", "", "check:command(ruff check -)"),
    )
    attempt = climb(ledger).attempts[0]
    attempt = replace(attempt, validation=replace(attempt.validation, issues=issues))
    ledger(Finished(Request((Message("user", "?"),)), Outcome(attempts=(attempt,))))
    (found,) = [r.attempts[0].issues for r in held(ledger) if len(r.attempts) == 1]
    assert found == (("schema", "lines[2].total"), ("check:command", "names.*"))


def test_with_content_on_prompt_and_every_answer_are_kept(path):
    with Ledger(path, content=True) as ledger:
        climb(ledger, prompt="Who \ud800 was it?")
        (record,) = held(ledger)
    assert json.loads(record.messages) == [{"role": "user", "content": "Who ? was it?"}]
    assert [a.text for a in record.attempts] == ["bad", "bad", "good"]


def test_content_is_forgotten_after_its_time_and_the_rest_stays(path):
    now = [time.time()]
    with Ledger(path, content=True, retention_days=7, clock=lambda: now[0]) as ledger:
        climb(ledger, prompt=CANARY)
    now[0] += 6 * DAY
    with Ledger(path, clock=lambda: now[0]) as ledger:
        stay(ledger)
        assert [r.messages is not None for r in held(ledger)] == [False, True]
    now[0] += 2 * DAY
    with Ledger(path, clock=lambda: now[0]) as ledger:
        stay(ledger)
        assert [r.messages is not None for r in held(ledger)] == [False, False, False]
    assert CANARY.encode() not in bytes_on_disk(path)


def test_a_process_that_runs_for_days_forgets_content_too(path):
    now = [time.time()]
    with Ledger(path, content=True, retention_days=1, clock=lambda: now[0]) as ledger:
        stay(ledger)
        now[0] += 2 * DAY
        stay(ledger)
        assert [r.messages is not None for r in held(ledger)] == [True, False]


@pytest.mark.slow
def test_recording_costs_the_caller_less_than_a_millisecond_of_the_processor(path):
    events = []
    climb(events.append)
    finished = events[-1]
    with Ledger(path) as ledger:
        ledger(finished)
        took = []
        for _ in range(300):
            began = time.thread_time()  # how long it waits for the disk is told apart, without a clock
            ledger(finished)
            took.append(time.thread_time() - began)
            time.sleep(0.0005)
        assert sorted(took)[150] < 0.001
        assert len(held(ledger)) == 301


@pytest.mark.slow
def test_a_request_goes_on_while_another_process_holds_the_file(path, program):
    with Ledger(path) as ledger:
        stay(ledger)
        ledger.flush()
        code = (
            "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "c.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\ntime.sleep(60)\n"
        )
        process = program(code, path)
        assert process.stdout.readline() == b"held\n"
        began = time.monotonic()
        assert [stay(ledger).notes for _ in range(20)] == [()] * 20
        assert time.monotonic() - began < 20
        process.kill()
        process.wait()
        assert len(held(ledger)) == 21


@pytest.mark.slow
def test_a_process_that_ends_writes_what_waits_and_a_killed_one_loses_only_its_last_moments(path, program, finish):
    code = (
        "import sys, time\nfrom rung import Ladder\nfrom rung.ledger import Ledger\n"
        "from rung.testing import ScriptedTier\nledger = Ledger(sys.argv[1])\n"
        "for n in range(20):\n    Ladder(ScriptedTier('small', 'fine'), observers=[ledger]).run('Well?')\n"
    )
    finish(code, path)
    assert len(recorded(path)) == 20
    process = program(code + "time.sleep(0.5)\nprint('now', flush=True)\ntime.sleep(60)\n", path)
    assert process.stdout.readline() == b"now\n"
    process.kill()
    process.wait()
    assert len(recorded(path)) == 40


def writers():
    return {t for t in threading.enumerate() if t.name == "rung-ledger"}


def test_with_nothing_to_do_the_thread_ends_and_the_file_is_closed_and_both_come_back(path, monkeypatch):
    monkeypatch.setattr("rung.ledger.recorder._IDLE", 0.05)
    others = writers()
    ledger = Ledger(path)
    for _ in range(2):
        stay(ledger)
        began = time.monotonic()
        while writers() - others:
            assert time.monotonic() - began < 10
            time.sleep(0.01)
        assert [f.name for f in path.parent.iterdir()] == [path.name]
    assert len(recorded(path)) == 2


@pytest.mark.slow
def test_a_ledger_that_is_dropped_while_it_writes_still_writes_everything(path):
    for _ in range(5):
        stay(Ledger(path))
        gc.collect()
    began = time.monotonic()
    while len(recorded(path)) < 5:
        assert time.monotonic() - began < 10
        time.sleep(0.02)


def test_an_entry_that_the_tables_dont_take_doesnt_hold_the_others_up(ledger):
    attempt = replace(climb(ledger).attempts[0], seconds=float("nan"))
    ledger(Finished(Request((Message("user", "?"),)), Outcome(attempts=(attempt,))))
    with pytest.raises(LedgerError, match="the content of 1 of its entries"):
        ledger.flush()
    stay(ledger)
    assert [r.tier for r in held(ledger)] == ["small", "cloud"]


def test_more_tokens_than_the_tables_take_are_recorded_as_unknown_and_nothing_is_lost(ledger):
    attempt = replace(climb(ledger).attempts[0], usage=Usage(2**80, 1))
    ledger(Finished(Request((Message("user", "?"),)), Outcome(attempts=(attempt,))))
    found = [r for r in held(ledger) if len(r.attempts) == 1]
    assert [(r.input_tokens, r.output_tokens, r.attempts[0].input_tokens) for r in found] == [(None, 1, None)]


def test_too_many_waiting_entries_are_not_kept_and_the_request_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    ledger = Ledger(tmp_path / "file" / "ledger")
    event = Finished(Request((Message("user", "?"),)), Outcome())
    for _ in range(1200):
        with suppress(LedgerError):  # the first go by before the thread has seen the file
            ledger(event)
    with pytest.raises(LedgerError):
        ledger(event)
    assert len(ledger._recorder._pending) == 1000


@pytest.mark.slow
def test_requests_that_come_faster_than_the_disk_are_all_written(ledger):
    """Whoever comes while too many wait writes them, instead of losing its own."""
    event = Finished(Request((Message("user", "?"),)), Outcome())
    with ledger._recorder._writing:  # as a slow disk does
        for _ in range(990):
            ledger(event)
    for _ in range(2010):
        ledger(event)
    ledger.flush()
    assert added_up(ledger.path).requests == 3000


def test_a_disk_that_stands_still_holds_up_nobody(ledger, monkeypatch):
    monkeypatch.setattr(recorder, "_PATIENCE", 0.05)
    event = Finished(Request((Message("user", "?"),)), Outcome())
    with ledger._recorder._writing:
        while len(ledger._recorder._pending) < 1000:
            ledger(event)
        with pytest.raises(LedgerError, match="not written fast enough"):
            ledger(event)
    ledger.flush()
    assert added_up(ledger.path).requests >= 990


def test_a_request_is_found_by_how_its_id_begins_and_ids_are_in_order(ledger):
    for _ in range(3):
        stay(ledger)
        time.sleep(0.005)
    latest = held(ledger)
    assert [r.id for r in latest] == sorted((r.id for r in latest), reverse=True)
    with LedgerFile(ledger.path) as file:
        assert [r.id for r in find(file, latest[1].id.upper())] == [latest[1].id]
        assert len(find(file, latest[0].id[:5])) == 3
        assert find(file, "%") == []


def test_statistics_say_how_often_each_tier_did_in_each_task(ledger):
    climb(ledger, task="a")
    for _ in range(3):
        stay(ledger, task="a")
    stay(ledger, task="b")
    ledger.flush()
    found = added_up(ledger.path)
    assert (found.requests, found.accepted, found.left_machine, found.cost) == (5, 5, 1, Decimal("0.002"))
    tiers = {(t.task, t.tier): t for t in found.tiers}
    small = tiers["a", "small"]
    assert (small.requests, small.attempts, small.acceptance_rate, small.escalation_rate) == (4, 5, 0.75, 0.25)
    assert (tiers["a", "cloud"].acceptance_rate, tiers["a", "cloud"].cost) == (1, Decimal("0.002"))
    assert tiers["b", "small"].acceptance_rate == 1


def test_a_tier_that_breaks_is_counted_as_broken_and_not_as_sent_up(ledger):
    Ladder(ScriptedTier("small", TierCrashed("gone")), ScriptedTier("mid", "good"), observers=[ledger]).run("?")
    ledger.flush()
    small = added_up(ledger.path).tiers[0]
    assert (small.tier, small.failed, small.accepted, small.escalated) == ("small", 1, 0, 0)


def test_savings_are_measured_where_the_same_prompt_was_paid_for_imputed_by_task_or_unknown(path):
    with Ledger(path, content=True) as ledger:
        climb(ledger, prompt="One?", task="a")
        stay(ledger, prompt="One?", task="a")
        stay(ledger, prompt="Two?", task="a")
        stay(ledger, prompt="Three?", task="a")
        stay(ledger, prompt="Four?", task="b")
        ledger.flush()
        savings = added_up(path).savings
    assert (savings.measured, savings.measured_requests) == (Decimal("0.002"), 1)
    assert (savings.imputed, savings.imputed_requests, savings.unknown_requests) == (Decimal("0.004"), 2, 1)


def test_a_chat_is_exported_only_where_a_tier_above_answered_what_one_below_failed(path):
    with Ledger(path, content=True) as ledger:
        climb(ledger, prompt="Which?")
        stay(ledger)
        picture = (Message("user", (Image(b"png", "image/png"),)),)
        climb(ledger, prompt=picture)
        climb(ledger, cloud="bad")
        records = held(ledger)
    assert list(chats(records)) == [
        {"messages": [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "good"}]}
    ]
    for record in records:
        json.dumps(as_object(record), allow_nan=False)


def test_a_purge_forgets_by_age_or_all_or_content_alone_and_overwrites_it(path):
    now = [time.time() - 10 * DAY]
    with Ledger(path, content=True, clock=lambda: now[0]) as ledger:
        climb(ledger, prompt=f"old {CANARY}")
        now[0] += 10 * DAY
        climb(ledger, prompt=f"new {CANARY}")
        ledger.flush()
        file = LedgerFile(path)
        gone = purge(file, now[0], older_than_days=5)
        assert (gone.requests, gone.contents, content_held(file)) == (1, 1, 1)
        assert f"old {CANARY}".encode() not in bytes_on_disk(path)
        gone = purge(file, now[0], content_only=True)
        assert (gone.requests, gone.contents, len(requests(file))) == (0, 1, 1)
        assert CANARY.encode() not in bytes_on_disk(path)
        assert purge(file, now[0]).requests == 1
        assert requests(file) == []
        file.close()


def test_a_purge_gives_no_budget_back(path):
    with Ledger(path, per_day=1) as ledger:
        ledger.reserve(Decimal(1)).settle(Decimal(1))
        with LedgerFile(path) as file:
            purge(file, time.time())
        with pytest.raises(BudgetExceeded, match=r"\$0 left"):
            ledger.reserve(Decimal("0.1"))
