"""The file: who may read it, what versions it has, and what happens where it can't be used."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing, suppress
from decimal import Decimal

import pytest
from looking import recorded

from rung import BudgetExceeded, Ladder
from rung.errors import LedgerError
from rung.ledger import Ledger
from rung.ledger import schema as schemas
from rung.testing import ScriptedTier

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="permissions, forks and limits of this kind are POSIX's")
AWAY = "move it away: a new one starts with nothing spent"


def ask(ledger):
    """A request that takes a moment, as one to a model does."""

    def answer(call):
        with suppress(LedgerError):
            ledger.flush()
        return "fine"

    return Ladder(ScriptedTier("small", answer), observers=[ledger]).run("Well?")


def pragma(path, statement):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.commit()
        connection.close()


@POSIX
def test_the_file_and_its_log_are_for_the_users_eyes_alone(ledger, path):
    ask(ledger)
    ledger.flush()
    found = list(path.parent.iterdir())
    assert {f.name for f in found} == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
    assert {f.stat().st_mode & 0o777 for f in found} == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_making_a_ledger_touches_nothing(path):
    Ledger(path)
    assert not path.parent.exists()


def test_a_ledger_of_an_older_version_is_brought_up_to_date_and_keeps_what_it_holds(ledger, path, monkeypatch):
    ask(ledger)
    ledger.close()
    newer = (*schemas.STEPS, ("ALTER TABLE requests ADD COLUMN colour TEXT", "UPDATE requests SET colour = 'red'"))
    monkeypatch.setattr(schemas.prepare, "__defaults__", (newer,))
    assert [r.tier for r in recorded(path)] == ["small"]
    assert pragma(path, "PRAGMA user_version") == [(len(newer),)]
    assert pragma(path, "SELECT colour FROM requests") == [("red",)]


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(ledger, path, monkeypatch):
    ask(ledger)
    ledger.close()
    newer = (*schemas.STEPS, ("ALTER TABLE requests ADD COLUMN colour TEXT", "UPDATE nothing SET colour = 'red'"))
    with monkeypatch.context() as patch:
        patch.setattr(schemas.prepare, "__defaults__", (newer,))
        with pytest.raises(LedgerError):
            recorded(path)
    assert [r.tier for r in recorded(path)] == ["small"]
    assert pragma(path, "PRAGMA user_version") == [(len(schemas.STEPS),)]


def test_a_ledger_of_a_newer_version_is_refused_in_a_sentence_and_left_alone(ledger, path):
    ask(ledger)
    ledger.close()
    pragma(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"written by a newer rung.*upgrade rung"):
        recorded(path)
    with Ledger(path, per_day=1) as newer:
        outcome = ask(newer)
        assert outcome.value == "fine"
        assert "newer rung" in outcome.notes[0]
        with pytest.raises(BudgetExceeded, match="newer rung"):
            newer.reserve(Decimal("0.1"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with Ledger(path, per_day=1) as ledger:
        outcome = ask(ledger)
        assert outcome.value == "fine"
        assert outcome.notes == (f"the ledger {path} is not a ledger; {AWAY}",)
        with pytest.raises(BudgetExceeded, match="move it away"):
            ledger.reserve(Decimal("0.1"))
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(path):
    path.parent.mkdir()
    pragma(path, "CREATE TABLE mine (x)")
    with pytest.raises(LedgerError, match="another program"):
        recorded(path)
    assert pragma(path, "PRAGMA journal_mode") == [("delete",)]


def test_a_ledger_with_damaged_pages_refuses_budgets_and_lets_requests_through(ledger, path):
    ask(ledger)
    ledger.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with Ledger(path, per_day=1) as damaged:
        assert ask(damaged).value == "fine"
        with pytest.raises(LedgerError, match="is damaged"):
            damaged.flush()
        assert ask(damaged).notes == (f"the ledger {path} is damaged; {AWAY}",)
        with pytest.raises(BudgetExceeded, match="is damaged"):
            damaged.reserve(Decimal("0.1"))


@pytest.mark.slow
@POSIX
def test_in_a_folder_that_cant_be_written_requests_work_and_say_so(path, finish):
    code = """
import os, sys
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from rung import BudgetExceeded, Ladder
from rung.errors import LedgerError
from rung.ledger import Ledger
from rung.testing import ScriptedTier
folder = Path(sys.argv[1]).parent
folder.mkdir()
folder.chmod(0o500)
if os.geteuid() == 0:
    os.setuid(65534)  # whom the mode doesn't stop is made somebody whom it does
ledger = Ledger(sys.argv[1], per_day=1)
def answer(call):
    with suppress(LedgerError):
        ledger.flush()
    return "fine"
outcome = Ladder(ScriptedTier("small", answer), observers=[ledger]).run("Well?")
print(outcome.value, *outcome.notes, sep=";")
for call in (ledger.flush, lambda: ledger.reserve(Decimal(0))):
    try:
        call()
    except (LedgerError, BudgetExceeded) as error:
        print(error)
"""
    lines = finish(code, path).splitlines()
    assert lines[0].startswith("fine;the ledger ")
    assert "permission denied" in lines[0]
    assert "permission denied" in lines[1]
    assert "the budget can't be kept" in lines[2]


@pytest.mark.slow
@POSIX
def test_on_a_full_disk_requests_work_and_say_so_and_nothing_that_was_there_is_lost(path, finish):
    code = """
import resource, sys, time
from decimal import Decimal
from rung import BudgetExceeded, Ladder
from rung.errors import LedgerError
from rung.ledger import Ledger
from rung.testing import ScriptedTier
ledger = Ledger(sys.argv[1], per_day=1)
def ask():
    return Ladder(ScriptedTier("small", "fine"), observers=[ledger]).run("Well?")
