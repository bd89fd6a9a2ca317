"""What must not change when the inside does: what `rung` answers, tells, records and understands, from outside.

Everything goes through the command line, `rung.Ladder` and the fakes of `rung.testing`. The recorded files are compared
byte for byte; `RUNG_RECORD=1 python -m pytest tests/golden` records them anew. A `.json` holds the structure of a run,
the `.txt` of the same name what it says in sentences, whose wording may change.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from golden import ledgers, settings
from golden.asking import ASKS, PERSON, Ask, local
from golden.commands import COMMANDS, GONE, SMALL
from golden.machine import Machine
from golden.recording import ANEW, Eraser, compare, files, stale
from golden.streaming import STREAMS
from openai_tier.server import Server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to one process")

MAIL = {"type": "object", "properties": {"to": {"type": "string"}, "card": {"type": "string"}}, "required": ["to"]}
LEDGERS = tuple(dict.fromkeys(ask.ledger for ask in ASKS))


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("golden") / "home") as machine:
        machine.write("mail.txt", "A mail from Ada, who is 36.")
        machine.write("person.json", json.dumps(PERSON))
        machine.write("mail.json", json.dumps(MAIL))
        yield machine


@pytest.fixture(scope="module")
def eraser(machine) -> Eraser:
    return Eraser(machine.home)


@pytest.fixture(scope="module")
def asked(machine, eraser) -> dict[str, str]:
    found: dict[str, str] = {}
    with _Interrupted(machine) as interrupted:  # first, since its process takes a while to begin
        for ask in ASKS:
            found |= _ask(machine, eraser, ask)
        return found | interrupted.end()


def _ask(machine: Machine, eraser: Eraser, ask: Ask) -> dict[str, str]:
    # a server only where a tier connects to one, because it takes a moment to stop
    needed = "{url}" in ask.config("{url}")
    with Server(*ask.endpoint) if needed else nullcontext() as server:
        config = machine.write(f"{ask.name}.toml", ask.config(server.url if server else ""))
        options = [option.replace("{home}", str(machine.home)) for option in ask.options]
        line = ["ask", *options, *(["--json"] if ask.json else [])]
        ledger = str(machine.home / f"{ask.ledger}.sqlite3")
        said = machine(*line, "--config", config, stdin=ask.stdin, RUNG_LEDGER=ledger, **ask.env)
        received = [request.json for request in server.requests] if server else []
        assert not (server and server.script), f"{ask.name}: the endpoint was asked less often than it was scripted for"
    value = {
        "command": shlex.join(["rung", *line]),
        "exit": said.code,
        "stdout": said.json if ask.json else said.stdout,
        "asked": said.asked,
        "received": received,
    }
    found = files(f"ask/{ask.name}", eraser.value(value), eraser.seconds(eraser.text(said.stderr)))
    if not ask.ours:
        del found[f"ask/{ask.name}.txt"]
    return found


class _Interrupted:
    """`rung ask` in a process of its own, at whose tier Ctrl-C arrives."""

    LINE = ("ask", "Who wrote the first program?", "--json")

    def __init__(self, machine: Machine) -> None:
        self._answering = machine.home / "answering"
        tier = local("small", {"touch": str(self._answering), "text": "good", "seconds": 60.0})
        config = machine.write("interrupted.toml", Ask("interrupted", (), (tier, local("large"))).config(""))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rung", *self.LINE, "--config", config],
            cwd=machine.work,
            env={**machine.env, "RUNG_LEDGER": str(machine.home / "interrupted.sqlite3")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> dict[str, str]:
        """Press Ctrl-C; what came of it."""
        until = time.monotonic() + 60
        while not self._answering.exists():
            assert self._process.poll() is None, f"the command ended: {self._process.communicate()}"
            assert time.monotonic() < until, "the command never asked its tier"
            time.sleep(0.01)
        self._process.send_signal(signal.SIGINT)
        out, said = self._process.communicate(timeout=30)
        value = {
            "command": shlex.join(["rung", *self.LINE]),
            "exit": self._process.returncode,
            "stdout": json.loads(out),
        }
        return files("ask/interrupted", value, said)

    def __enter__(self) -> _Interrupted:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def recorded(machine, eraser, asked) -> dict[str, str]:
    found: dict[str, str] = {}
    for ledger in LEDGERS:
        names = [a.name for a in ASKS if a.ledger == ledger and "--show-outgoing" not in a.options]
        config = str(machine.home / f"{next(a.name for a in ASKS if a.ledger == ledger)}.toml")
        found |= ledgers.told(machine, eraser, ledger, config, names)
    return found | ledgers.told(machine, eraser, "interrupted", str(machine.home / "accepted.toml"), ["interrupted"])


@pytest.fixture(scope="module")
def streamed() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, stream in STREAMS.items():
        found |= files(f"stream/{name}", Eraser(Path("nowhere that exists")).value(stream()))
    return found


@pytest.fixture(scope="module")
def configured(machine, eraser) -> dict[str, str]:
    (machine.home / "files").mkdir()
    machine.write("certificates.pem", "")
    home = str(machine.home)
    policy = machine.write("policy.toml", settings.POLICY.replace("{home}", home))
    config = machine.write("settings.toml", (settings.TOP + settings.TIERS).replace("{home}", home))
    env = {"GOLDEN_POLICY": policy, "GOLDEN_KEY": "golden"}
    show, ask = ("config", "show", "--config", config, "--json"), ("ask", "Who?", "--config", config, "--json")
    return {
        **_setting(machine, eraser, "every_setting", show, **env),
        **_setting(machine, eraser, "every_tier_is_made", ask, **env, RUNG_LEDGER="off"),
        **_layers(machine, eraser),
    }


def _layers(machine: Machine, eraser: Eraser) -> dict[str, str]:
    """A user's file, a project's that nobody trusts, the same trusted, and an environment that tightens."""
    user = machine.write("user.toml", 'reach = "lan"\n[budget]\nmoney = 1\nseconds = 9\n' + SMALL)
    project = machine.work / "rung.toml"
    project.write_text(
        'reach = "internet"\nredact = true\n[budget]\nmoney = 2\nseconds = 5\n[ledger]\ncontent = true\n'
    )
    show, ask, trust = ("config", "show", "--json"), ("ask", "Who?", "--json"), ("config", "trust", "--json")
    found: dict[str, str] = {}
    for name, line, env in (
        ("not_trusted", show, {}),
        ("not_trusted_and_asked", ask, {}),
        ("trusting", trust, {}),
        ("trusted", show, {}),
        ("trusted_and_tightened", show, {"RUNG_REACH": "host"}),
        ("offline", show, {"RUNG_OFFLINE": "1", "RUNG_LEDGER": "off"}),
    ):
        found |= _setting(machine, eraser, name, line, RUNG_CONFIG=user, **env)
    project.unlink()
    return found


def _setting(machine: Machine, eraser: Eraser, name: str, line: tuple[str, ...], **env: str) -> dict[str, str]:
    said = machine(*line, **{"RUNG_LEDGER": "", **env})
    value = {"command": shlex.join(["rung", *line]), "exit": said.code, "stdout": said.json}
    return files(f"settings/{name}", eraser.value(value), eraser.text(said.stderr))


@pytest.fixture(scope="module")
def unknown(machine) -> dict[str, dict[str, Any]]:
    """What is said to a key that nobody knows, for each level; to one that is nearly right, below `nearly`."""
    found: dict[str, dict[str, Any]] = {"nearly": {}}
    for level, (config, policy) in settings.LEVELS.items():
        found[level] = _refusal(machine, config or SMALL, policy)
    for level, config in settings.NEARLY.items():
        found["nearly"][level] = _refusal(machine, config, "")
    return found


def _refusal(machine: Machine, config: str, policy: str) -> dict[str, Any]:
    path, policy_path = machine.write("unknown.toml", config), machine.write("unknown_policy.toml", policy)
    said = machine("ask", "Who?", "--config", path, "--json", GOLDEN_POLICY=policy_path, RUNG_LEDGER="off")
    return {"exit": said.code, **said.json}


@pytest.fixture(scope="module")
def coded(machine, eraser, asked) -> dict[str, str]:
    machine.write("always.toml", SMALL)
    machine.write("gone.toml", GONE)
    interrupted = json.loads(asked["ask/interrupted.json"])
    codes, said = [_coded(interrupted["exit"], interrupted["stdout"], f"{interrupted['command']}, and Ctrl-C")], []
    for command in COMMANDS:
        line = [word.replace("{home}", str(machine.home)) for word in command]
        ledger = str(machine.home / "unused.sqlite3")
        done = machine(*line, RUNG_LEDGER=ledger, RUNG_OFFLINE="1")
        shown = eraser.text(shlex.join(["rung", *line]))
        codes.append(_coded(done.code, done.json if "--json" in line else {}, shown))
        if done.stderr:
            said += [shown, *(f"  {row}" for row in eraser.text(done.stderr).splitlines()), ""]
    return {"exit_codes.txt": "\n".join(codes) + "\n", "exit_codes_said.txt": "\n".join(said)}


def _coded(code: int, told: dict[str, Any], command: str) -> str:
    """A row: the exit code, the type of the error where it is told, and the command."""
    return f"{code:>3}  {told.get('error', {}).get('type', '-'):<16}  {command}"


@pytest.fixture(scope="module")
def everything(asked, recorded, streamed, configured, unknown, coded, eraser) -> dict[str, str]:
    return asked | recorded | streamed | configured | _unknown_files(unknown, eraser) | coded


def _unknown_files(unknown: dict[str, Any], eraser: Eraser) -> dict[str, str]:
    return files("settings/unknown_keys", eraser.value(unknown))


def _compare(found: dict[str, str], room: str, name: str) -> None:
    ours = {file: text for file, text in found.items() if file.rpartition(".")[0] == f"{room}{name}"}
    assert ours
    compare(ours)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(ask.name for ask in ASKS), "interrupted"])
def test_an_answer_is_told_and_paid_for_as_it_was(asked, name):
    _compare(asked, "ask/", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_tells_the_same_events(streamed, name):
    _compare(streamed, "stream/", name)


@pytest.mark.slow
def test_a_ledger_tells_the_same_of_each_request(recorded):
    compare({file: text for file, text in recorded.items() if file.startswith("ledger/requests/")})


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LEDGERS, "interrupted"])
def test_a_ledger_lists_exports_and_adds_up_the_same(recorded, name):
    _compare(recorded, "ledger/", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LEDGERS, "interrupted"])
def test_the_tables_of_a_ledger_are_the_same_for_another_program(recorded, name):
    _compare(recorded, "ledger/", f"{name}_tables")


@pytest.mark.slow
def test_every_setting_is_understood_as_it_was(configured):
    compare(configured)


@pytest.mark.slow
def test_an_unknown_setting_is_refused_as_it_was(unknown, eraser):
    compare(_unknown_files(unknown, eraser))


@pytest.mark.parametrize("level", settings.LEVELS)
def test_no_setting_is_missing_in_the_files_that_hold_every_one(unknown, level):
    """A new one has to be written there, too: an unknown key is answered with all that are known."""
    known = settings.known(" ".join(map(str, unknown[level]["error"].values())))
    assert known, "what is known is not listed"
    assert known <= settings.written(settings.POLICY if level == "policy" else settings.TOP + settings.TIERS)


@pytest.mark.slow
def test_a_command_ends_with_the_same_exit_code(coded):
    compare(coded)


@pytest.mark.slow
def test_no_recorded_file_is_left_that_nothing_makes(everything):
    gone = stale(set(everything))
    assert not gone, f"no run makes them any more: {', '.join(sorted(gone))}; delete them, or record anew: {ANEW}"
