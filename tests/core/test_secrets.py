"""No prompt, no answer and no key is in a repr, an error's text or a traceback."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Iterable, Mapping
from typing import Annotated

import pytest
from pydantic import AfterValidator, BaseModel

from rung import (
    AttemptEnded,
    Cancelled,
    Finished,
    Image,
    Ladder,
    Message,
    Price,
    RungError,
    TierCrashed,
    ToolCall,
    Unresolved,
    Zone,
)
from rung.checks import command, quoted
from rung.errors import ContractError
from rung.testing import QuotingTier, Reply, ScriptedTier

SECRETS = ("geheimeanfrage", "geheimeantwort", "sk-geheimerschluessel", "geheimerkontext")
PROMPT, ANSWER, KEY, CONTEXT = SECRETS


class Keeper:
    """A caller's own object, which shows what it holds."""

    def __repr__(self):
        return CONTEXT


class Answer(BaseModel):
    name: str
    total: int


def everything(thing, seen=None):
    """The thing and all that can be reached from it through the fields of dataclasses, containers and exceptions."""
    seen = {} if seen is None else seen
    if id(thing) in seen or isinstance(thing, str | bytes | Keeper):
        return
    seen[id(thing)] = thing
    yield thing
    inner: Iterable = ()
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        inner = [getattr(thing, f.name) for f in dataclasses.fields(thing)]
    elif isinstance(thing, Mapping):
        inner = thing.values()
    elif isinstance(thing, list | tuple | set):
        inner = thing
    elif isinstance(thing, BaseException):
        inner = [*thing.args, thing.__cause__, *vars(thing).values()]
    for value in inner:
        yield from everything(value, seen)


def shown(thing):
    """What a log could make of a thing."""
    if isinstance(thing, BaseException):
        return repr(thing) + str(thing) + "".join(traceback.format_exception(thing))
    # containers show what is in them, and a container of texts is nobody's public object
    return "" if isinstance(thing, list | tuple | set | Mapping | BaseModel) else repr(thing)


def assert_silent(thing):
    looked_at = 0
    for part in everything(thing):
        looked_at += 1
        for secret in SECRETS:
            assert secret not in shown(part), f"{secret} in {type(part).__name__}"
    return looked_at


CONVERSATION = (
    Message("system", f"Never tell {KEY}."),
    Message("user", (Image(PROMPT.encode(), "image/png"),)),
    Message("assistant", "", tool_calls=(ToolCall("1", "look", f'{{"q": "{PROMPT}"}}'),)),
    Message("tool", f"found {PROMPT}", tool_call_id="1"),
    Message("user", f"Who is {PROMPT}? My key is {KEY}."),
)
WRONG = f'{{"name": "{ANSWER}", "total": "{ANSWER}"}}'
RIGHT = f'{{"name": "{ANSWER}", "total": 3}}'


def redact(messages):
    return messages, lambda text: text


def ladder(*last):
    cloud = QuotingTier("cloud", *last, zone=Zone.INTERNET, price=Price(1, 1))
    small = ScriptedTier("small", Reply(WRONG, logprob=-0.5), Reply(f"{ANSWER}!", logprob=-0.5))
    return Ladder(small, cloud, reach=Zone.INTERNET, redactor=redact)


def test_a_request_that_is_answered_shows_nothing():
    climb = ladder(Reply(RIGHT, logprob=-0.1))
    events = list(
        climb.stream(
            CONVERSATION, Answer, validators=[quoted("name", source=ANSWER)], context=Keeper(), provisional=True
        )
    )
    assert events[-1].outcome.accepted
    calls = [call for rung in climb.rungs for call in rung.tier.calls]
    assert len(calls) == 3
    assert assert_silent([*events, *calls, climb, *climb.rungs]) > 100


def test_a_request_that_is_not_answered_shows_nothing_and_neither_does_its_error():
    outcome = ladder(TierCrashed("the connection broke off")).run(CONVERSATION, Answer, context=Keeper())
    assert_silent(outcome)
    with pytest.raises(Unresolved) as raised:
        outcome.unwrap()
    assert_silent(raised.value)


@pytest.mark.parametrize(
    "check",
    [
        quoted("name"),
        lambda value: [f"{value.name} is wrong"],
        lambda value: False,
        command(["python3", "-c", "import sys; sys.exit(sys.stdin.read())"]),
    ],
    ids=["quoted", "issues", "bool", "command"],
)
def test_an_issue_may_quote_the_answer_and_its_repr_shows_only_path_and_code(check):
    outcome = ladder(RIGHT, RIGHT).run("Who?", Answer, validators=[check])
    assert not outcome.accepted
    assert_silent(outcome)


def explode(name):
    return bool(name)


@pytest.mark.parametrize(
    ("output", "answer"), [(Annotated[str, AfterValidator(explode)], ANSWER), (None, ANSWER)], ids=["type", "check"]
)
def test_misuse_names_the_validator_and_not_the_value(output, answer):
    validators = [] if output else [lambda value: 3]
    with pytest.raises(ContractError) as raised:
        Ladder(ScriptedTier("small", answer)).run(f"Who is {PROMPT}?", output, validators=validators)
    assert_silent(raised.value)


def test_a_tiers_bug_is_named_by_its_type():
    outcome = Ladder(ScriptedTier("small", ValueError(f"can't read {PROMPT}"))).run(PROMPT)
    error = outcome.attempts[0].error
    assert str(error) == "tier 'small' raised ValueError"
    for text in (repr(error), str(error), repr(outcome), outcome.explain(), outcome.attempts[0].detail):
        assert PROMPT not in text


def test_a_cancelled_request_shows_nothing():
    tier = ScriptedTier("small", lambda call: Cancelled("the caller cancelled"))
    events = list(Ladder(tier).stream(CONVERSATION, Answer, context=Keeper()))
    with pytest.raises(Cancelled) as raised:
        events[-1].outcome.unwrap()
    assert_silent([events, raised.value])


def test_an_observers_complaint_does_not_carry_what_it_saw():
    def ledger(event):
        if isinstance(event, AttemptEnded | Finished):
            raise RungError(f"can't store {ANSWER}")

    outcome = Ladder(ScriptedTier("small", ANSWER), observers=[ledger]).run(PROMPT)
    assert_silent(outcome)
