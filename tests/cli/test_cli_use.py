"""Learning from use, as a person meets it: `[shadow]`, what the ledger says, `rung calibrate --from-ledger`."""

from __future__ import annotations

import functools
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rung
from rung import Shadowed
from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.config import load
from rung.engine import shadows
from rung.learn.making import make_task
from rung.ledger import LedgerFile, RequestRecord, requests

if TYPE_CHECKING:
    from conftest import Program

LADDER = """
[[tier]]
name = "small"
kind = "doubling"
right = "{right}"
counts = "{counts}"
min_confidence = 0

[[tier]]
name = "mid"
kind = "doubling"
right = "{everything}"
counts = "{counts}"

[ledger]
path = "{ledger}"

[shadow]
share = 1
busy = 1
"""
ONE_SHOT = """
[[tier]]
name = "small"
kind = "scripted"
script = ["yes"]

[[tier]]
name = "mid"
kind = "scripted"
script = ["{mid}"]
seconds = {seconds}
record = "{record}"

[ledger]
path = "{ledger}"

[shadow]
share = 1
busy = 1
"""
WRONG_EVERY = 25


def until(what: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < give_up
        time.sleep(0.002)
    return found


def held(path: Path) -> list[RequestRecord]:
    with LedgerFile(path) as file:
        return requests(file)


@pytest.fixture
def home(program: Program, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person with a task, and a small tier that is unsure where it is wrong."""
    everything = list(range(1000))
    right = [n for n in everything if n % WRONG_EVERY]
    ledger, counts = program.home / "ledger.sqlite3", (program.home / "counts").as_posix()
    program.config(LADDER.format(right=right, everything=everything, counts=counts, ledger=ledger.as_posix()))
    make_task(program.home / "tasks" / "double", {"prompt": "double {n}", "regex": "[0-9]+"})
    make_task(program.home / "tasks" / "chat", {"prompt": "double {n}"})
    monkeypatch.chdir(program.work)
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("outside")))
    monkeypatch.setattr(shadows, "_QUIET", 0.0)
    monkeypatch.setattr(shadows, "_LOOK", 0.01)
    monkeypatch.delenv("RUNG_LEDGER", raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(program.home))
    return program.home


def use(home: Path, numbers: range) -> None:
    """An app asks, and lives until the last shadow is told."""
    config = load(home / "rung.toml")
    ledger = config.ledger.ledger()
    assert ledger is not None
    with ledger, config.ladder(ledger=ledger) as ladder:
        heard: list[Shadowed] = []
        ladder._observers = (*ladder._observers, lambda e: heard.append(e) if isinstance(e, Shadowed) else None)
        for done, n in enumerate(numbers, 1):
            ladder.run({"n": str(n)}, task="double")
            until(functools.partial(lambda done: len(heard) >= done, done))


@pytest.fixture
def command(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return invoke((*words, "--config", str(home / "rung.toml")), Interrupts()), *capsys.readouterr()

    return run


@pytest.mark.slow
def test_from_use_to_a_calibrated_task(home: Path, command: Any) -> None:
    use(home, range(1, 41))
    code, out, err = command("calibrate", "--task", "double", "--from-ledger")
    assert (code, out) == (2, "")
    drawn = "40 requests of the task 'double' under its present settings were drawn for a shadow"
    assert f"{drawn}, but 76 are needed" in err
    use(home, range(41, 91))
    code, out, err = command("ledger", "stats")
    assert code == 0
    assert "double: 90 requests under the present settings, 90 drawn for a shadow" in out
    assert "enough to calibrate: rung calibrate --task double --from-ledger" in out
    assert "shadows: 90, of which 0 were dropped; 90 attempts, " in out
    code, out, err = command("calibrate", "--task", "double", "--from-ledger", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["promised"], found["certified"], found["look"]) == (True, True, "first")
    assert (found["requests"], found["tossed"], found["dropped"]) == (90, 90, 0)
    assert found["kept"] == 87, "the three that differ are the unsure ones"
    assert found["sentences"][0].startswith("On prompts drawn like those of these 90 requests, at most 3 in 100 ")
    with rung.load(home / "rung.toml") as ladder:
        sure, unsure = ladder.run({"n": "401"}, task="double"), ladder.run({"n": "425"}, task="double")
    assert (sure.tier, unsure.tier) == ("small", "mid")
    threshold = unsure.attempts[0].threshold
    assert threshold is not None
    assert threshold.origin.startswith("calibrated ")
    assert not any("void" in note for attempt in (*sure.attempts, *unsure.attempts) for note in attempt.notes)
    code, out, err = command("calibrate", "--task", "double", "--from-ledger")
    assert code == 2, "another policy is in force, and its requests are to come"


@pytest.mark.slow
def test_drift_is_said_with_its_delay_once_there_is_a_promise(home: Path, command: Any) -> None:
    use(home, range(1, 91))
    assert command("calibrate", "--task", "double", "--from-ledger")[0] == 0
    use(home, range(101, 105))
    code, out, _ = command("ledger", "stats")
    assert code == 0
    assert "double: 4 requests under the present settings" in out
    assert "promised: at most 3 in 100 differ; nothing speaks against it" in out
    assert "a rise to 9 in 100 is found within about" in out
    (watched,) = json.loads(command("ledger", "stats", "--json")[1])["use"]
    assert (watched["void"], watched["limit"], watched["tossed"]) == (False, 0.03, 4)
    assert watched["delay"] > 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("data.csv", "--task", "double", "--from-ledger"), "--from-ledger and DATA can't go together"),
        (("--task", "double", "--from-ledger", "--risk", "0.05"), "--from-ledger and --risk can't go together"),
        (("--task", "double"), "there is no data to calibrate by"),
        (("--task", "double", "--from-ledger"), "has no request of the task 'double' in its present form"),
        (("--task", "chat", "--from-ledger"), "rung can't tell when two texts say the same"),
    ],
)
def test_what_cannot_be_calibrated_from_use_is_a_sentence(command: Any, words: tuple[str, ...], says: str) -> None:
    code, out, err = command("calibrate", *words)
    assert (code, out) == (2, "")
    assert says in err


def one_shot(program: Program, mid: str = "no", seconds: float = 0.0) -> tuple[str, Path, Path]:
    ledger, record = program.home / "ledger.sqlite3", program.home / "asked.json"
    text = ONE_SHOT.format(mid=mid, seconds=seconds, record=record.as_posix(), ledger=ledger.as_posix())
    return program.config(text), ledger, record


@pytest.mark.slow
@pytest.mark.parametrize(("mid", "agrees"), [("yes", True), ("no", False)])
def test_a_one_shot_command_leaves_its_shadow_to_a_process_of_its_own(program: Program, mid: str, agrees: bool) -> None:
    config, ledger, record = one_shot(program, mid)
    done = program("ask", "Is it?", "--choices", "yes,no", "--task", "check", "--config", config)
    assert (done.returncode, done.stdout) == (0, b"yes\n"), done.stderr
    assert b"no task" in done.stderr, "nothing else is said"
    shadow = until(lambda: held(ledger)[0].shadow)
    assert (shadow.against, shadow.agrees) == ("mid", agrees)
    (request,) = held(ledger)
    assert (request.tier, request.chance, request.fell, request.cost) == ("small", 1.0, True, 0)
    assert [a.tier for a in request.attempts] == ["small"]
    assert [a.tier for a in shadow.attempts] == ["mid"]
    assert json.loads(record.read_text())["messages"][-1] == ["user", "Is it?"]
    told = program("ledger", "show", "--config", config).stdout.decode()
    assert f"shadow: mid says {'the same' if agrees else 'something else'}" in told


@pytest.mark.slow
def test_no_answer_waits_for_its_shadow_and_a_kill_loses_nothing_but_that(program: Program) -> None:
    config, ledger, record = one_shot(program, seconds=300)
    done = program("ask", "Is it?", "--choices", "yes,no", "--config", config)
    assert done.stdout == b"yes\n"
    pid = until(lambda: record.exists() and record.read_text() and json.loads(record.read_text())["pid"])
    os.kill(pid, signal.SIGKILL)
    (request,) = held(ledger)
    assert (request.accepted, request.fell, request.shadow) == (True, True, None)
    shown = program("ledger", "show", "--config", config).stdout.decode()
    assert "the request was drawn for one; it has no result, or none yet" in shown


def test_free_text_gets_no_shadow_and_only_the_trace_says_so(program: Program) -> None:
    config, ledger, record = one_shot(program)
    done = program("ask", "How is it?", "--config", config)
    assert b"shadow" not in done.stderr
    assert b"free text gets no shadow" in program("ask", "How is it?", "--trace", "--config", config).stderr
    assert [r.fell for r in held(ledger)] == [None, None]
    assert not record.exists()


def test_a_strangers_project_file_asks_for_no_shadows(program: Program) -> None:
    (program.work / "rung.toml").write_text(
        '[shadow]\nshare = 1\n\n[[tier]]\nname = "small"\nkind = "llama"\nmodel = "smollm2-135m"\n'
    )
    done = program("ask", "Is it?")
    assert done.returncode == 2
    assert b"set shadow.share = " in done.stderr


@pytest.mark.slow
def test_the_ledger_keeps_features_and_form_without_a_shadow_and_no_word_of_the_prompt(program: Program) -> None:
    config, ledger, _ = one_shot(program)
    Path(config).write_text(Path(config).read_text().replace("share = 1", "share = 0"))
    for prompt in ("Is it a kanarienvogel?", "Is it another?"):
        program("ask", prompt, "--choices", "yes,no", "--config", config)
    program("ask", "Is it a kanarienvogel?", "--choices", "yes,no,perhaps", "--config", config)
    forms = [r.form for r in held(ledger)]
    assert forms[1] == forms[2] != forms[0]
    assert [r.chance for r in held(ledger)] == [None] * 3
    assert b"kanarienvogel" not in ledger.read_bytes()
