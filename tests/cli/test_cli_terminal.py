"""`rung` on a real terminal: a pseudo-terminal with the program at its other end."""

from __future__ import annotations

import os
import sys

import pytest

from helpers.terminal import Session

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals of this kind")

CLOUD = """
reach = "internet"

[[tier]]
name = "small"
kind = "scripted"
script = ["wrong", "wrong"]

[[tier]]
name = "cloud"
kind = "scripted"
zone = "internet"
price = 2.0
repairs = 1
destination = "api.example.com:443"
stays_here = false
script = ["bad", "good"]
"""
CHECK = "def check(value):\n    return value == 'good'\n"


@pytest.fixture
def cloud(program):
    (program.work / "mine.py").write_text(CHECK)
    return ["ask", "Who?", "--check", "mine:check", "--config", program.config(CLOUD)]


@pytest.mark.slow
def test_a_person_is_asked_before_a_prompt_leaves_and_told_what_goes_where(program, cloud):
    session = Session(program, *cloud)
    session.until(b"[a]lways in this session: ")
    for word in (b"'cloud'", b"api.example.com:443", b"characters", b"at most $", b"small: check"):
        assert word in session.screen
    assert session.shown(b"Tried:").startswith("Tried:")
    session.type(b"y\n")
    session.until(b"[a]lways in this session: ")  # the repair is another hop
    session.type(b"y\n")
    assert session.end() == 0
    assert session.screen.splitlines()[-1].endswith(b"good")


@pytest.mark.slow
def test_always_holds_for_the_session(program, cloud):
    session = Session(program, *cloud)
    session.until(b"session: ")
    session.type(b"always\n")
    assert session.end() == 0
    assert session.screen.count(b"Send it?") == 1


@pytest.mark.parametrize("answer", [b"n\n", b"\x04", b"what\nwhat\nwhat\n"], ids=["no", "end of input", "nonsense"])
def test_anything_but_a_yes_is_a_no(program, cloud, answer):
    session = Session(program, *cloud)
    session.until(b"session: ")
    session.type(answer)
    assert session.end() == 3
    assert b"said no" in session.screen


def test_a_person_is_asked_even_when_the_prompt_is_piped_in(program, cloud):
    read, write = os.pipe()
    os.write(write, b"the material")
    os.close(write)
    session = Session(program, *cloud, stdin=read)
    os.close(read)
    session.until(b"session: ")
    session.type(b"a\n")
    assert session.end() == 0


def test_ctrl_c_at_the_question_ends_the_command(program, cloud):
    session = Session(program, *cloud)
    session.until(b"session: ")
    session.type(b"\x03")
    assert session.end() == 130
    assert b"interrupted" in session.screen
    assert b"Traceback" not in session.screen


def test_control_sequences_in_an_answer_never_reach_a_terminal(program):
    script = '[[tier]]\nname = "small"\nkind = "scripted"\nscript = ["a\\u001b]0;title\\u0007\\u009b31m\\rb\\tc\\nd"]\n'
    session = Session(program, "ask", "Who?", "--no-drafts", "--config", program.config(script))
    assert session.end() == 0
    assert b"a\\x1b]0;title\\x07\\x9b31m\\x0db\tc\r\nd" in session.screen
    assert b"\x1b" not in session.screen
    assert b"\xc2\x9b" not in session.screen


def test_control_sequences_in_a_trace_or_a_name_never_reach_a_terminal(program):
    script = '[[tier]]\nname = "sm\\u001b[31mall"\nkind = "scripted"\nscript = ["\\u001b[31mred", "\\u001b[31mred"]\n'
    (program.work / "mine.py").write_text("def check(value):\n    raise ValueError(value)\n")
    config = program.config(script)
    session = Session(program, "ask", "Who?", "--no-drafts", "--trace", "--check", "mine:check", "--config", config)
    assert session.end() == 3
    assert b"\\x1b[31mred" in session.screen
    assert b"\x1b" not in session.screen


@pytest.mark.slow
def test_progress_says_which_tier_is_at_work_and_is_gone_afterwards(program):
    script = '[[tier]]\nname = "small"\nkind = "scripted"\nscript = ["fine"]\nseconds = 0.3\n'
    session = Session(program, "ask", "Who?", "--no-drafts", "--config", program.config(script))
    assert session.end() == 0
    assert b"small is answering" in session.screen
    assert session.shown(b"small is answering") == "fine"


@pytest.mark.slow
def test_a_structured_answer_is_laid_out_for_a_reader(program):
    (program.work / "s.json").write_text('{"type": "object"}')
    script = '[[tier]]\nname = "small"\nkind = "scripted"\nscript = ["{\\"a\\": 1}"]\n'
    session = Session(program, "ask", "Who?", "--schema", "s.json", "--config", program.config(script))
    assert session.end() == 0
    assert b'{\r\n  "a": 1\r\n}' in session.screen


def test_without_a_prompt_a_terminal_is_not_waited_for(program):
    session = Session(program, "ask")
    assert session.end() == 2
    assert b"the prompt is empty" in session.screen
