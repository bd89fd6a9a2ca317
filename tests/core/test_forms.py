"""A tier can be asked in another form: the words and their place change, and what is right stays the same."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

import rung
from rung import Ladder, Message, Rung, Zone
from rung.contract import compile_output
from rung.contract.forms import placeholders, without_reason
from rung.engine.forming import LONGEST_EXAMPLES
from rung.testing import Reply, ScriptedTier
from rung.types import Example, FormInForce, PromptForm, Task, Token

OPTIONS = ["pay", "call"]
INVOICE = {
    "type": "object",
    "properties": {"vendor": {"type": "string", "description": "who sends it"}, "total": {"type": "number"}},
    "required": ["vendor"],
    "additionalProperties": False,
}
SHOWN = (Example("first", "pay"), Example("second", "call"))


def asked(form, *, output=OPTIONS, answer="pay", examples=SHOWN, prompt="third", tier=None, system=None, **settings):
    """The outcome of a request, and the call that the tier got."""
    tier = tier or ScriptedTier("small", answer)
    found = FormInForce(form, "f" * 64, lambda _: examples)
    contract = compile_output(output)
    task = Task("intent", output=contract, form=lambda name, *_: found if name == "small" else None)
    with Ladder(tier, tasks=lambda _: task, **settings) as ladder:
        outcome = ladder.run(prompt, task="intent", system=system)
    return outcome, tier.calls[0] if tier.calls else None


def turns(call):
    return [(message.role, message.text) for message in call.messages]


def test_the_form_with_nothing_set_makes_the_same_call_as_none():
    plain = ScriptedTier("small", "pay")
    Ladder(plain).run("third", OPTIONS, system="Be brief.")
    _, call = asked(PromptForm(), system="Be brief.")
    assert turns(call) == turns(plain.calls[0])
    assert call.shape == plain.calls[0].shape
    contract = compile_output(OPTIONS)
    assert contract.under(PromptForm()) is contract


def test_examples_are_turns_between_the_system_turn_and_the_prompt():
    outcome, call = asked(PromptForm(examples="similar"), system="Be brief.")
    assert [role for role, _ in turns(call)] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert turns(call)[1:] == [
        ("user", "first"),
        ("assistant", "pay"),
        ("user", "second"),
        ("assistant", "call"),
        ("user", "third"),
    ]
    assert outcome.value == "pay"


@pytest.mark.parametrize(
    ("place", "first", "last"), [("system", "system", "third"), ("after", "user", "third\n\n"), ("before", "user", "")]
)
def test_what_the_answer_must_be_is_told_where_the_form_says(place, first, last):
    _, call = asked(PromptForm(place=place))
    assert call.messages[0].role == first
    assert call.messages[-1].text.startswith(last)
    assert sum("Answer with exactly one of these" in message.text for message in call.messages) == 1


def test_nowhere_leaves_it_to_decoding():
    outcome, call = asked(PromptForm(place="nowhere", examples="similar"))
    assert not any("pay, call" in message.text for message in call.messages)
    assert call.shape.choices == ("pay", "call")
    assert outcome.value == "pay"


def test_a_choice_wrapped_in_json_is_the_same_value():
    outcome, call = asked(PromptForm(wrap=True, examples="similar"), answer='{"value": "call"}')
    assert outcome.value == "call"
    assert call.shape.kind == "json"
    assert ("assistant", '{"value": "pay"}') in turns(call)


def test_a_wrapped_answer_is_scored_by_its_value_and_not_by_its_brackets():
    contract = compile_output(OPTIONS).under(PromptForm(wrap=True))
    tokens = [Token('{"value": "', -3.0), Token("pay", -0.1), Token('"', -0.2), Token("}", -2.0)]
    score, _ = contract.score('{"value": "pay"}', tokens)
    assert score.minimum == -0.2


def test_a_wording_is_filled_in_once_and_braces_of_the_options_stay():
    _, call = asked(PromptForm(wording="One of:\n{lines}"), output=["{options}", "b"], answer="b")
    assert call.messages[0].text == "One of:\n- {options}\n- b"


def test_an_objects_fields_can_be_told_in_short():
    _, call = asked(PromptForm(wording="Write {fields}"), output=INVOICE, answer='{"vendor": "A"}', examples=())
    assert call.messages[0].text == 'Write {"vendor": string (who sends it), "total": number (optional)}'


def test_a_reason_comes_first_is_no_part_of_the_value_and_doesnt_count_as_sure():
    said = '{"reason": "it says \\"A\\"", "vendor": "A"}'
    outcome, call = asked(PromptForm(reason=True), output=INVOICE, answer=said, examples=())
    assert next(iter(call.shape.schema["properties"])) == "reason"
    assert call.shape.schema["required"][0] == "reason"
    assert outcome.value == {"vendor": "A"}
    assert outcome.text == said
    contract = compile_output(INVOICE).under(PromptForm(reason=True))
    tokens = [Token('{"reason": "', -1.0), Token("odd", -9.0), Token('", "vendor": "', -1.0), Token("A", -0.5)]
    score, fields = contract.score('{"reason": "odd", "vendor": "A', tokens)
    assert score.minimum == -0.5
    assert set(fields) == {"vendor"}


@pytest.mark.parametrize("text", ['{"vendor": "A"}', "none", '{"reason": 1}', '{"reason": "open'])
def test_an_answer_without_a_reason_is_read_as_it_stands(text):
    assert without_reason(text) == text


def test_an_object_that_has_a_reason_of_its_own_gets_none():
    own = {**INVOICE, "properties": {"reason": {"type": "string"}, **INVOICE["properties"]}}
    said = '{"reason": "late", "vendor": "A"}'
    outcome, _ = asked(PromptForm(reason=True), output=own, answer=said, examples=())
    assert outcome.value == json.loads(said)


def test_what_is_absent_can_be_written_as_null_and_is_no_part_of_the_value():
    outcome, call = asked(
        PromptForm(absent="null"), output=INVOICE, answer='{"vendor": "A", "total": null}', examples=()
    )
    assert call.shape.schema["required"] == ["vendor", "total"]
    assert call.shape.schema["properties"]["total"]["type"] == ["number", "null"]
    assert '"total":{"type":["number","null"]}' in call.messages[0].text
    assert outcome.value == {"vendor": "A"}


def test_an_example_has_a_null_for_what_is_absent():
    shown = (Example("Of A.", {"vendor": "A"}),)
    form = PromptForm(absent="null", examples="fixed")
    _, call = asked(form, output=INVOICE, answer='{"vendor": "B", "total": 3}', examples=shown)
    assert ("assistant", '{"vendor": "A", "total": null}') in turns(call)


@pytest.mark.parametrize(
    "form",
    [
        PromptForm(wrap=True),
        PromptForm(reason=True),
        PromptForm(absent="null"),
        PromptForm(wording="{options}"),
        PromptForm(place="after"),
    ],
)
def test_a_contract_in_another_form_is_the_same_contract_to_whoever_calibrated_it(form):
    contract = compile_output(INVOICE)
    assert contract.under(form).vouches == contract.vouches
    assert contract.under(form).is_text == contract.is_text


@pytest.mark.parametrize("output", [int, dict[str, int], OPTIONS, str])
def test_an_example_is_written_as_an_answer_has_to_be(output):
    value = {"int": 3, "str": "hello"}.get(getattr(output, "__name__", ""), {"a": 1} if output != OPTIONS else "pay")
    contract = compile_output(output)
    said = ScriptedTier("small", contract.written(value))
    assert Ladder(said).run("Which?", contract).value == value


def test_examples_never_go_to_a_tier_beyond_this_machine():
    for zone in (Zone.LAN, Zone.INTERNET):
        _, call = asked(PromptForm(examples="similar"), tier=ScriptedTier("small", "pay", zone=zone), reach=zone)
        assert "first" not in str([m.text for m in call.messages])


@pytest.mark.parametrize(("vouched", "shown"), [(None, False), (False, False), (True, True)])
def test_examples_go_to_a_server_of_this_machine_only_if_somebody_vouches_that_it_keeps_them(vouched, shown):
    tier = ScriptedTier("small", "pay")
    tier.destination, tier.stays_here = "127.0.0.1:4000", vouched
    _, call = asked(PromptForm(examples="similar"), tier=tier)
    assert any(m.text == "first" for m in call.messages) is shown


def test_nothing_of_an_example_is_fed_back_to_a_tier_beyond_this_machine():
    small = ScriptedTier("small", "first", "first")
    cloud = ScriptedTier("cloud", "pay", zone=Zone.INTERNET)
    found = FormInForce(PromptForm(examples="similar"), "f" * 64, lambda _: SHOWN)
    task = Task("intent", output=compile_output(OPTIONS), form=lambda *_: found)
    ladder = Ladder(small, cloud, reach=Zone.INTERNET, tasks=lambda _: task, paid_after="any_failure")
    assert ladder.run("third", task="intent").tier == "cloud"
    assert not any(word in m.text for m in cloud.calls[0].messages for word in ("first", "second"))


def test_a_conversation_of_several_turns_gets_no_examples():
    talk = [Message("user", "Hello."), Message("assistant", "Yes?"), Message("user", "third")]
    _, call = asked(PromptForm(examples="similar"), prompt=talk)
    assert not any(message.text == "first" for message in call.messages)


def test_examples_are_bounded_and_the_most_similar_ones_stay():
    long = tuple(Example(f"{n} " + "x" * (LONGEST_EXAMPLES // 3), "pay") for n in range(4))
    _, call = asked(PromptForm(examples="similar"), examples=long)
    kept = [message.text[0] for message in call.messages if message.text.endswith("x")]
    assert kept == ["2", "3"]


def test_a_prompt_that_examples_make_too_long_says_so_and_what_helps():
    tier = ScriptedTier("small", rung.errors.PromptTooLong(900, 512))
    outcome, _ = asked(PromptForm(examples="similar"), tier=tier, examples=(Example("x" * 900, "pay"),))
    assert "examples" in outcome.attempts[0].detail
    assert "rung task forget" in outcome.attempts[0].detail


def test_what_was_learnt_in_another_form_is_void():
    seen = []
    found = SimpleNamespace(form=FormInForce(PromptForm(place="after"), "f" * 64))
    task = Task(
        "intent",
        output=compile_output(OPTIONS),
        form=lambda *_: found.form,
        standing=lambda now: seen.append(now) or rung.types.Standing(),
    )
    ladder = Ladder(Rung(ScriptedTier("small", *[Reply("pay")] * 2)), tasks=lambda _: task)
    ladder.run("third", task="intent")
    found.form = None
    ladder.run("third", task="intent")
    assert [now.form for now in seen] == ["f" * 64, ""]
    assert seen[0].sha256 != seen[1].sha256
    assert seen[0].contract == seen[1].contract


def test_what_a_wording_leaves_room_for():
    assert placeholders("{options} or {lines} {not}") == {"options", "lines"}
