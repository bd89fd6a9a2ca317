"""`rung ask --continue`: a conversation over several commands, out of the ledger."""

from __future__ import annotations

import json
import sys

import pytest

from rung.cli.continuing import _ID
from rung.ledger.schema import new_id

KEPT = "[ledger]\ncontent = true\n"
MET = (["user", "I am Ann. Who are you?"], ["assistant", "I am small."])
ASK, HERE, GO_ON = "ask", "I am Ann. Who are you?", "--continue"


@pytest.fixture
def ladder(program):
    """A configuration whose tiers answer with a text, and write down what they were sent."""

    def configuration(*tables, top=KEPT):
        def table(text, name="small", more=""):
            record = f'record = "{program.work / name}.json"\n'
            return f'[[tier]]\nname = "{name}"\nkind = "scripted"\nrepairs = 0\nscript = ["{text}"]\n{record}{more}'

        return program.config(top + "".join(table(*each) for each in tables))

    return configuration


@pytest.fixture
def sent(program):
    """The messages that a tier was sent last; `None` where it wasn't asked."""

    def messages(name="small"):
        path = program.work / f"{name}.json"
        return json.loads(path.read_text())["messages"] if path.exists() else None

    return messages


@pytest.fixture
def rung(program):
    """Runs a command that has to end with an exit code; what it wrote to stdout and stderr."""

    def run(*arguments, code=0, stdin=b""):
        done = program(*arguments, stdin=stdin)
        assert done.returncode == code, done.stderr
        return done.stdout.decode().strip(), done.stderr.decode()

    return run


def ids(rung, config):
    return [r["id"] for r in json.loads(rung("ledger", "list", "--json", "--config", config)[0])["requests"]]


@pytest.mark.slow
def test_a_question_goes_on_from_the_last_answer_and_the_next_one_from_that(rung, ladder, sent):
    rung(ASK, HERE, "--system", "Be short.", "--config", ladder(("I am small.",)))
    rung(ASK, GO_ON, "Who am I?", "--config", ladder(("You are Ann.",)))
    assert sent() == [["system", "Be short."], *MET, ["user", "Who am I?"]]
    config = ladder(("Yes.",))
    rung(ASK, "Sure?", GO_ON, "--config", config)
    assert sent()[3:] == [["user", "Who am I?"], ["assistant", "You are Ann."], ["user", "Sure?"]]
    third, second, first = ids(rung, config)
    chain = {
        r["id"]: r["continues"] for r in json.loads(rung("ledger", "list", "--json", "--config", config)[0])["requests"]
    }
    assert chain == {third: second, second: first, first: None}
    assert f"goes on from {second}" in rung("ledger", "show", third, "--config", config)[0]


@pytest.mark.parametrize(
    "form", [(GO_ON, "{id}", "Who am I?"), ("Who am I?", GO_ON, "{id}"), (GO_ON + "={short}", "Who am I?")]
)
def test_a_question_goes_on_from_the_request_that_is_named(rung, ladder, sent, form):
    config = ladder(("I am small.",))
    rung(ASK, HERE, "--config", config)
    (first,) = ids(rung, config)
    rung(ASK, "Something else?", "--config", ladder(("Yes.",)))
    rung(ASK, *(word.format(id=first, short=first[:-1]) for word in form), "--config", ladder(("You are Ann.",)))
    assert sent() == [*MET, ["user", "Who am I?"]]


@pytest.mark.parametrize("stdin", [b"Who am I?", b""])
def test_what_follows_may_be_the_prompt_or_be_piped_in(rung, ladder, sent, stdin):
    rung(ASK, HERE, "--config", ladder(("I am small.",)))
    words = () if stdin else ("--", "Who am I?")
    rung(ASK, "--config", ladder(("Ann.",)), GO_ON, *words, stdin=stdin)
    assert sent()[-1] == ["user", "Who am I?"]


def test_every_name_of_a_request_looks_like_one_and_prompts_do_not():
    assert all(_ID.fullmatch(new_id(at)[:length]) for at in (0, 1_800_000_000_000, 2**45 - 1) for length in (4, 8, 18))
    assert not any(map(_ID.fullmatch, ("why", "Why is it red?", "007", "0 degrees", "2026", "")))


def test_the_contract_is_that_of_the_new_question(program, rung, ladder, sent):
    schema = '{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}'
    (program.work / "s.json").write_text(schema)
    first = '{\\"name\\": \\"Ann\\"}'
    rung(ASK, "I am Ann.", "--schema", "s.json", "--config", ladder((first,)))
    assert rung(ASK, GO_ON, "Who am I?", "--config", ladder(("You are Ann.",)))[0] == "You are Ann."
    assert sent() == [["user", "I am Ann."], ["assistant", '{"name": "Ann"}'], ["user", "Who am I?"]]
    said = rung(ASK, GO_ON, "Is it Ann?", "--choices", "yes,no", "--config", ladder(("perhaps",)), code=3)[1]
    assert "small: rejected (schema)" in said


