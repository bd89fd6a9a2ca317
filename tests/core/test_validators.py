"""Validators: what they may take and return, and how long they may take."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import Annotated

import pytest
from pydantic import AfterValidator, BaseModel, ValidationInfo, field_validator

from helpers.each import each
from helpers.ids import shown
from rung import Cancel, CheckContext, Issue, Ladder, Rung
from rung.errors import ContractError, TierUnavailable
from rung.testing import ScriptedTier


def one(*script):
    return Ladder(Rung(ScriptedTier("small", *(script or ("hello",))), repairs=0))


def issues(validator, text="hello", output=None, **settings):
    outcome = one(text).run("Greet me.", output, validators=[validator], **settings)
    return [(i.path, i.message, i.code) for i in outcome.attempts[0].issues]


class Named:
    name = "tone"

    def __call__(self, value, context):
        assert isinstance(context, CheckContext)
        return value == "hi"


def takes_both(value, context):
    return context.tier == "small" and value == "hello"


@pytest.mark.parametrize("validator", [str.islower, takes_both, lambda value, limit=10: len(value) < limit, len])
def test_a_validator_takes_the_value_or_the_value_and_the_context(validator):
    if validator is len:
        with pytest.raises(ContractError, match="the validator len returned a int"):
            issues(validator)
    else:
        assert issues(validator) == []


@pytest.mark.parametrize(
    "validator",
    [lambda: True, lambda a, b, c: True, lambda value, *, strict: True, "hello"],
    ids=["0", "3", "kw", "str"],
)
def test_what_cannot_be_called_with_one_or_two_arguments_is_refused_before_any_tier_is_asked(validator):
    tier = ScriptedTier("small", "hello")
    with pytest.raises(ContractError, match="validator"):
        Ladder(tier).run("Greet me.", validators=[validator])
    assert tier.calls == []


def test_a_partial_and_a_bound_method_are_validators():
    def longer(least, value):
        return len(value) > least

    assert issues(partial(longer, 3)) == []
    assert issues("hello there".startswith) == []


@each(
    ("returned", "expected"),
    [
        (None, []),
        (True, []),
        ([], []),
        (False, [("", "check rejected it", "check:check")]),
        ("too short", [("", "too short", "check:check")]),
        (["too short", "too dull"], [("", "too short", "check:check"), ("", "too dull", "check:check")]),
        (Issue("a.b", "no", ""), [("a.b", "no", "check:check")]),
        ([Issue("a", "no", "own")], [("a", "no", "own")]),
        ("hello", []),
    ],
    ids=shown,
)
def test_a_validator_returns_nothing_a_bool_or_issues(returned, expected):
    def check(value):
        return returned

    assert issues(check) == expected


@pytest.mark.parametrize("returned", [3, {"a": "b"}, [3], object()], ids=shown)
def test_anything_else_is_the_callers_mistake_and_said_so(returned):
    def check(value):
        return returned

    with pytest.raises(ContractError, match=r"the validator check returned a \w+; return nothing, a bool"):
        issues(check)


def test_the_style_of_pydantics_validators_works_too():
    class Answer(BaseModel):
        text: str

    assert issues(lambda value: value, text='{"text": "a"}', output=Answer) == []


def test_a_value_error_is_an_issue():
    def polite(value):
        raise ValueError("say please")

    def silent(value):
        raise ValueError

    assert issues(polite) == [("", "say please", "check:polite")]
    assert issues(silent) == [("", "silent rejected it", "check:silent")]


def test_a_pydantic_validation_error_becomes_issues_with_their_paths():
    class Line(BaseModel):
        total: int

    assert issues(lambda value: Line.model_validate({"total": "x"}) and None)[0][0] == "total"


@pytest.mark.parametrize(
    "error", [KeyError("total"), TypeError("no"), TierUnavailable("inner ladder"), ZeroDivisionError()]
)
def test_any_other_exception_is_the_callers_bug_and_surfaces(error):
    def buggy(value):
        raise error

    with pytest.raises(type(error)) as raised:
        issues(buggy)
    assert raised.value is error


def test_the_name_of_a_validator_object_is_its_own():
    outcome = one("hi").run("Greet me.", validators=[Named()])
    assert outcome.checked_by == ("check:tone",)


def test_all_validators_run_so_that_a_repair_hears_of_everything():
    tier = ScriptedTier("small", "hello", "hi there")
    outcome = Ladder(tier).run("Greet me.", validators=[lambda v: ["too short"], lambda v: ["too dull"]])
    assert [i.message for i in outcome.attempts[0].issues] == ["too short", "too dull"]


def test_no_validator_runs_on_what_is_not_of_the_type():
    seen = []
    one("no").run("Count.", int, validators=[seen.append])
    assert seen == []


def test_a_validator_sees_the_request_the_earlier_attempts_and_the_callers_own_object():
    seen = []

    def look(value, context):
        seen.append((context.request.source, context.text, len(context.attempts), context.context["id"]))
        return value == "hi"

    Ladder(ScriptedTier("small", " hello", "hi")).run("Greet me.", validators=[look], context={"id": 7})
    assert seen == [("Greet me.", " hello", 0, 7), ("Greet me.", "hi", 1, 7)]


def test_pydantics_own_validators_get_the_same_context():
    class Order(BaseModel):
        item: str

        @field_validator("item")
        @classmethod
        def in_stock(cls, item: str, info: ValidationInfo) -> str:
            if item not in info.context["stock"]:
                raise ValueError("not in stock")
            return item

    settings = {"context": {"stock": ["tea"]}}
    assert one('{"item": "tea"}').run("Order.", Order, **settings).accepted
    rejected = one('{"item": "gin"}').run("Order.", Order, **settings).attempts[0].issues[0]
    assert (rejected.path, rejected.message, rejected.code) == ("item", "not in stock", "type")


# --- async -----------------------------------------------------------------------------------------------------------


async def slow_but_sure(value):
    await asyncio.sleep(0)
    return value == "hello"


def test_an_async_validator_is_a_contract_error_in_run():
    with pytest.raises(ContractError, match="call arun"):
        issues(slow_but_sure)


def test_an_async_validator_is_awaited_in_arun_on_the_callers_loop():
    loops = []

    async def look(value, context):
        loops.append(asyncio.get_running_loop())
        return await slow_but_sure(value)

    async def main():
        outcome = await one().arun("Greet me.", validators=[look])
        return outcome, asyncio.get_running_loop()

    outcome, loop = asyncio.run(main())
    assert outcome.checked_by == ("check:look",)
    assert loops == [loop]


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_validator_that_hangs_is_abandoned_at_the_deadline_and_the_attempt_says_so():
    release = threading.Event()

    def hangs(value):
        release.wait(30)

    began = time.monotonic()
    outcome = Ladder(ScriptedTier("small", "hello"), ScriptedTier("mid", "hello")).run(
        "Greet me.", validators=[hangs], timeout=0.2
    )
    took = time.monotonic() - began
    release.set()
    assert took < 10
    assert (outcome.reason, outcome.accepted) == ("deadline", False)
    assert [a.tier for a in outcome.attempts] == ["small"]
    assert outcome.attempts[0].validation.abandoned == ("check:hangs",)
    assert outcome.best.text == "hello"


def test_a_pydantic_validator_that_hangs_is_abandoned_too():
    release = threading.Event()

    def hangs(value: str) -> str:
        release.wait(30)
        return value

    outcome = one().run("Greet me.", Annotated[str, AfterValidator(hangs)], timeout=0.2)
    release.set()
    assert outcome.attempts[0].validation.abandoned == ("type",)


def test_an_abandoned_validator_is_told_that_nobody_waits_any_more():
    told = threading.Event()

    def patient(value, context):
        if context.cancel.wait(30):
            told.set()

    one().run("Greet me.", validators=[patient], timeout=0.2)
    assert told.wait(10)


def test_a_deadline_that_passes_before_the_first_validator_begins_is_no_crash():
    outcome = None
    for _ in range(30):
        outcome = one().run("Greet me.", validators=[lambda value: True], timeout=0.0005)
        assert outcome.accepted or outcome.reason == "deadline"


def test_cancel_during_a_validator_stops_at_once():
    cancel, release, mid = Cancel(), threading.Event(), ScriptedTier("mid", "hello")

    def hangs(value):
        cancel.set()
        release.wait(30)

    began = time.monotonic()
    outcome = Ladder(ScriptedTier("small", "hello"), mid).run("Greet me.", validators=[hangs], cancel=cancel)
    took = time.monotonic() - began
    release.set()
    assert took < 10
    assert [(str(a.verdict), a.reason) for a in outcome.attempts] == [("stop", "cancelled")]
    assert outcome.attempts[0].text == "hello"
    assert mid.calls == []
