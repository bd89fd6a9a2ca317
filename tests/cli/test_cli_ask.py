"""`rung ask`: what goes to stdout and stderr, and with which exit code."""

from __future__ import annotations

import json

import pytest

ONE = """
[[tier]]
name = "small"
kind = "scripted"
script = {script}
"""
VENDOR = '{"type": "object", "properties": {"vendor": {"type": "string"}}, "required": ["vendor"]}'
PAID = """
[[tier]]
name = "small"
kind = "scripted"
script = ["{\\"vendor\\": \\"Bolt\\"}", "{\\"vendor\\": \\"Bolt\\"}"]

[[tier]]
name = "cloud"
kind = "scripted"
zone = "internet"
price = 2.0
destination = "api.example.com:443"
script = ["{\\"vendor\\": \\"Acme\\"}"]
stays_here = false
"""


def one(program, *script: str, **more: object) -> str:
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in more.items())
    return program.config(ONE.format(script=json.dumps(script)) + lines)


@pytest.mark.slow
def test_the_answer_and_nothing_else_is_on_stdout(program):
    done = program("ask", "Who?", "--config", one(program, "Frank Herbert"))
    assert (done.returncode, done.stdout) == (0, b"Frank Herbert\n")


@pytest.mark.slow
def test_an_answer_that_only_the_checks_of_text_saw_comes_with_one_line_on_how_to_add_one(program):
    done = program("ask", "Who?", "--config", one(program, "Frank Herbert"))
    assert done.stderr.count(b"\n") == 1
    assert b"--check" in done.stderr


@pytest.mark.slow
def test_an_answer_that_a_check_vouches_for_comes_with_no_hint(program):
    (program.work / "mine.py").write_text("def fine(value):\n    return True\n")
    done = program("ask", "Who?", "--config", one(program, "Frank"), "--check", "mine:fine")
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_schema_that_the_tier_enforces_is_no_check(program):
    (program.work / "s.json").write_text(VENDOR)
    config = one(program, '{"vendor": "Acme"}', constraint="enforced")
    done = program("ask", "Which vendor? Acme.", "--schema", "s.json", "--config", config)
    assert json.loads(done.stdout) == {"vendor": "Acme"}
    assert b"--quoted FIELD" in done.stderr


def test_a_field_to_quote_is_only_suggested_where_the_answer_has_fields(program):
    done = program("ask", "Is it?", "--choices", "yes,no", "--config", one(program, "yes", constraint="enforced"))
    assert b"--check CMD" in done.stderr
    assert b"--quoted" not in done.stderr


def test_an_argument_is_the_instruction_and_what_is_piped_in_follows_it(program):
    record = program.home / "record.json"
    config = one(program, "fine", record=str(record))
    program("ask", "Summarise.", "--config", config, stdin="a café\n".encode())
    assert json.loads(record.read_text())["messages"] == [["user", "Summarise.\n\na café\n"]]


def test_a_file_is_read_and_stdin_is_then_left_alone(program):
    record = program.home / "record.json"
    (program.work / "mail.txt").write_text("\ufeffthe mail", encoding="utf-8")
    config = one(program, "fine", record=str(record))
    program("ask", "--file", "mail.txt", "--system", "Be brief.", "--config", config, stdin=b"not this")
    assert json.loads(record.read_text())["messages"] == [["system", "Be brief."], ["user", "the mail"]]


@pytest.mark.parametrize("arguments", [["ask"], ["ask", "  "], ["ask", "--file", "-"]])
def test_an_empty_prompt_is_a_usage_error(program, arguments):
    done = program(*arguments, "--config", one(program, "fine"), stdin=b" \n")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"the prompt is empty" in done.stderr


@pytest.mark.parametrize("by", ["stdin", "file"])
def test_bytes_that_are_no_utf8_are_named_by_their_place(program, by):
    (program.work / "latin.txt").write_bytes(b"caf\xe9")
    arguments = ["--file", "latin.txt"] if by == "file" else []
    done = program("ask", *arguments, "--config", one(program, "fine"), stdin=b"caf\xe9")
    assert done.returncode == 2
    assert b"not valid UTF-8: byte 3" in done.stderr


