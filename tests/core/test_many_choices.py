"""More choices than the prompt has room for: it is said whose tokens they are, and a tier that holds the answer to the
choices anyway is told as many as fit."""

from __future__ import annotations

import pytest

from rung import Ladder
from rung.contract import compile_output
from rung.errors import PromptTooLong
from rung.testing import ScriptedTier
from rung.types import Message, Shape

MANY = [f"option {n}" for n in range(4000)]


def refused(output, prompt="Which?", hint="raise the tier's context"):
    tier = ScriptedTier("small", PromptTooLong(20_000, 2048, hint=hint))
    return Ladder(tier).run(prompt, output).attempts[0].error


def test_the_choices_are_named_where_most_of_the_tokens_are_theirs():
    error = refused(MANY)
    assert error.message == (
        "the prompt takes 20,000 tokens and the context holds 2,048, the answer included; "
        "about 99% of them list the 4,000 choices"
    )
    assert error.hint == "offer fewer choices or raise the tier's context"
    assert (error.input_tokens, error.context) == (20_000, 2048)


def test_a_schema_is_named_too_and_what_the_caller_wrote_is_their_own():
    wide = {"type": "object", "properties": {f"field{n}": {"type": "string"} for n in range(500)}}
    assert "of them are the schema" in refused(wide).message
    assert refused(MANY, "word " * 20_000).message.endswith("the answer included")
    assert refused(None).message.endswith("the answer included")


def listing(choices=MANY, prompt="Which?"):
    from rung.tiers.llama.worker.listing import Listing

    contract = compile_output(choices)
    messages = contract.instruct((Message("user", prompt),))
    return Listing(messages, contract.shape), messages


def test_a_list_is_cut_to_a_share_and_says_what_is_left_out():
    cut, messages = listing()
    shorter = cut.cut(0.01)
    assert shorter[0].text.endswith("option 38, option 39, or another of the 4,000 choices")
    assert shorter[1:] == messages[1:]
    assert cut.note == "the prompt lists 40 of the 4,000 choices; each can be answered"


def test_a_list_gets_shorter_each_time_and_comes_to_an_end():
    cut, _ = listing(MANY[:4])
    assert [cut.cut(2.0) is not None for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("shape", [None, Shape("json", {"type": "object"})])
def test_nothing_else_is_cut(shape):
    from rung.tiers.llama.worker.listing import Listing

    assert Listing((Message("user", "word " * 9000),), shape).cut(0.5) is None


@pytest.mark.weights
def test_a_real_model_answers_with_one_of_more_choices_than_its_context_holds(weights):
    import rung

    weights("smollm2-135m")
    with Ladder(rung.llama("smollm2-135m", context=1024)) as ladder:
        outcome = ladder.run("Which one comes behind option 3998?", MANY)
    assert outcome.value in MANY
    (attempt,) = outcome.attempts
    assert any("of the 4,000 choices; each can be answered" in note for note in attempt.notes)
    assert attempt.usage.input_tokens < 1024
