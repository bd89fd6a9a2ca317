"""Programs that check an answer: their time, their output, their process group and their environment are bounded.

| kind | tests |
|---|---|
| 32, a program that never ends | `test_a_program_that_ignores_...`, `test_a_program_without_a_deadline_...` |
| 32, output without an end | `test_output_without_an_end_...`, `test_of_a_long_output_...` |
| 32, children that stay | `test_what_a_program_leaves_behind_...`, `test_a_child_that_left_its_group_...` |
| 32, its caller ends first | `test_no_program_outlives_...`, `test_a_forked_child_...` |
| 32, a program that doesn't read | `test_an_answer_that_nobody_reads_...` |
| 32, what it may know | `test_a_program_has_no_keys_...` |
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from rung import programs
from rung.checks import command
from rung.errors import ConfigError
from rung.limits import Cancel, Deadline
from rung.types import CheckContext, Message, Request

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="runs programs of POSIX")

WIDE = 20.0
"""Seconds that anything here may take on a busy machine; what hangs takes longer."""


@pytest.fixture(autouse=True)
def in_time():
    began = time.monotonic()
    yield
    assert time.monotonic() - began < WIDE


def run(*argv, text=b"", seconds=WIDE / 2, cancel=None, **more):
    return programs.run(argv, text, deadline=Deadline.after(seconds), cancel=cancel or Cancel(), **more)


def shell(script, **more):
    return run("sh", "-c", script, **more)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(condition):
    end = time.monotonic() + WIDE / 2
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def judged(line, answer="answer", deadline=None, **more):
    context = CheckContext(Request((Message("user", "x"),)), "small", answer, deadline=Deadline.after(deadline))
    return [issue.message for issue in command(line, **more)(answer, context)]


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks processes up in /proc")  # noqa: PTH112


def test_a_program_is_heard_on_both_outputs_and_by_its_exit_code():
    ended = shell("cat; echo e >&2; exit 3", text="é".encode())
    assert (ended.how, ended.code, ended.output, ended.errors) == ("exited", 3, "é", "e\n")


def test_a_program_that_finds_fault_on_stdout_is_heard_too():
    assert judged(["sh", "-c", "cat >/dev/null; echo F401 line 1; exit 1"]) == ["F401 line 1"]
    assert judged(["sh", "-c", "echo out; echo err >&2; exit 1"]) == ["err\nout"]
    assert judged(["sh", "-c", "echo out; echo err >&2"]) == []


@pytest.mark.slow
@pytest.mark.parametrize("to", ["", ">&2"], ids=["stdout", "stderr"])
def test_output_without_an_end_stops_the_program_and_fills_no_memory(to):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended = shell(f"yes a line of some length {to}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert ended.how == "flood"
    assert len(ended.output) + len(ended.errors) < 100_000
    assert grown < 100_000, "KiB"
    assert "without an end" in judged(["sh", "-c", f"yes {to}"])[0]


def test_of_a_long_output_the_beginning_and_the_end_are_kept_and_the_cut_is_said():
    ended = run(sys.executable, "-c", "print('first'); print('x' * 1_000_000); print('last')")
    assert ended.output.startswith("first\n")
    assert ended.output.endswith("last\n")
    assert "bytes left out" in ended.output
    assert len(ended.output) < 50_000
    said = judged([sys.executable, "-c", "import sys; sys.exit('first' + 'x' * 10_000 + 'last')"])[0]
    assert said.startswith("first")
    assert said.endswith("last")
    assert "cut short" in said
    assert len(said) <= 2000


@pytest.mark.slow
def test_an_answer_that_nobody_reads_holds_nothing_up():
    text = b"x" * 5_000_000
    assert run("true", text=text).code == 0
    assert run("sh", "-c", "exec <&-; exit 4", text=text).code == 4
    assert run("sleep", "60", text=text, seconds=0.3).how == "timeout"


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("ends", ["deadline", "cancel"])
def test_a_program_that_ignores_every_polite_word_is_stopped_with_its_children(tmp_path, ends):
    script = f"trap '' TERM INT HUP; sleep 60 & echo $! > {tmp_path}/child; while :; do sleep 1; done"
    cancel = Cancel()
    if ends == "cancel":
        threading.Timer(0.5, cancel.set).start()
    ended = shell(script, seconds=1 if ends == "deadline" else WIDE / 2, cancel=cancel)
    assert ended.how == ("timeout" if ends == "deadline" else "cancelled")
    until(lambda: not alive(int((tmp_path / "child").read_text())))


@needs_proc
@pytest.mark.parametrize("trap", ["", "trap '' TERM;"], ids=["polite", "stubborn"])
def test_what_a_program_leaves_behind_is_not_waited_for_and_not_left(tmp_path, trap):
    """It holds the outputs open, as a server that a test starts does."""
    ended = shell(f"(({trap} sleep 60) & echo $! > {tmp_path}/child); echo said; exit 0")
    assert (ended.how, ended.code, ended.output) == ("exited", 0, "said\n")
    until(lambda: not alive(int((tmp_path / "child").read_text())))


@pytest.mark.slow
@needs_proc
def test_a_child_that_left_its_group_is_not_waited_for():
    code = "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(5); os._exit(0)\nprint('said', flush=True)"
    ended = run(sys.executable, "-c", code)
    assert (ended.how, ended.code, ended.output) == ("exited", 0, "said\n")


ENDING = """
import os, subprocess, sys, threading, time
from rung import programs
from rung.limits import Cancel, Deadline