def test_control_sequences_go_into_a_pipe_as_they_are(program):
    done = program("ask", "Who?", "--config", one(program, "red \x1b[31m"))
    assert done.stdout == b"red \x1b[31m\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--schema", "no.json"], "no.json can't be read"),
        (["--schema", "broken.json"], "broken.json is not valid JSON"),
        (["--schema", "list.json"], "not a JSON Schema"),
        (["--schema", "odd.json"], "not a JSON Schema"),
        (["--type", "nowhere:X"], "no module 'nowhere'"),
        (["--type", "mine:Invoise"], "did you mean 'Invoice'?"),
        (["--type", "mine"], "module:Name"),
        (["--type", "mine:helper"], "can't be an output"),
        (["--type", "raising:X"], "raised ZeroDivisionError"),
        (["--regex", "("], "not a valid regular expression"),
        (["--choices", "yes,,no"], "choices"),
        (["--choices", "yes,no", "--regex", "a"], "can't go together"),
        (["--check", "no-such-program -x"], "no program 'no-such-program'"),
        (["--max-cost", "nan"], "not an amount of money"),
        (["--max-seconds", "nan"], "out of range"),
        (["--max-tokens", "0"], "max_tokens"),
        (["--reach", "moon"], "host, lan or internet"),
        (["--tier", "smal"], "did you mean 'small'?"),
        (["--shema", "x"], "did you mean '--schema'?"),
    ],
)
def test_a_wrong_option_is_one_sentence_that_says_what_is_right(program, arguments, says):
    (program.work / "broken.json").write_text("{x")
    (program.work / "list.json").write_text("[1]")
    (program.work / "odd.json").write_text('{"type": "nosuch"}')
    (program.work / "mine.py").write_text("class Invoice: pass\ndef helper(): pass\n")
    (program.work / "raising.py").write_text("1 / 0\n")
    done = program("ask", "Who?", "--config", one(program, "fine"), *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert says in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"rung: ")


def test_a_type_of_ones_own_is_found_in_the_working_folder(program):
    (program.work / "mine.py").write_text(
        "from pydantic import BaseModel\nclass Invoice(BaseModel):\n    total: float\n"
    )
    done = program("ask", "Total? 3.5", "--type", "mine:Invoice", "--config", one(program, '{"total": 3.5}'))
    assert json.loads(done.stdout) == {"total": 3.5}


def test_a_command_is_a_check_and_its_stderr_goes_back_to_the_model(program):
    record = program.home / "record.json"
    config = one(program, "wrong", "good", record=str(record))
    check = """sh -c 'read x; test "$x" = good || { echo "say good" >&2; exit 1; }'"""
    done = program("ask", "Say it.", "--check", check, "--config", config)
    assert (done.returncode, done.stdout) == (0, b"good\n")
    assert "say good" in json.loads(record.read_text())["messages"][-1][1]


def test_a_bug_in_somebodys_check_is_a_sentence_with_its_place_and_no_traceback(program):
    (program.work / "mine.py").write_text("def check(value):\n    raise KeyError(value)\n")
    done = program("ask", "Who?", "--check", "mine:check", "--config", one(program, "SECRET-ANSWER"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"mine.py:2" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"SECRET-ANSWER" not in done.stderr
    shown = program("ask", "Who?", "--check", "mine:check", "--config", one(program, "x"), RUNG_DEBUG="1")
    assert b"Traceback" in shown.stderr


def test_without_an_answer_the_reasons_are_on_stderr_and_the_code_is_3(program):
    (program.work / "s.json").write_text(VENDOR)
    arguments = ["--schema", "s.json", "--quoted", "vendor", "--config", program.config(PAID)]
    done = program("ask", "From Acme.", *arguments)
    assert (done.returncode, done.stdout) == (3, b"")
    said = done.stderr.decode()
    assert "small: rejected (check:quoted at vendor)" in said
    assert "--reach internet" in said
    assert "Bolt" not in said  # what the model wrote stays out of messages


def test_a_reach_that_was_given_is_consent(program):
    (program.work / "s.json").write_text(VENDOR)
    arguments = ["--schema", "s.json", "--quoted", "vendor", "--config", program.config(PAID), "--json"]
    done = program("ask", "From Acme.", *arguments, "--reach", "internet")
    found = json.loads(done.stdout)
    assert (found["tier"], found["value"], found["left_machine"]) == ("cloud", {"vendor": "Acme"}, True)
    assert found["cost_usd"] == pytest.approx(30e-6)
    assert [a["consent"] for a in found["attempts"]][-2:] == [None, "the given reach"]


def test_a_reach_from_a_file_is_refused_where_nobody_can_be_asked(program):
    (program.work / "s.json").write_text(VENDOR)
    config = program.config('reach = "internet"\n' + PAID)
    done = program("ask", "From Acme.", "--schema", "s.json", "--quoted", "vendor", "--config", config)
    assert done.returncode == 3
    assert b'consent = "always"' in done.stderr


def test_a_tier_may_need_nobodys_consent(program):
    (program.work / "s.json").write_text(VENDOR)
    config = program.config('reach = "internet"\n' + PAID + 'consent = "always"\n')
    done = program("ask", "From Acme.", "--schema", "s.json", "--quoted", "vendor", "--config", config)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"vendor": "Acme"})


def test_offline_undoes_every_reach(program):
    (program.work / "s.json").write_text(VENDOR)
    arguments = ["--schema", "s.json", "--quoted", "vendor", "--config", program.config(PAID)]
    done = program("ask", "From Acme.", *arguments, "--reach", "internet", RUNG_OFFLINE="1")
    assert done.returncode == 3
    assert b"RUNG_OFFLINE allows no more" in done.stderr


def test_a_cost_above_the_limit_is_never_spent(program):
    (program.work / "s.json").write_text(VENDOR)
    arguments = ["--schema", "s.json", "--quoted", "vendor", "--config", program.config(PAID)]
    done = program("ask", "From Acme.", *arguments, "--reach", "internet", "--max-cost", "0.000001")
    assert done.returncode == 3
    assert b"--max-cost" in done.stderr