def test_where_prompts_are_not_kept_the_setting_is_named(rung, ladder, sent):
    rung(ASK, HERE, "--config", ladder(("I am small.",), top=""))
    config = ladder(("Ann.", "other"), top="")
    said = rung(ASK, GO_ON, "Who am I?", "--config", config, code=2)[1]
    assert "not in the ledger; set content = true under [ledger] in rung.toml" in said
    assert sent("other") is None


def test_where_nothing_is_recorded_there_is_nothing_to_go_on_from(rung, ladder):
    said = rung(ASK, GO_ON, "Who am I?", "--config", ladder(("Ann.",)), code=2)[1]
    assert said == "rung: no answered request is recorded; see `rung ledger list`\n"


@pytest.mark.slow
def test_a_request_that_failed_has_no_answer_to_go_on_from(rung, ladder, sent):
    rung(ASK, HERE, "--config", ladder(("I am small.",)))
    config = ladder(("perhaps",))
    rung(ASK, "Is it?", "--choices", "yes,no", "--config", config, code=3)
    failed, _ = ids(rung, config)
    said = rung(ASK, GO_ON, failed, "Sure?", "--config", config, code=2)[1]
    assert f"the request {failed} has no accepted answer to continue from" in said
    rung(ASK, GO_ON, "Who am I?", "--config", ladder(("Ann.",)))
    assert sent() == [*MET, ["user", "Who am I?"]]


def test_two_system_turns_are_one_too_many(rung, ladder):
    rung(ASK, HERE, "--system", "Be short.", "--config", ladder(("I am small.",)))
    said = rung(ASK, GO_ON, "Sure?", "--system", "Be long.", "--config", ladder(("Yes.",)), code=2)[1]
    assert "already has a system turn; leave out --system" in said


def test_a_conversation_that_fits_no_context_is_told_with_what_helps(rung, ladder):
    rung(ASK, "long " * 30, "--config", ladder(("I am small.",)))
    said = rung(ASK, GO_ON, "Sure?", "--config", ladder(("Yes.", "tiny", "context = 100\n")), code=3)[1]
    assert "the prompt takes" in said
    assert "ask without --continue" in said


def test_earlier_turns_leave_the_machine_by_the_same_gate_alone(rung, ladder, sent):
    """They are part of what is sent: they stay where the new request's reach ends, and go where it was widened."""
    rung(ASK, HERE, "--config", ladder(("I am small.",)))
    far = ("You are Ann.", "cloud", 'zone = "internet"\ndestination = "api.example.com:443"\n')
    said = rung(ASK, GO_ON, "Who am I?", "--config", ladder(far), code=3)[1]
    assert sent("cloud") is None
    assert "--reach internet allows it" in said
    said = rung(ASK, GO_ON, "Who am I?", "--config", ladder(far, top='reach = "internet"\n' + KEPT), code=3)[1]
    assert sent("cloud") is None, "a reach out of a file is no consent"
    rung(ASK, GO_ON, "Who am I?", "--reach", "internet", "--config", ladder(far))
    assert sent("cloud") == [*MET, ["user", "Who am I?"]]


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals of this kind")
def test_the_question_for_consent_counts_the_earlier_turns(program, rung, ladder, sent):
    from helpers.terminal import Session

    rung(ASK, HERE, "--config", ladder(("I am small.",)))
    far = ("You are Ann.", "cloud", 'zone = "internet"\ndestination = "api.example.com:443"\n')
    session = Session(program, ASK, GO_ON, "Who am I?", "--config", ladder(far, top='reach = "internet"\n' + KEPT))
    session.until(b"[a]lways in this session: ")
    assert f"{len(HERE) + len('I am small.') + len('Who am I?')} characters".encode() in session.screen
    session.type(b"n\n")
    assert session.end() == 3
    assert sent("cloud") is None


def test_what_was_purged_can_not_be_gone_on_from(rung, ladder):
    config = ladder(("I am small.",))
    rung(ASK, HERE, "--config", config)
    rung("ledger", "purge", "--all", "--content", "--yes", "--config", config)
    said = rung(ASK, GO_ON, "Who am I?", "--config", ladder(("Ann.",)), code=2)[1]
    assert "are not in the ledger" in said
    assert "Ann" not in said


def test_a_template_writes_no_follow_up(rung, ladder):
    rung(ASK, HERE, "--config", ladder(("I am small.",)))
    config = ladder(("Ann.",))
    rung("task", "new", "reply", "--prompt", "Answer {text}", "--config", config)
    said = rung(ASK, GO_ON, "Who am I?", "--task", "reply", "--config", config, code=2)[1]
    assert "the task has a template; leave out --task" in said