def check():
    programs.run(["sh", "-c", "echo $$ > " + sys.argv[1] + "; sleep 60"], b"", deadline=Deadline(), cancel=Cancel())

threading.Thread(target=check, daemon=True).start()
while not (os.path.exists(sys.argv[1]) and os.path.getsize(sys.argv[1])):
    time.sleep(0.01)
{end}
"""


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("end", ["", "programs.stop_all(); os._exit(0)", "0 / 0"])
def test_no_program_outlives_a_process_whose_thread_dies_waiting_for_it(tmp_path, end):
    told = tmp_path / "pid"
    subprocess.run([sys.executable, "-c", ENDING.format(end=end), told], check=False, stderr=subprocess.DEVNULL)
    assert not alive(int(told.read_text()))


@pytest.mark.slow
@needs_proc
def test_a_forked_child_that_ends_stops_no_program_of_its_parent(tmp_path):
    end = "if not (child := os.fork()): sys.exit()\nos.waitpid(child, 0); os._exit(0)"
    told = tmp_path / "pid"
    subprocess.run([sys.executable, "-c", ENDING.format(end=end), told], check=True)
    pid = int(told.read_text())
    assert alive(pid)
    os.killpg(pid, signal.SIGKILL)


@pytest.mark.slow
@needs_proc
def test_no_zombie_and_no_descriptor_stays():
    def mine():
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    shell("exit 0")
    before = mine()
    for _ in range(20):
        shell("echo x; sleep 60 & exit 1")
    until(lambda: mine() <= before)
    assert not [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_a_program_without_a_deadline_has_a_limit_of_its_own():
    assert judged(["sleep", "60"], seconds=0.3) == ["sleep did not finish within 0.3 s"]
    assert judged(["sleep", "60"], deadline=0.3)[0].startswith("sleep did not finish within 0.")


def test_a_program_has_no_keys_unless_it_is_given_them(monkeypatch):
    """It may run what a model wrote."""
    secret = [
        "OPENAI_API_KEY",
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "DB_PASSWORD",
        "api_key",
        "KEY_2",
    ]
    plain = [
        "PATH",
        "HOME",
        "LANG",
        "PYTHONPATH",
        "MONKEY",
        "KEYBOARD",
        "TOKENIZERS_PARALLELISM",
        "PWD",
        "SSH_AUTH_SOCK",
    ]
    for name in [*secret, *plain[1:]]:
        monkeypatch.setenv(name, "canary")
    told = shell("env").output
    seen = {line.partition("=")[0] for line in told.splitlines()}
    assert not seen & set(secret)
    assert set(plain) <= seen
    assert "GIVEN_TOKEN=x" in shell("env", environment={"GIVEN_TOKEN": "x"}).output
    print_it = ["sh", "-c", 'echo "$A_TOKEN" >&2; exit 1']
    assert judged(print_it, environment={"A_TOKEN": "given"}) == ["given"]


def test_a_file_that_is_no_program_and_an_answer_that_is_no_text_are_sentences(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF nothing")
    path.chmod(0o755)
    with pytest.raises(ConfigError, match="can't be started"):
        judged([str(path)])
    assert "surrogate" in judged(["true"], answer="\ud800")[0]
    with pytest.raises(ConfigError, match="NUL"):
        command(["true", "a\0b"])
