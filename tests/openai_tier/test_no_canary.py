"""A key and a prompt are in no log, error, traceback or repr of anything that belongs to rung."""

from __future__ import annotations

import enum
import inspect
import logging
import traceback
from collections.abc import Mapping

import pytest

import rung
from openai_tier.server import chat, cut, piece, status
from rung import Budget, Image, Ladder, Ledger, MemoryPurse, Message, Price, Rung, Text, ToolCall, Zone, redact
from rung.testing import ScriptedTier
from rung.tiers.openai import Env

KEY, PROMPT, ANSWER = "sk-CANARYKEY0123456789", "CANARYPROMPT", "CANARYANSWER"
OPAQUE = (str, bytes, int, float, type, type(inspect), type(len), type(redact))


def everything(thing, seen):
    """The thing and all that can be reached from it: fields, slots, containers, causes."""
    if id(thing) in seen or thing is None or isinstance(thing, OPAQUE):
        return
    seen[id(thing)] = thing
    inner = list(getattr(thing, "__dict__", {}).values())
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        inner += [getattr(thing, name, None) for name in ([slots] if isinstance(slots, str) else slots)]
    if isinstance(thing, Mapping):
        inner += thing.values()
    elif isinstance(thing, list | tuple | set | frozenset):
        inner += thing
    elif isinstance(thing, BaseException):
        inner += [*thing.args, thing.__cause__, thing.__context__]
    for value in inner:
        everything(value, seen)


def ours(thing):
    return type(thing).__module__.partition(".")[0] == "rung"


def shown(thing):
    text = repr(thing)
    if isinstance(thing, BaseException):
        text += str(thing) + "".join(traceback.format_exception(thing))
    return text


def requests(serve, tier_at, folder):
    """Requests of every kind of ending, with all their events."""
    faults = [
        chat(ANSWER),
        chat(ANSWER, finish="content_filter"),
        status(401, error={"message": f"{KEY} {PROMPT}", "code": KEY}),
        status(500, error={"message": PROMPT}),
        cut(piece(ANSWER)),
    ]
    conversation = (
        Message("system", PROMPT),
        Message("user", (Text(PROMPT), Image(PROMPT.encode(), "image/png"))),
        Message("assistant", "", tool_calls=(ToolCall("1", "look", f'{{"q": "{PROMPT}"}}'),)),
        Message("tool", PROMPT, tool_call_id="1"),
        Message("user", f"{PROMPT} {KEY}"),
    )
    reject = {"validators": [lambda v: [f"{v} is wrong"]], "provisional": True}
    for source in (KEY, Env("CANARY_VARIABLE")):
        for fault in faults:
            same = {"zone": Zone.INTERNET, "api_key": source, "retries": 0}
            cloud = tier_at(serve(fault), extra_body={"user": PROMPT}, **same)
            local = ScriptedTier("local", *[ANSWER] * 9)
            ladder = Ladder(local, Rung(cloud, feedback="issues+answer"), reach=Zone.INTERNET, redactor=redact)
            yield ladder, list(ladder.stream(conversation, **reject)), ladder.preview(conversation, **reject)
            for purse in (MemoryPurse(5), Ledger(folder / "ledger.db", per_day=5)):
                paid = tier_at(serve(fault), price=Price(1, 1), **same)
                observers = [purse] if isinstance(purse, Ledger) else []
                budget = Budget(seconds=30)
                ladder = Ladder(paid, reach=Zone.INTERNET, budget=budget, purse=purse, observers=observers)
                yield ladder, list(ladder.stream(PROMPT)), ladder.preview(PROMPT)


@pytest.mark.slow
def test_neither_key_nor_prompt_nor_answer_is_in_any_log_error_traceback_or_repr(
    serve, tier_at, monkeypatch, caplog, tmp_path
):
    monkeypatch.setenv("CANARY_VARIABLE", KEY)
    caplog.set_level(logging.DEBUG)
    seen = {}
    for found in requests(serve, tier_at, tmp_path):
        everything(found, seen)
        outcome = found[1][-1].outcome
        assert outcome.left_machine
        try:
            outcome.unwrap()
        except rung.RungError as error:
            everything(error, seen)
    looked_at = [thing for thing in list(seen.values()) if ours(thing)]
    for thing in looked_at:
        for canary in (KEY, PROMPT, ANSWER):
            assert canary not in shown(thing), f"{canary} in {type(thing).__qualname__}"
    logged = [record.getMessage() + str(record.__dict__) for record in caplog.records]
    assert logged
    assert not [line for line in logged if KEY in line or PROMPT in line or ANSWER in line]

    # every public kind of value was among them
    public = {
        name
        for name in rung.__all__
        if isinstance(kind := getattr(rung, name), type)
        and not getattr(kind, "_is_protocol", False)
        and not issubclass(kind, BaseException | enum.Enum)
    }
    met = {type(thing).__name__ for thing in looked_at}
    assert public - met <= GIVEN_TO_OTHERS


GIVEN_TO_OTHERS = {
    "Shadow",
    "Shadowed",
    "Accepted",
    "Call",
    "CheckContext",
    "Deadline",
    "Delta",
    "Hop",
    "Preparing",
    "Requirement",
    "Score",
    "Shape",
    "Threshold",
    "Token",
}
"""What is only handed to tiers and callables, told of local tiers alone, or not there without an answer:
core/test_secrets.py walks those that hold anything of a request."""