def test_unavailable_tiers_are_code_4_with_what_mends_them(program):
    done = program("ask", "Who?", "--config", one(program, absent="start it"))
    assert done.returncode == 4
    assert b"start it" in done.stderr


def test_no_config_and_no_model_is_one_sentence_that_names_the_command(program):
    done = program("ask", "Who?")
    assert (done.returncode, done.stdout) == (4, b"")
    assert b"rung models pull smollm2-135m" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_one_tier_can_be_chosen(program):
    config = program.config(ONE.format(script='["a"]') + ONE.format(script='["b"]').replace("small", "mid"))
    done = program("ask", "Who?", "--tier", "mid", "--config", config)
    assert done.stdout == b"b\n"


def test_json_is_one_object_with_every_attempt(program):
    (program.work / "s.json").write_text(VENDOR)
    config = one(program, '{"vendor": "Bolt"}', '{"vendor": "Acme"}')
    done = program("ask", "From Acme.", "--schema", "s.json", "--quoted", "vendor", "--json", "--config", config)
    assert done.stdout.count(b"\n") == 1
    found = json.loads(done.stdout)
    assert list(found) == [
        "status", "value", "text", "tier", "checked_by", "left_machine", "cost_usd", "usage", "seconds", "reason",
        "attempts",
    ]  # fmt: skip
    assert list(found["attempts"][0]) == [
        "number", "tier", "model", "zone", "verdict", "reason", "issues", "text", "finish", "constraint", "seconds",
        "ttft", "usage", "cost_usd", "confidence", "score", "probability", "threshold", "consent",
    ]  # fmt: skip
    assert [a["verdict"] for a in found["attempts"]] == ["repair", "accept"]
    assert found["attempts"][0]["issues"][0]["path"] == "vendor"
    assert (found["status"], found["left_machine"], found["usage"]["input_tokens"]) == ("accepted", False, 20)


def test_an_unresolved_object_has_the_rejected_text_and_no_value(program):
    (program.work / "s.json").write_text(VENDOR)
    config = one(program, '{"vendor": "Bolt"}', '{"vendor": "Bolt"}')
    done = program("ask", "From Acme.", "--schema", "s.json", "--quoted", "vendor", "--json", "--config", config)
    found = json.loads(done.stdout)
    assert (done.returncode, found["status"], found["value"], found["tier"]) == (3, "unresolved", None, None)
    assert found["attempts"][0]["text"] == '{"vendor": "Bolt"}'


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["ask", "--shema", "x"], "UsageError"),
        (["ask", "Who?"], "TierUnavailable"),
        (["models", "pull", "x"], "ModelNotFound"),
    ],
)
def test_an_error_under_json_is_an_object_too(program, arguments, kind):
    done = program(*arguments, "--json")
    found = json.loads(done.stdout)
    assert found["status"] == "error"
    assert (found["error"]["type"], set(found["error"])) == (kind, {"type", "message", "hint"})


def test_the_trace_is_a_table_on_stderr(program):
    (program.work / "s.json").write_text(VENDOR)
    config = program.config(PAID)
    arguments = ["--schema", "s.json", "--quoted", "vendor", "--config", config, "--reach", "internet"]
    done = program("ask", "From Acme.", *arguments, "--trace")
    said = done.stderr.decode()
    assert json.loads(done.stdout) == {"vendor": "Acme"}
    for word in ("verdict", "TTFT", "tokens in", "cost", "repair", "same_issues", "does not occur", "given reach"):
        assert word in said
    assert "left this machine: yes, to api.example.com:443" in said


def test_a_loopback_endpoint_that_nobody_vouches_for_is_named(program):
    config = one(program, "fine", destination="127.0.0.1:4000")
    done = program("ask", "Who?", "--trace", "--config", config)
    assert "left this machine: handed to 127.0.0.1:4000" in done.stderr.decode()


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_traceback(program):
    import subprocess

    config = one(program, "word " * 50_000)
    line = [*program.command, "ask", "Who?", "--config", config]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=program.work, env=program.env) as p:
        p.stdout.close()
        said = p.stderr.read()
    assert b"Traceback" not in said
    assert b"Exception ignored" not in said


def test_the_help_of_every_command_has_an_example(program):
    for words in ([], ["ask"], ["models"], ["models", "list"], ["models", "pull"], ["models", "verify"], ["config"],
                  ["config", "show"], ["config", "trust"]):  # fmt: skip
        done = program(*words, "--help")
        assert done.returncode == 0
        assert b"Example" in done.stdout


@pytest.mark.parametrize(
    ("words", "near"), [(["aks"], "ask"), (["models", "lst"], "list"), (["config", "sho"], "show")]
)
def test_an_unknown_command_names_the_nearest(program, words, near):
    done = program(*words)
    assert done.returncode == 2
    assert f"did you mean '{near}'?" in done.stderr.decode()


def test_the_version_is_on_stdout(program):
    import rung

    assert program("--version").stdout.decode().strip() == f"rung {rung.__version__}"
