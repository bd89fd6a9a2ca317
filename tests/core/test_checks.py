"""The ready-made validators."""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import BaseModel

from helpers.each import each
from helpers.ids import shown
from rung import Cancel, Ladder, Rung
from rung.checks import command, quoted, that
from rung.errors import ConfigError, ContractError
from rung.testing import ScriptedTier

SOURCE = """Invoice 2024-17 from Müller & Söhne GmbH, dated 2024-03-05.
2 x green tea at 1.234,50 EUR, 12 cups (3,75 each), total EUR 1,275.25; minus 5% discount. Codes: 7,8,9"""


class Line(BaseModel):
    name: str
    price: float | None = None


class Invoice(BaseModel):
    vendor: str = "Müller & Söhne GmbH"
    total: Decimal = Decimal("1275.25")
    issued: date = date(2024, 3, 5)
    paid: bool = False
    lines: list[Line] = []


def run(text, output, check, prompt=SOURCE, **settings):
    return Ladder(Rung(ScriptedTier("small", text), repairs=0)).run(prompt, output, validators=[check], **settings)


def told(outcome):
    return [(i.path, i.message) for i in outcome.attempts[0].issues]


# --- that ------------------------------------------------------------------------------------------------------------


def test_that_makes_a_validator_of_a_predicate():
    assert run("PARIS", None, that(str.isupper)).checked_by == ("check:isupper",)
    assert told(run("Paris", None, that(str.isupper))) == [("", "isupper doesn't hold")]
    assert told(run("Paris", None, that(str.isupper, "use capitals"))) == [("", "use capitals")]


def test_that_accepts_a_value_that_is_false_itself():
    assert run("0", int, that(lambda v: v == 0)).value == 0


def test_that_refuses_an_async_predicate_which_would_hold_of_everything():
    async def fine(value):
        return False

    with pytest.raises(ContractError, match="the predicate fine is async"):
        run("Paris", None, that(fine))


# --- quoted ----------------------------------------------------------------------------------------------------------


@each(
    "value",
    [
        1234.5,
        1275.25,
        3.75,
        2,
        12,
        5,
        2024,
        17,
        7,
        8,
        9,
        "müller & söhne",
        "GREEN   tea",
        "2024-03-05",
        "",
        None,
        Decimal("1234.500"),
        ["green tea", 12],
    ],
    ids=shown,
)
def test_what_the_source_says_in_any_notation_is_quoted(value):
    class Any(BaseModel):
        found: object

    answer = Any(found=value)
    assert quoted("found")(answer, context_of(answer)) == []


@each("value", [1234, 50, 75, 6, -12, 1275.2, "Müll", "ea at", "black tea", "05.03.2024"])
def test_what_the_source_does_not_say_is_an_issue_that_names_the_field(value):
    class Any(BaseModel):
        found: object

    (issue,) = quoted("found")(Any(found=value), context_of(Any(found=value)))
    assert issue.path == "found"
    assert "does not occur in the source" in issue.message


def context_of(answer):
    from rung import CheckContext, Request
    from rung.types import conversation

    return CheckContext(Request(conversation(SOURCE)), "small", answer.model_dump_json())


def test_quoted_takes_fields_of_every_type_that_can_stand_in_a_text():
    assert run("{}", Invoice, quoted("vendor", "total", "issued")).accepted
    wrong = '{"total": "1275.52", "issued": "2024-05-03"}'
    assert [path for path, _ in told(run(wrong, Invoice, quoted("total", "issued")))] == ["total", "issued"]


def test_a_list_on_the_way_stands_for_each_of_its_items():
    text = '{"lines": [{"name": "green tea", "price": 1234.5}, {"name": "black tea"}, {"name": "cups", "price": 6}]}'
    found = told(run(text, Invoice, quoted("lines.name", "lines.price")))
    assert [path for path, _ in found] == ["lines[1].name", "lines[2].price"]


def test_without_fields_every_text_and_number_counts_and_true_or_false_does_not():
    text = '{"vendor": "Meier", "total": 2, "paid": true, "lines": [{"name": "tea", "price": 4}]}'
    assert [path for path, _ in told(run(text, Invoice, quoted()))] == ["vendor", "lines[0].price"]


def test_a_field_that_the_contract_does_not_have_is_an_error_that_names_the_nearest():
    with pytest.raises(ContractError, match="no field 'vendr'; did you mean 'vendor'"):
        run("{}", Invoice, quoted("vendr"))
    with pytest.raises(ContractError, match="no field 'nmae'; did you mean 'name'"):
        run('{"lines": [{"name": "tea"}]}', Invoice, quoted("lines.nmae"))


