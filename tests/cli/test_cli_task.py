"""`rung task`, and `rung ask` of a task."""

from __future__ import annotations

import json

import pytest

from rung.cli import inputs
from rung.cli.output import Output
from rung.cli.reading import Patience
from rung.errors import ConfigError
from rung.learn.making import make_task
from rung.limits import Cancel

ONE = """
[[tier]]
name = "small"
kind = "scripted"
script = {script}
"""


@pytest.fixture
def mood(program):
    """A task beside a configuration whose only tier says yes; the option that names it."""
    make_task(program.home / "tasks" / "mood", {"prompt": "As a {tone} person: {text}", "choices": ["yes", "no"]})
    return "--config", program.config(ONE.format(script='["yes"]'))


def test_a_task_is_made_listed_and_shown(program):
    config = ("--config", program.config(ONE.format(script='["yes"]')))
    made = program("task", "new", "mood", "--prompt", "As a {tone} person: {text}", "--choices", "yes,no", *config)
    assert made.stdout.decode() == f"made {program.home / 'tasks' / 'mood'}\n"
    assert b"rung ask --task mood --field tone=\xe2\x80\xa6 --file FILE" in made.stderr
    listed = program("task", "list", *config)
    assert [line.split() for line in listed.stdout.decode().splitlines()] == [
        ["task", "answer", "fields", "calibrated", "about"],
        ["mood", "choices", "tone,", "text", "no"],
    ]
    (task,) = json.loads(program("task", "list", "--json", *config).stdout)["tasks"]
    assert (task["name"], task["fields"], task["learned"], task["void"]) == ("mood", ["tone", "text"], {}, {})
    again = program("task", "new", "mood", *config)
    assert (again.returncode, again.stdout) == (2, b"")
    assert b"is there already" in again.stderr


@pytest.mark.parametrize("name", ["../up", "a/b", "/tmp/x", ".hidden", "a b", ""])
def test_a_name_that_could_lead_out_of_the_folder_is_refused_and_nothing_is_made(program, name):
    before = sorted(program.home.parent.rglob("*"))
    done = program("task", "new", name, "--prompt", "x")
    assert done.returncode == 2
    assert b"can't be called" in done.stderr
    assert sorted(program.home.parent.rglob("*")) == before


def test_data_is_looked_through_before_anything_is_asked(program, mood):
    (program.work / "d.csv").write_text("tone,text,expected\nkind,a,yes\nkind,b\nkind,c,yes\n")
    done = program("task", "show", "mood", "--data", "d.csv", *mood)
    assert done.stderr.decode().splitlines() == [
        "line 3: it has 2 cells, but the head has 3",
        "2 rows can be used, 2 of them with the right answer; 1 are bad",
        "2 groups: 1 to fit, 1 to certify",
        "fewer than 150 rows: nothing is fitted, and all of them certify",
        "every right answer is the same, so these rows can't show which answers are wrong",
    ]
    seen = json.loads(program("task", "show", "mood", "--data", "d.csv", "--json", *mood).stdout)["data"]
    assert (seen["rows"], seen["bad"]) == (2, [{"line": 3, "reason": "it has 2 cells, but the head has 3"}])


def test_the_fields_come_from_options_and_stdin(program, mood):
    done = program("ask", "--task", "mood", "--field", "tone=kind", *mood, "--json", stdin=b"Hello.")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["value"], said["checked_by"]) == ("yes", ["schema"])
    assert b"label" not in done.stderr


@pytest.fixture
def patience():
    return Patience(None, Output(json=False), Cancel())


def test_what_the_prompt_would_be_is_the_field_that_is_left(tmp_path, patience):
    (tmp_path / "mail.txt").write_text("Hello.")
    mail, names = str(tmp_path / "mail.txt"), ("tone", "text")
    assert inputs.fields(["tone=a=b"], [f"text={mail}"], patience) == {"tone": "a=b", "text": "Hello."}
    both = {"tone": "kind", "text": "Hello."}
    assert inputs.asked("Hello.", (mail,), {"tone": "kind"}, names, patience)["text"] == "Hello.\n\nHello."
    assert inputs.asked(None, (mail,), {"tone": "kind"}, names, patience) == both
    assert inputs.asked("kind", (mail,), {"text": "Hello."}, names, patience)["tone"] == "kind\n\nHello."
    assert inputs.asked(None, (), both, names, patience) == both
    assert inputs.asked("Hello.", (mail,), {}, None, patience) == "Hello.\n\nHello."


@pytest.mark.parametrize(
    ("argument", "fields", "says"),
    [
        ("Hello.", (), "the task's template needs 2 more fields: tone, text; give all but one with --field"),
        ("Hello.", ("tune=kind",), "the task's template has no field 'tune'; did you mean 'tone'?"),
        ("Hello.", ("tone=a", "text=b"), "every field of the task has a text already"),
        (None, ("tone=a", "tone=b"), "the field 'tone' is given twice"),
        (None, ("tone",), "--field needs a name and an equals sign; write --field NAME=TEXT"),
        (None, ("two words=a",), "--field needs a name and an equals sign"),
    ],
)
def test_fields_that_do_not_fit_are_sentences(patience, argument, fields, says):
    with pytest.raises(ConfigError) as error:
        inputs.asked(argument, (), inputs.fields(fields, (), patience), ("tone", "text"), patience)
    assert says in str(error.value)


def test_a_name_without_a_folder_stays_a_label_and_says_so(program, mood):
    done = program("ask", "Hello.", "--task", "moot", *mood)
    assert (done.returncode, done.stdout) == (0, b"yes\n")
    note = "note: there is no task 'moot', so the name is only the ledger's label; see `rung task list`"
    assert done.stderr.decode().splitlines().count(note) == 1
    field = program("ask", "Hello.", "--task", "moot", "--field", "a=b", *mood)
    assert b"--field needs --task with a task that has a template" in field.stderr


def test_a_task_that_is_wrong_is_told_beside_the_others(program, mood):
    other = program.home / "tasks" / "other"
    other.mkdir()
    (other / "task.toml").write_text('promt = "a"\n')
    listed = program("task", "list", *mood)
    assert b"mood" in listed.stdout
    assert b"unknown key 'promt'; did you mean 'prompt'?" in listed.stderr
    assert program("ask", "a", "--task", "other", *mood).returncode == 2


def test_a_strangers_module_is_run_only_after_trust(program):
    (program.work / "rung.toml").write_text('reach = "host"\n')
    made = program("task", "new", "mine", "--type", "mine_module:Answer", "--check", "json")
    assert made.returncode == 0, made.stderr
    folder = program.work / "tasks" / "mine"
    (folder / "mine_module.py").write_text("print('HAS RUN')\nclass Answer(int): pass\n")
    shown = program("task", "show", "mine")
    assert b"trusted: no" in shown.stdout
    assert b"HAS RUN" not in shown.stdout
    trusted = program("config", "trust", str(folder / "task.toml"))
    assert b"it may now run mine_module:Answer" in trusted.stderr
    assert b"trusted: yes" in program("task", "show", "mine").stdout
