"""A job may be killed at any moment: nothing that was finished is done again, nothing is lost, no budget is passed."""

from __future__ import annotations

import json
import random
import sys
import time
import zlib
from decimal import Decimal
from pathlib import Path

import pytest

from batch.jobs import Answering, Forked, PaidAnswering, read, rows, run, until
from rung.batch.manifest import JobManifest
from rung.ledger.schema import dollars

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks the processes that are killed")


def right(prompt: str) -> str:
    """Two thirds of the prompts are answered by the small tier."""
    return "yes" if zlib.crc32(prompt.encode()) % 3 else "perhaps"


def free(data: Path, out: Path, log: Path, seconds: float) -> None:
    small, big = Answering("small", right, log, seconds), Answering("big", lambda prompt: "no", log, seconds)
    run(data, out, small, big, output=["yes", "no"])


def paid(data: Path, out: Path, log: Path) -> None:
    small, far = Answering("small", lambda prompt: "perhaps"), PaidAnswering("far", lambda prompt: "no", log, 0.05)
    run(data, out, small, far, output=["yes", "no"], limit="1.00")


def answers(out: Path) -> dict[int, str]:
    """What is finished, by number of the question."""
    with JobManifest(Path(f"{out}.job")) as manifest:
        found = manifest.rows("SELECT number, answer FROM questions WHERE answer IS NOT NULL")
        return {it["number"]: it["answer"] for it in found}


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def killed_until_done(tmp_path: Path, count: int, kills: int, seconds: float) -> tuple[Path, Path]:
    """A job over some rows that is killed several times; its output and the log of its calls."""
    data = rows(tmp_path / "in.jsonl", [f"q{n}" for n in range(count)])
    out, log, chance = tmp_path / "out.jsonl", tmp_path / "log", random.Random(kills)
    before: dict[int, str] = {}
    for _ in range(kills):
        began = len(lines(log))
        process = Forked(lambda: free(data, out, log, seconds))
        until(lambda began=began, process=process: len(lines(log)) > began + 3 or process.poll() is not None)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        finished = answers(out)
        # what was finished before is there, byte for byte
        assert {number: finished[number] for number in before} == before
        before = finished
    free(data, out, log, 0.0)
    assert {number: text for number, text in answers(out).items() if number in before} == before
    return out, log


def demand_whole(out: Path, log: Path, count: int, kills: int) -> None:
    found = read(out)
    assert [row["line"] for row in found] == list(range(1, count + 1))
    assert {row["tier"] for row in found} == {"small", "big"}
    calls = lines(log)
    sent_up = sum(row["tier"] == "big" for row in found)
    # a small tier is asked twice where its answer is repaired; a kill makes what was under way be asked again
    assert count + 2 * sent_up <= len(calls) <= count + 2 * sent_up + kills * 3 * 8


@pytest.mark.slow
def test_a_job_that_is_killed_twice_is_whole_in_the_end(tmp_path):
    demand_whole(*killed_until_done(tmp_path, 60, 2, 0.02), count=60, kills=2)


@pytest.mark.proof
@pytest.mark.slow
def test_a_job_that_is_killed_ten_times_is_whole_in_the_end(tmp_path):
    demand_whole(*killed_until_done(tmp_path, 300, 10, 0.05), count=300, kills=10)


def budget(tmp_path: Path, count: int, processes: int, kills: int) -> None:
    """Paid answers of $0.015, some of them killed, by several processes with one budget of $1.00."""
    data = rows(tmp_path / "in.jsonl", [f"q{n}" for n in range(count)])
    out, log, chance = tmp_path / "out.jsonl", tmp_path / "log", random.Random(processes)
    running = [Forked(lambda: paid(data, out, log)) for _ in range(processes)]
    for _ in range(kills):
        began = len(lines(log))
        until(lambda began=began: len(lines(log)) > began + 4 or all(it.poll() is not None for it in running))
        victim = chance.choice(running)
        victim.kill()
        running.remove(victim)
        running.append(Forked(lambda: paid(data, out, log)))
    for process in running:
        assert process.wait(120) == 0
    calls = lines(log)
    # every call that was begun, at what it may have cost, and what was settled, at what it did cost
    assert len(calls) * Decimal("0.015") <= Decimal("1.00")
    with JobManifest(Path(f"{out}.job")) as manifest:
        counts = manifest.counts()
        assert dollars(counts.counted) <= Decimal("1.00")
        assert dollars(counts.spent) == counts.accepted * Decimal("0.015")
        assert not counts.open
        # nothing that was paid and noted is paid again
        assert len(calls) - counts.accepted <= kills * 8
    assert counts.accepted + counts.rejected == count
    rejects = read(tmp_path / "out.rejects.jsonl")
    assert {row["reason"] for row in rejects} == {"over_budget"}
    # what calls under way reserve too much comes back, so the budget is used to its end
    assert dollars(counts.counted) > Decimal("1.00") - Decimal("0.02")


@pytest.mark.slow
def test_two_processes_hold_one_budget_over_a_kill(tmp_path):
    budget(tmp_path, 75, processes=2, kills=1)


@pytest.mark.proof
@pytest.mark.slow
def test_four_processes_hold_one_budget_over_kills(tmp_path):
    budget(tmp_path, 120, processes=4, kills=4)


def test_what_a_dead_process_held_is_free_and_its_reservation_stays_counted(tmp_path):
    with JobManifest(tmp_path / "job") as manifest:
        with manifest.transaction() as connection:
            # a process that is long gone: pids are used again, so its start counts, too
            connection.execute("INSERT INTO owners (number, pid, born) VALUES (7, 1, 0.0)")
            connection.execute("UPDATE money SET counted = 5")
            connection.execute("INSERT INTO reservations (owner, bound) VALUES (7, 5)")
            connection.execute(
                "INSERT INTO questions (key, position, line, place, rows, stage, owner, crashes) "
                "VALUES (?, 0, 1, 0, 1, 0, 7, 0)",
                (b"k" * 16,),
            )
        assert manifest.claim(0, 10) == []
        assert not manifest.bury()
        manifest.join()
        # nobody takes the dead one's place, so nobody waits for its money to come back
        assert manifest.owner > 7
        assert not manifest.money_may_come_back()
        assert [claim.key for claim in manifest.claim(0, 10)] == [b"k" * 16]
        assert manifest.counts().counted == 5


@pytest.mark.slow
def test_the_output_is_written_whole_or_not_at_all(tmp_path):
    out, _ = killed_until_done(tmp_path, 20, 1, 0.02)
    assert not list(tmp_path.glob(".*.new"))
    assert all(json.loads(line)["value"] for line in out.read_text().splitlines())