ask()
held = ledger.reserve(Decimal("0.5"))
ledger.flush()
log = open(sys.argv[1] + "-wal", "rb")  # never closed: its close would drop SQLite's locks
resource.setrlimit(resource.RLIMIT_FSIZE, (log.seek(0, 2), resource.RLIM_INFINITY))
print(ask().value)
try:
    ledger.flush()
except LedgerError as error:
    print(error)
print(*ask().notes)
try:
    ledger.reserve(Decimal("0.1"))
except BudgetExceeded as error:
    print(error)
held.settle(Decimal("0.2"))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ledger.flush()
print(ask().notes)
"""
    lines = finish(code, path).splitlines()
    assert lines[0] == "fine"
    assert "can't be written" in lines[1]
    assert "can't be written" in lines[2]
    assert "the budget can't be kept" in lines[3]
    assert lines[4] == "()"
    assert len(recorded(path)) == 4
    assert pragma(path, "SELECT state, counted FROM reservations") == [("settled", 2 * 10**11)]


@pytest.mark.slow
def test_many_processes_may_open_a_new_ledger_at_once(path, program):
    code = (
        "import sys\nfrom rung import Ladder\nfrom rung.ledger import Ledger\nfrom rung.testing import ScriptedTier\n"
        "ledger = Ledger(sys.argv[1])\n"
        "assert not Ladder(ScriptedTier('small', 'fine'), observers=[ledger]).run('Well?').notes\nledger.flush()\n"
    )
    started = [program(code, path) for _ in range(3)]
    assert [(p.communicate(timeout=60)[1], p.returncode) for p in started] == [(b"", 0)] * 3
    assert len(recorded(path)) == 3
    assert pragma(path, "PRAGMA integrity_check") == [("ok",)]


def _move(folder, old, new):
    for end in ("", "-wal", "-shm"):
        if (folder / (old + end)).exists():
            (folder / (old + end)).rename(folder / (new + end))


def _take_away(path):
    _move(path.parent, path.name, "old")


def _remove_folder(path):
    shutil.rmtree(path.parent)


def _replace(path):
    _take_away(path)
    with Ledger(path) as other:
        other.reserve(Decimal("0.1"))


@POSIX
@pytest.mark.parametrize("vanish", [_take_away, _remove_folder, _replace])
@pytest.mark.parametrize("open_still", [True, False])
def test_a_ledger_that_vanishes_while_it_is_in_use_is_said_and_not_made_anew(path, vanish, open_still):
    with Ledger(path, per_day=1) as ledger:
        assert ask(ledger).notes == ()
        ledger.reserve(Decimal("0.7")).settle(Decimal("0.7"))
        if not open_still:
            ledger.close()
        vanish(path)
        there = path.exists()
        outcome = ask(ledger)
        assert outcome.value == "fine"
        assert len(outcome.notes) == 1
        assert f"the ledger {path} vanished while it was in use" in outcome.notes[0]
        with pytest.raises(BudgetExceeded, match="vanished while it was in use"):
            ledger.reserve(Decimal("0.7"))
        assert path.exists() == there


@POSIX
def test_a_request_that_needs_no_flush_says_at_once_that_the_ledger_vanished(ledger, path):
    def quick():
        return Ladder(ScriptedTier("small", "fine"), observers=[ledger]).run("Well?")

    quick()
    ledger.flush()
    _take_away(path)
    assert "vanished" in quick().notes[0]


@POSIX
def test_a_ledger_that_is_put_back_goes_on_and_what_waited_is_written(ledger, path):
    ask(ledger)
    ledger.flush()
    _take_away(path)
    assert ask(ledger).notes
    _move(path.parent, "old", path.name)
    assert ask(ledger).notes == ()
    ledger.flush()
    assert len(recorded(path)) == 3


@pytest.mark.slow
@POSIX
def test_parent_and_child_of_a_fork_both_record_and_both_spend(path, finish):
    code = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork beside threads, which is tried here
from decimal import Decimal
from rung import Ladder
from rung.ledger import Ledger
from rung.testing import ScriptedTier
ledger = Ledger(sys.argv[1], per_day=1)
def ask(tier):
    return Ladder(ScriptedTier(tier, "fine"), observers=[ledger]).run("Well?")
for n in range(50):
    ask("before")
held = ledger.reserve(Decimal("0.1"))
children = []
for _ in range(4):
    child = os.fork()
    if not child:
        assert not ask("child").notes
        ledger.reserve(Decimal("0.2")).settle(Decimal("0.2"))
        sys.exit(0)
    children.append(child)
ask("parent")
held.settle(Decimal("0.1"))
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""
    finish(code, path)
    tiers = [r.tier for r in recorded(path)]
    assert sorted(tiers) == ["before"] * 50 + ["child"] * 4 + ["parent"]
    assert pragma(path, "SELECT sum(counted), count(*) FROM reservations WHERE state = 'settled'") == [(9 * 10**11, 5)]
    assert pragma(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_ledger_that_another_process_makes_meanwhile_is_not_taken_for_another_programs(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as ours,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as others,
    ):

        def made_meanwhile(statement):
            if statement == "SELECT 1 FROM sqlite_schema":
                with suppress(sqlite3.OperationalError):  # it waits for us, as it may
                    schemas.prepare(others, 0)

        ours.set_trace_callback(made_meanwhile)
        schemas.prepare(ours, 10)
        assert ours.execute("SELECT count(*) FROM requests").fetchone() == (0,)
