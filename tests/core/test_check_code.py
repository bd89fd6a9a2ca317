"""A check of code gets the code, and the model is told what the check said: with the real programs that people use."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from helpers.each import each
from rung import Ladder
from rung.checks import command
from rung.testing import ScriptedTier

UNUSED = "Here it is:\n\n```python\nimport os\n\n\ndef one() -> int:\n    return 1\n```\n\nIt returns 1."
FINE = UNUSED.replace("import os\n\n\n", "")
BROKEN = FINE.replace("-> int", "-> str")


def tool(name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"needs {name}")
    return f"{sys.executable} -m {name}"


def ask(*answers, check):
    tier = ScriptedTier("small", *answers)
    return Ladder(tier).run("Write a function that returns 1.", validators=[check]), tier


@pytest.mark.parametrize("line", ["check -", "check --isolated --select F -", "check --isolated {file.py}"])
def test_ruff_is_told_of_in_its_own_words_and_the_mended_block_is_accepted(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome, tier = ask(UNUSED, FINE, check=command(f"{tool('ruff')} {line}"))
    assert [str(a.verdict) for a in outcome.attempts] == ["repair", "accept"]
    said = str(outcome.attempts[0].issues[0])
    assert "F401" in said
    assert "1:8" in said
    assert "F401" in tier.calls[1].messages[-1].text
    assert outcome.value == FINE


@pytest.mark.slow
def test_mypy_gets_a_file_and_says_which_line_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check = command(f"{tool('mypy')} --strict --no-incremental --cache-dir {tmp_path} {{file.py}}", seconds=120)
    outcome, _ = ask(BROKEN, FINE, check=check)
    assert "2: error: Incompatible return value" in str(outcome.attempts[0].issues[0])
    assert outcome.value == FINE


@pytest.mark.slow
def test_pytest_runs_the_tests_that_a_model_wrote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = "```python\ndef test_one():\n    assert 1 + 1 == 3\n```"
    check = command(f"{tool('pytest')} -q -p no:cacheprovider {{file.py}}", seconds=120)
    outcome, _ = ask(wrong, wrong.replace("3", "2"), check=check)
    assert "assert (1 + 1) == 3" in str(outcome.attempts[0].issues[0])
    assert outcome.accepted


@pytest.mark.skipif(sys.platform == "win32", reason="runs a shell script")
def test_a_shell_script_checks_and_explains(tmp_path):
    script = tmp_path / "check.sh"
    script.write_text("grep -q 'def one' || { echo 'there is no function called one' >&2; exit 1; }\n")
    outcome, _ = ask("```python\ndef two(): ...\n```", FINE, check=command(f"sh {script}"))
    assert str(outcome.attempts[0].issues[0]) == "there is no function called one"
    assert outcome.accepted


GIVEN = {
    "no block": ("import os\n", "import os"),
    "one block": (UNUSED, "import os\n\n\ndef one() -> int:\n    return 1\n"),
    "one block that is never closed": ("```py\nx = 1\n", "x = 1"),
    "tildes": ("~~~\nx = 1\n~~~", "x = 1\n"),
    "a longer fence around a shorter": ("````md\n```\nx\n```\n````", "```\nx\n```\n"),
    "two blocks": ("```\na\n```\n```\nb\n```", "```\na\n```\n```\nb\n```"),
    "Windows lines": ("```python\r\nx = 1\r\n```\r\n", "x = 1\r\n"),
    "indented in a list": ("1. So:\n   ```python\n   x = 1\n   ```", "   x = 1\n"),
    "backticks in a line": ("Use ```x``` here.", "Use ```x``` here."),
}


@pytest.mark.slow
@each("kind", GIVEN)
def test_the_only_fenced_block_is_the_code_and_otherwise_all_of_the_text(kind):
    text, given = GIVEN[kind]
    code = "import sys; data = sys.stdin.buffer.read().decode(); sys.exit(0 if data == sys.argv[1] else repr(data))"
    outcome, _ = ask(text, check=command([sys.executable, "-c", code, given]))
    assert outcome.accepted, outcome.attempts[0].issues


def test_the_file_has_its_suffix_and_is_gone_afterwards(tmp_path):
    seen = tmp_path / "seen"
    code = (
        f"import pathlib, sys; pathlib.Path({str(seen)!r}).write_text(sys.argv[1] + chr(10) + open(sys.argv[1]).read())"
    )
    assert ask(FINE, check=command([sys.executable, "-c", code, "{file.py}"]))[0].accepted
    path, text = seen.read_text().split("\n", 1)
    assert path.endswith(".py")
    assert text == "def one() -> int:\n    return 1\n"
    assert not type(seen)(path).parent.exists()
