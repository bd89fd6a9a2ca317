"""A task: its folder, what was learnt, and when that is void."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import rung
from rung import ConfigError, ContractError, Ladder, Message, Rung, Zone
from rung.config import Places, load, trust_file
from rung.engine.standing import learnt
from rung.learn.grading import _CHECKS, grade
from rung.learn.learned import Evidence, Learned, LearnedTier, read_learned
from rung.learn.making import make_task
from rung.learn.tasks import TaskTable, open_task
from rung.testing import Reply, ScriptedTier
from rung.types import Conditions, Sampling

SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
PROMPT = "Extract the invoice.\n\n{text}"
WEIGHTS = "a" * 64


@pytest.fixture
def folder(tmp_path):
    return make_task(tmp_path / "tasks" / "invoice", {"prompt": PROMPT}, schema=SCHEMA).path


def opened(folder, **changes):
    if changes:
        lines = [
            line for line in (folder / "task.toml").read_text().splitlines() if line.split(" = ")[0] not in changes
        ]
        lines += [f"{key} = {value}" for key, value in changes.items() if value is not None]
        (folder / "task.toml").write_text("\n".join(lines))
    return open_task(folder, trusted=True)


class Pinned(ScriptedTier):
    def __init__(self, name, *script, weights=WEIGHTS, **more):
        super().__init__(name, *script, **more)
        self.weights = weights


def conditions(task, **changes):
    now = Conditions(
        tier="small",
        weights=WEIGHTS,
        others={"mid": "b" * 64},
        prompt=task.template.sha256,
        contract=task.contract().sha256,
        sampling=Sampling(),
        max_tokens=None,
        repairs=1,
        feedback="issues",
        behaviour={"thinking": "off"},
        setup={"build": "1", "batch": "8"},
    )
    return replace(now, **changes)


def calibrated(folder, **more):
    """The task with a threshold for its small tier."""
    task = open_task(folder, trusted=True)
    evidence = Evidence.of(conditions(task), against="mid", data="d" * 64, rows=300, date="2026-11-26", rung="0.1.0")
    tier = LearnedTier(above=-0.5, weights={"mean": 1.0}, curve=((-1.0, 0.5), (0.0, 0.9)), evidence=evidence, **more)
    Learned(tiers={"small": tier}).write(folder)
    return open_task(folder, trusted=True)


def ladder(task, *tiers, **more):
    return Ladder(*tiers, tasks={task.name: task.task()}.get, **more)


# -- the folder


def test_a_new_task_is_read_back_with_the_check_that_fits_its_contract(tmp_path, folder):
    task = opened(folder)
    assert (task.name, task.kind, task.table.check, task.template.fields) == ("invoice", "schema", "json", ("text",))
    assert task.output() == SCHEMA
    assert grade(task.grader(), {"total": 5}, {"total": 5.0}).right
    assert task.same()({"total": 5}, {"total": 5.0})
    mood = make_task(tmp_path / "mood", {"prompt": "{a} {b}", "choices": ["yes", "no"]})
    assert (mood.kind, mood.table.check, mood.output()) == ("choices", "choice", ["yes", "no"])
    plain = make_task(tmp_path / "plain", {"prompt": 'Say "{text}"\\ \x7f {{}}\n'})
    assert (plain.kind, plain.grader(), plain.same()) == ("text", None, None)
    assert plain.template.fill({"text": "hi"})[0].text == 'Say "hi"\\ \x7f {}\n'
    with pytest.raises(ConfigError, match="is there already"):
        make_task(folder, {"prompt": PROMPT})
    with pytest.raises(ConfigError, match="a task can't be called"):
        make_task(tmp_path / "my task", {"prompt": PROMPT})
    with pytest.raises(ConfigError, match="is not a template"):
        make_task(tmp_path / "bad", {"prompt": "{"})
    assert not (tmp_path / "bad" / "task.toml").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"promt": '"a"'}, "unknown key 'promt'; did you mean 'prompt'?"),
        ({"shema": '"a"'}, "unknown key 'shema'; did you mean 'schema'?"),
        ({"choices": '["a"]'}, "schema and choices can't go together"),
        ({"prompt": '"{text"'}, "the prompt is not a template"),
        ({"prompt": None, "system": '"a"'}, "system needs a prompt beside it"),
        ({"check": '"exakt"'}, "check: there is no check 'exakt'; did you mean 'exact'?"),
        ({"check": "5"}, "'check'"),
        ({"same": '{ name = "json", hw = 1 }'}, "same: unknown key 'hw'; did you mean 'how'?"),
        ({"schema": None, "type": '"Invoice"'}, "type: 'Invoice' names nothing; write module:name"),
        ({"schema": '"../../secret.json"'}, "is outside the task's folder"),
        ({"on_void": '"never"'}, "'on_void'"),
        ({"max_tokens": "0"}, "'max_tokens'"),
    ],
)
def test_what_is_wrong_with_a_task_is_a_sentence_that_names_the_nearest(folder, changes, says):
    with pytest.raises(ConfigError) as error:
        opened(folder, **changes)
    assert says in str(error.value)
    assert "task.toml" in str(error.value)


def test_a_schema_that_is_missing_or_none_is_named_when_it_is_used(folder):
    task = opened(folder)
    (folder / "schema.json").write_text('{"type": "objekt"}')
    with pytest.raises(ContractError, match="not a JSON Schema"):
        task.task()
    (folder / "schema.json").unlink()
    with pytest.raises(ContractError, match=r"the schema .* can't be read"):
        task.task()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not valid JSON"),
        ("[]", "has the version none, and this rung reads version 1"),
        ('{"version": 2}', "has the version 2, and this rung reads version 1"),
        ('{"version": 1, "tier": {}}', "unknown key 'tier'; did you mean 'tiers'?"),
        ('{"version": 1, "tiers": {"small": {"above": 1}}}', "is missing"),
    ],
)
def test_a_damaged_record_of_what_was_learnt_is_a_sentence(folder, content, says):
    (folder / "learned.json").write_text(content)
    with pytest.raises(ConfigError) as error:
        open_task(folder, trusted=True)
    assert says in str(error.value)


def test_what_was_learnt_is_written_whole_and_read_back(folder):
    task = calibrated(folder, says="On prompts drawn like these 300, at most 3 in 100 differ.")
    assert read_learned(folder) == task.learned
    threshold = task.learned.tiers["small"].threshold
    assert (threshold.above, threshold.weights, threshold.origin) == (
        -0.5,
        {"mean": 1.0},
        "calibrated 2026-11-26 on 300 rows",
    )
    assert sorted(path.name for path in folder.iterdir()) == ["learned.json", "schema.json", "task.toml"]


# -- when it is void


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"weights": "c" * 64}, "the weights"),
        ({"others": {"mid": "c" * 64}}, "the weights of tier 'mid'"),
        ({"prompt": "c" * 64}, "the prompt"),
        ({"contract": "c" * 64}, "the contract"),
        ({"sampling": Sampling(0.7)}, "the sampling"),
        ({"sampling": Sampling(stop=("\n",))}, "the sampling"),
        ({"max_tokens": 50}, "the cap on the answer"),
        ({"repairs": 0}, "the number of repairs"),
        ({"feedback": "none"}, "the feedback"),
        ({"behaviour": {"thinking": "on"}}, "the tier's thinking"),
    ],
)
def test_what_was_learnt_is_void_on_a_change_that_matters_and_names_it(folder, change, what):
    task = calibrated(folder)
    assert task.learned.standing(conditions(task)).threshold is not None
    found = task.learned.standing(conditions(task, **change))
    assert (found.threshold, found.void) == (None, (what,))


def test_another_build_is_a_note_that_asks_for_a_check_and_a_seed_is_nothing(folder):
    task = calibrated(folder)
    found = task.learned.standing(conditions(task, setup={"build": "2", "batch": "8"}, sampling=Sampling(seed=7)))
    assert found.threshold is not None
    assert found.notes == (
        "build was 1 when the task was calibrated, and is now 2: `rung calibrate --check` on fresh rows tells whether "
        "that matters",
    )
    unknown = task.learned.standing(conditions(task, weights=None, others={}, setup={}))
    assert (unknown.void, unknown.notes) == ((), ())
    assert task.learned.standing(conditions(task, tier="other")).threshold is None


def test_a_changed_prompt_or_schema_shows_in_the_folder_itself(folder):
    assert calibrated(folder).void() == {}
    assert opened(folder, prompt='"Now: {text}"').void() == {"small": ("the prompt",)}
    (folder / "schema.json").write_text(json.dumps({**SCHEMA, "required": []}))
    assert opened(folder).void() == {"small": ("the prompt", "the contract")}


# -- in use


def test_a_request_of_a_task_has_its_template_and_its_contract(folder):
    tier = ScriptedTier("small", *['{"total": 5}'] * 3)
    steps = ladder(opened(folder, max_tokens="700"), tier)
    assert steps.run("Total 5", task="invoice").value == {"total": 5}
    assert steps.run({"text": "Total 5"}, task="invoice").accepted
    assert [call.messages[-1].text for call in tier.calls] == ["Extract the invoice.\n\nTotal 5"] * 2
    assert tier.calls[0].max_tokens == 700
    assert tier.calls[0].shape.schema["properties"] == SCHEMA["properties"]
    steps.run([Message("user", "As it is.")], task="invoice")
    assert tier.calls[2].messages[-1].text == "As it is."


def test_fields_that_do_not_fit_are_sentences(folder):
    steps = ladder(opened(folder, prompt='"{a} and {b}"'), ScriptedTier("small", "x"))
    with pytest.raises(ConfigError, match="has a template with several fields: a, b"):
        steps.run("Total 5", task="invoice")
    with pytest.raises(ConfigError, match="the template's field 'b' is missing"):
        steps.run({"a": "1"}, task="invoice")
    with pytest.raises(ConfigError, match="the template has no field 'c'"):
        steps.run({"a": "1", "b": "2", "c": "3"}, task="invoice")
    with pytest.raises(ConfigError, match="a prompt of fields needs a task"):
        steps.run({"a": "1"})
    with pytest.raises(ConfigError, match="the field 'a' has to be text"):
        steps.run({"a": 1, "b": "2"}, task="invoice")


def test_a_typed_function_of_a_task_needs_no_type(folder):
    tier = ScriptedTier("small", '{"total": 5}', '{"total": 6}')
    steps = ladder(opened(folder), tier)

    @steps.typed(task="invoice")
    def read_invoice(text: str) -> str:
        return text.strip()

    @steps.typed(task="invoice")
    def read_fields(text: str) -> dict[str, str]:
        return {"text": text}

    assert read_invoice(" Total 5 ") == {"total": 5}
    assert read_fields("Total 6") == {"total": 6}
    assert tier.calls[0].messages[-1].text == "Extract the invoice.\n\nTotal 5"


def test_a_name_without_a_folder_is_a_label_and_that_is_said_once(folder):
    tier = ScriptedTier("small", *["x"] * 4)
    steps = ladder(opened(folder), tier)
    first, second = steps.run("Well?", task="other"), steps.run("Well?", task="other")
    assert first.notes == ("there is no task 'other', so the name is only the ledger's label; see `rung task list`",)
    assert second.notes == ()
    assert tier.calls[0].messages[-1].text == "Well?"
    assert Ladder(tier).run("Well?", task="other").notes == ()


def plan_of(steps, **settings):
    return steps.plan("Total 5", None, {"task": "invoice", **settings})


def test_what_was_learnt_holds_for_a_request_as_it_was_calibrated(folder):
    small, mid = Pinned("small"), Pinned("mid", weights="b" * 64)
    steps = ladder(calibrated(folder), small, mid)
    found = learnt(plan_of(steps), steps.rungs[0])
    assert (found.threshold.above, found.notes) == (-0.5, ())
    assert learnt(plan_of(steps), steps.rungs[1]).threshold is None


@pytest.mark.parametrize(
    ("settings", "rung", "what"),
    [
        ({"temperature": 0.5}, {}, "the sampling"),
        ({"max_tokens": 9}, {}, "the cap on the answer"),
        ({"system": "Be brief."}, {}, "the prompt"),
        ({}, {"repairs": 0}, "the number of repairs"),
        ({}, {"feedback": "none"}, "the feedback"),
        ({"validators": [bool]}, {}, "the contract"),
    ],
)
def test_a_void_task_sends_up_and_the_attempt_says_so(folder, settings, rung, what):
    small, mid = Rung(Pinned("small"), **rung), Pinned("mid", weights="b" * 64)
    steps = ladder(calibrated(folder), small, mid)
    found = learnt(plan_of(steps, **settings), small)
    assert found.threshold.above == math.inf
    assert found.threshold.origin == f"not calibrated: {what} changed since"
    assert found.notes == (
        f"what was learnt about this tier for the task 'invoice' is void: {what} changed since; "
        "run `rung calibrate` anew",
    )


def test_other_weights_void_it_from_the_answer_on_that_they_give(folder):
    small = Pinned("small", weights=None)
    steps = ladder(calibrated(folder), small, Pinned("mid", weights=None))
    plan = plan_of(steps)
    assert learnt(plan, steps.rungs[0]).threshold.above == -0.5
    small.weights = "c" * 64
    assert learnt(plan, steps.rungs[0]).threshold.above == math.inf


def test_a_void_tier_that_nothing_follows_is_flagged(folder):
    answer = Reply('{"total": 5}', logprob=-0.1)
    for more in ((), (Pinned("cloud", zone=Zone.INTERNET),)):
        outcome = ladder(calibrated(folder), Pinned("small", answer, weights="c" * 64), *more).run(
            "Total 5", task="invoice"
        )
        assert outcome.accepted
        (note,) = (note for note in outcome.attempts[0].notes if "void" in note)
        assert note.endswith(
            "is void: the weights changed since; run `rung calibrate` anew. Nobody knows how sure this answer is"
        )


def test_a_void_task_may_accept(folder):
    task = opened(calibrated(folder).path, on_void='"accept"')
    steps = ladder(task, Pinned("small", '{"total": 5}', weights="c" * 64), Pinned("mid", weights="b" * 64))
    outcome = steps.run("Total 5", task="invoice")
    assert outcome.tier == "small"
    assert any("is void: the weights changed since" in note for note in outcome.attempts[0].notes)


def test_what_was_learnt_decides_what_is_accepted(folder):
    sure, unsure = (Reply('{"total": 5}', logprob=logprob) for logprob in (-0.1, -0.9))
    for weights, first, tier in ((WEIGHTS, sure, "small"), (WEIGHTS, unsure, "mid"), ("c" * 64, sure, "mid")):
        steps = ladder(
            calibrated(folder), Pinned("small", first, weights=weights), Pinned("mid", sure, weights="b" * 64)
        )
        outcome = steps.run("Total 5", task="invoice")
        assert outcome.tier == tier
        if tier == "mid":
            assert outcome.attempts[0].reason == "low_confidence"


# -- where tasks lie, and trust


@pytest.fixture
def places(tmp_path):
    working = tmp_path / "project" / "src"
    working.mkdir(parents=True)
    (tmp_path / "project" / "rung.toml").write_text('reach = "host"\n')
    return Places(
        working=working,
        home=tmp_path,
        user=tmp_path / "user" / "rung.toml",
        trusted=tmp_path / "data" / "trusted.json",
        policy=tmp_path / "etc" / "policy.toml",
    )


def test_the_projects_tasks_come_before_the_users_own(tmp_path, places):
    make_task(tmp_path / "user" / "tasks" / "mood", {"prompt": "user {text}"})
    make_task(tmp_path / "user" / "tasks" / "own", {"prompt": "user {text}"})
    make_task(tmp_path / "project" / "tasks" / "mood", {"prompt": "project {text}"})
    tasks = load(places=places).tasks
    assert tasks.names() == ("mood", "own")
    assert tasks.find("mood").template.prompt == "project {text}"
    assert (tasks.find("mood").trusted, tasks.find("own").trusted) == (False, True)
    assert tasks.new("next") == tmp_path / "project" / "tasks" / "next"
    for name in ("none", "../mood", "", "a/b", "mood "):
        assert tasks.find(name) is None
    with pytest.raises(ConfigError, match="there is no task 'moot'; did you mean 'mood'"):
        tasks.demand("moot")
    named = load(tmp_path / "project" / "rung.toml", places=places).tasks
    assert named.names() == ("mood",)
    assert named.find("mood").trusted


def test_a_module_of_a_strangers_task_is_not_run_before_it_is_trusted(tmp_path, places):
    folder = tmp_path / "project" / "tasks" / "mine"
    code = "raise SystemExit('ran')\n"
    make_task(folder, {"prompt": "{text}", "type": "task_module:Answer", "check": "task_module:check"})
    (folder / "task_module.py").write_text(code)
    task = load(places=places).tasks.find("mine")
    assert task.references == ("task_module:Answer", "task_module:check")
    for use in (task.task, task.grader, task.contract):
        with pytest.raises(ConfigError, match=r"is not trusted, and asks to run task_module:.*rung config trust"):
            use()
    assert "task_module" not in sys.modules

    (folder / "task_module.py").write_text(
        "from pydantic import BaseModel\nclass Answer(BaseModel):\n    total: int\n"
        "def check(value, expected):\n    return value == expected\n"
    )
    trust_file(folder / "task.toml", task.sha256, places)
    trusted = load(places=places).tasks.find("mine")
    try:
        assert trusted.output().__name__ == "Answer"
        assert grade(trusted.grader(), 5, 5).right
    finally:
        sys.modules.pop("task_module", None)
        sys.path.remove(str(folder))
    with (folder / "task.toml").open("a") as file:
        file.write("# changed\n")
    assert not load(places=places).tasks.find("mine").trusted


def test_the_task_of_the_manual_is_one(tmp_path):
    manual = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", manual, re.DOTALL)
    (tmp_path / "task.toml").write_text(text)
    (tmp_path / "schema.json").write_text(json.dumps({**SCHEMA, "properties": {"vendor": {"type": "string"}}}))
    task = open_task(tmp_path, trusted=True)
    assert task.template.fields == ("company", "text")
    assert task.task().max_tokens == 500
    keys = {name.strip(" `") for row in re.findall(r"^\| (`.+?) \|", manual, re.MULTILINE) for name in row.split(",")}
    assert {field.alias or name for name, field in TaskTable.model_fields.items()} - keys == {"about"}
    assert set(_CHECKS) <= keys


def test_a_local_model_tells_what_its_answers_depend_on():
    plain, warm = rung.llama("smollm2-135m"), rung.llama("smollm2-135m", top_p=0.9, thinking=True, slots=1)
    assert Rung(plain).describes is plain
    assert plain.setup["build"].startswith("llama-cpp-python 0.")
    assert plain.setup["slots"] != warm.setup["slots"]
    assert {key for key, value in plain.behaviour.items() if warm.behaviour[key] != value} == {"top_p", "thinking"}
    assert Rung(ScriptedTier("small")).describes is None


@pytest.mark.slow
def test_a_calibrated_task_loads_nothing_of_the_extra():
    code = "import sys, rung.config, rung.learn.tasks, rung.learn.survey; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "scipy", "sklearn", "matplotlib"} & set(loaded)
