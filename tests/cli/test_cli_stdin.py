"""stdin that nobody closes, and what else may be there; a prompt that begins with a dash.

| kind | tests |
|---|---|
| 24, stdin that stays open | `test_a_stdin_that_stays_open_...`, `test_ctrl_c_...` |
| 24, stdin that isn't there, never ends | `test_a_closed_stdin_...`, `test_a_device_without_an_end_...` |
| 24, stdin that isn't text | `test_what_is_piped_in_...` |
| 24, a prompt that begins with a dash | `test_a_prompt_that_begins_with_a_dash_...` and those below it |
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="starts programs with descriptors of their own")

TIER = '[[tier]]\nname = "small"\nkind = "scripted"\nscript = ["fine"]\n'


@contextlib.contextmanager
def started(program, *arguments, stdin):
    process = program.start(*arguments, stdin=stdin)
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "sent"),
    [(["Say hi"], b""), (["Say hi"], b"half of it"), (["--file", "-"], b"half of it")],
    ids=["a prompt and nothing", "a prompt and half", "half"],
)
def test_a_stdin_that_stays_open_is_named_after_a_second_and_given_up_at_the_deadline(program, prompt, sent):
    """What came so far is not sent: half of a prompt is another prompt."""
    record = program.home / "record.json"
    config = program.config(TIER + f"record = {json.dumps(str(record))}\n")
    arguments = ["ask", *prompt, "--config", config, "--max-seconds", "2", "--json"]
    with started(program, *arguments, stdin=subprocess.PIPE) as process:
        process.stdin.write(sent)
        process.stdin.flush()
        code = process.wait(timeout=60)
        waiting, end = process.stderr.read().decode().splitlines()
        told = json.loads(process.stdout.read())
    assert code == 3
    assert "waiting for stdin" in waiting
    assert "/dev/null" in waiting
    assert "nothing was asked" in end
    assert "--max-seconds" in end
    assert (told["status"], told["reason"], told["attempts"]) == ("unresolved", "deadline", [])
    assert not record.exists()


@pytest.mark.slow
def test_ctrl_c_ends_a_command_that_waits_for_stdin(program):
    config = program.config(TIER)
    with started(program, "ask", "Say hi", "--config", config, stdin=subprocess.PIPE) as process:
        assert b"waiting for stdin" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        said = process.stderr.read()
    assert b"Traceback" not in said
    assert b"Fatal" not in said


@pytest.mark.slow
def test_a_stdin_that_is_closed_late_is_read_whole(program):
    record = program.home / "record.json"
    config = program.config(TIER + f"record = {json.dumps(str(record))}\n")
    with started(program, "ask", "Say hi", "--config", config, stdin=subprocess.PIPE) as process:
        process.stdin.write(b"first, ")
        process.stdin.flush()
        assert b"waiting for stdin" in process.stderr.readline()
        process.stdin.write(b"second")
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    assert json.loads(record.read_text())["messages"] == [["user", "Say hi\n\nfirst, second"]]


def closed(program, prompt):
    """The command with a stdin that a shell has closed."""
    words = "'Say hi'" if prompt else ""
    line = f'exec "$0" -m rung ask {words} --config "$1" <&-'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, program.config(TIER)],
        cwd=program.work,
        env=program.env,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def nowhere(program, prompt, mode):
    """The command with a stdin that is nowhere."""
    stdin = os.open(os.devnull, mode)
    words = ["Say hi"] if prompt else []
    with started(program, "ask", *words, "--config", program.config(TIER), stdin=stdin) as process:
        os.close(stdin)
        out, err = process.communicate(timeout=60)
        return process.wait(), out, err


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(closed, marks=pytest.mark.slow),
        functools.partial(nowhere, mode=os.O_RDONLY),
        functools.partial(nowhere, mode=os.O_WRONLY),
    ],
    ids=["closed", "null", "only for writing"],
)
@pytest.mark.parametrize("prompt", [True, False], ids=["a prompt", "no prompt"])
def test_a_closed_stdin_is_nothing_to_read(program, ask, prompt):
    """`nohup` puts a descriptor there that can only be written to."""
    code, out, err = ask(program, prompt)
    assert (code, out) == ((0, b"fine\n") if prompt else (2, b"")), err
    assert b"Traceback" not in err
    assert prompt or b"the prompt is empty" in err


@pytest.mark.slow
def test_a_stdin_that_somebody_made_non_blocking_is_waited_for(program):
    read, write = os.pipe()
    os.set_blocking(read, False)
    with started(program, "ask", "--config", program.config(TIER), stdin=read) as process:
        os.close(read)
        assert b"waiting for stdin" in process.stderr.readline()
        os.write(write, b"late")
        os.close(write)
        assert process.wait(timeout=60) == 0


def test_a_device_without_an_end_is_read_to_a_bound(program):
    with open("/dev/zero", "rb") as zero, started(program, "ask", "x", stdin=zero) as process:  # noqa: PTH123
        assert process.wait(timeout=60) == 2
        assert b"stdin is larger than" in process.stderr.read()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"caf\xe9", b"stdin is not valid UTF-8: byte 3; save it as UTF-8"),
        ("text".encode("utf-16"), b"stdin is not valid UTF-8: it is UTF-16"),
        (b"a\0b", b"stdin contains a NUL (byte 1)"),
    ],
    ids=["latin-1", "UTF-16", "NUL"],
)
def test_what_is_piped_in_and_is_not_text_is_said_to_be_so(program, content, says):
    done = program("ask", "x", "--config", program.config(TIER), stdin=content)
    assert (done.returncode, done.stdout) == (2, b"")
    assert says in done.stderr


# --- a dash ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(capfd, tmp_path, monkeypatch):
    """A command in this process: its exit code and what it says."""
    from rung.cli.app import invoke
    from rung.cli.interrupt import Interrupts

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = invoke(arguments, Interrupts())
        return code, capfd.readouterr().err

    return call


@pytest.mark.parametrize(
    ("prompt", "form"),
    [
        ("-5 + 3", 'rung ask -- "-5 + 3"'),
        ("-5", 'rung ask -- "-5"'),
        ("-- what is this?", 'rung ask -- "-- what is this?"'),
        ("- a list", 'rung ask -- "- a list"'),
        ("--help me", 'rung ask -- "--help me"'),
        ("-$HOME is what?", "rung ask -- '-$HOME is what?'"),
        ("-²", 'rung ask -- "-²"'),
    ],
)
def test_a_prompt_that_begins_with_a_dash_is_told_to_stand_behind_two(command, prompt, form):
    code, said = command("ask", prompt)
    assert code == 2
    assert said.count("\n") == 1
    assert form in said


def test_a_long_prompt_that_begins_with_a_dash_is_not_repeated(command):
    code, said = command("ask", "- canary\n" * 50)
    assert code == 2
    assert 'rung ask -- "…"' in said
    assert "canary" not in said


def test_a_misspelt_option_is_still_an_option(command):
    assert "did you mean '--schema'?" in command("ask", "x", "--shema", "y")[1]
    code, said = command("ask", "x", "--frobnicate=sk-canary")
    assert code == 2
    assert "rung ask -- " in said
    assert "canary" not in said


def test_the_dashes_that_all_options_have_make_none_of_them_alike(command):
    for option in ("--model", "--yes", "--verbose"):
        code, said = command("ask", "x", option)
        assert (code, "did you mean" in said) == (2, False)
        assert "see `rung ask --help`" in said


def test_the_same_holds_of_every_command_that_takes_a_text(command):
    assert 'rung models info -- "-5"' in command("models", "info", "-5")[1]
    assert 'rung ledger show -- "-5"' in command("ledger", "show", "-5")[1]
    assert "--" not in command("config", "show", "-5")[1].replace("--help", "")


def test_behind_two_dashes_a_prompt_is_a_prompt(program):
    done = program("ask", "--config", program.config(TIER), "--", "-5 + 3")
    assert (done.returncode, done.stdout) == (0, b"fine\n")