def test_a_field_that_the_answer_may_leave_out_passes_when_it_does():
    schema = {"type": "object", "properties": {"vendor": {"type": "string"}, "total": {"type": "number"}}}
    assert run('{"total": 2}', schema, quoted("vendor", "total")).accepted


@pytest.mark.parametrize(("field", "says"), [("paid", "true or false"), ("vendor.name", "no fields")])
def test_a_field_that_no_text_can_quote_is_an_error(field, says):
    with pytest.raises(ContractError, match=says):
        run("{}", Invoice, quoted(field))


def test_the_source_may_be_given_and_is_otherwise_what_the_user_wrote():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert run('{"a": "zebra"}', schema, quoted("a", source="a zebra crossing")).accepted
    assert not run('{"a": "zebra"}', schema, quoted("a"), system="You know zebra crossings.").accepted


# --- command ---------------------------------------------------------------------------------------------------------


def python(code):
    return [sys.executable, "-c", code]


READ = "import sys; text = sys.stdin.read(); "


def test_a_program_gets_the_answer_and_exit_0_accepts():
    assert run("héllo", None, command(python(READ + "sys.exit(text != 'h\\u00e9llo')"))).accepted
    as_written = '{"vendor":  "x"}'
    assert run(as_written, Invoice, command(python(READ + f"sys.exit(text != {as_written!r})"))).accepted


def test_otherwise_its_stderr_is_the_issue():
    outcome = run("hello", None, command(python(READ + "sys.exit('line 1: too short')")))
    assert told(outcome) == [("", "line 1: too short")]
    assert outcome.attempts[0].issues[0].code == f"check:{Path(sys.executable).name}"


def test_a_program_that_says_nothing_is_quoted_by_its_exit_code():
    assert told(run("hello", None, command(python("raise SystemExit(7)"))))[0][1].endswith("ended with exit code 7")


@pytest.mark.slow
def test_a_program_that_never_reads_and_one_that_floods_do_no_harm():
    text = " ".join(map(str, range(20_000)))  # more than a pipe holds
    assert run(text, None, command(python("pass"))).accepted
    flood = run("hello", None, command(python("import sys; sys.stderr.write('e' * 500_000); sys.exit(1)")))
    assert 0 < len(told(flood)[0][1]) <= 2000


def test_a_program_may_be_written_as_one_line_and_no_shell_reads_it(tmp_path):
    marker = tmp_path / "made by a shell"
    assert run("hello", None, command(f"'{sys.executable}' -c pass ; touch '{marker}'")).accepted
    assert not marker.exists()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "no program"),
        ([], "no program"),
        ("no-such-program-here -x", "there is no program 'no-such-program-here'"),
        ("ruff 'check", "no closing quotation"),
    ],
)
def test_a_line_without_a_program_is_a_config_error_where_it_is_written(line, says):
    with pytest.raises(ConfigError, match=says):
        command(line)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_time_limit_is_a_number_of_seconds(seconds):
    with pytest.raises(ConfigError, match="time limit"):
        command(python("pass"), seconds=seconds)


FORKS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(str(child.pid))
{then}
"""


def gone(pid):
    """Whether a process ended; one that nobody has reaped yet did."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks processes up in /proc")  # noqa: PTH112
def test_at_its_time_limit_a_program_is_killed_with_its_children(tmp_path):
    pid = tmp_path / "pid"
    line = [*python(FORKS.format(then="time.sleep(60)")), str(pid)]
    began = time.monotonic()
    outcome = run("hello", None, command(line, seconds=1))
    assert time.monotonic() - began < 20
    assert told(outcome)[0][1].endswith("did not finish within 1 s")
    wait_until(lambda: gone(int(pid.read_text())))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks processes up in /proc")  # noqa: PTH112
@pytest.mark.parametrize("ends", ["cancel", "deadline"])
def test_cancel_and_deadline_kill_a_program_and_its_children(tmp_path, ends):
    pid, cancel = tmp_path / "pid", Cancel()
    line = [*python(FORKS.format(then="time.sleep(60)")), str(pid)]

    def stop():
        wait_until(lambda: pid.exists() and pid.read_text())
        cancel.set()

    if ends == "cancel":
        threading.Thread(target=stop, daemon=True).start()
    outcome = run("hello", None, command(line), cancel=cancel, timeout=3 if ends == "deadline" else None)
    assert outcome.reason == ("cancelled" if ends == "cancel" else "deadline")
    assert outcome.seconds < 20
    wait_until(lambda: gone(int(pid.read_text())))
