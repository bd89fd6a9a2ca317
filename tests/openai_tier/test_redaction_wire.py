"""Redaction on a real wire: nothing private arrives, and the answer has it all."""

from __future__ import annotations

import json
import random
import re
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from helpers.thorough import times
from openai_tier.server import events, piece, usage
from redaction_texts import text_with
from rung import Ladder, Message, Rung, Zone, redact
from rung.testing import ScriptedTier


class Found(BaseModel):
    found: list[str]


def placeholders(text):
    return re.findall(r"\[\w+_\d+\]", text)


def answering(make):
    """A model that makes its answer of the user's text, placeholders kept as they are."""

    def reply(peer):
        said = peer.request.json["messages"][-1]["content"]
        events(piece(make(said)), piece(finish="stop"), usage())(peer)

    return reply


@pytest.mark.proof
@pytest.mark.slow
def test_of_hundreds_of_texts_nothing_private_arrives_and_all_of_it_is_in_the_answer(serve, tier_at):
    dice = random.Random(20)
    structured = answering(lambda said: json.dumps({"found": placeholders(said)}))
    plain = answering(lambda said: "Among them: " + "; ".join(reversed(placeholders(said))))
    texts = times(500)
    server = serve(*[structured, plain] * (texts // 2))
    ladder = Ladder(tier_at(server, zone=Zone.INTERNET), reach=Zone.INTERNET, redactor=redact)
    for n in range(texts):
        text, values = text_with(dice)
        outcome = ladder.run(text, None if n % 2 else Found)
        wire = server.requests[-1].body.decode()
        for value in values:
            assert value not in wire
            assert re.sub(r"[ \u00a0-]", "", value) not in wire
            # what merely stood beside a value may have been masked with it
            assert value in (outcome.value if n % 2 else " | ".join(outcome.value.found))
    assert len(server.requests) == texts


def test_a_field_whose_form_a_placeholder_does_not_fit_comes_back_real_and_validated(serve, tier_at):
    class Contact(BaseModel):
        pattern: Annotated[str, Field(pattern=r"^[\w.]+@[\w.]+$", max_length=16)]

    server = serve(answering(lambda said: json.dumps({"pattern": placeholders(said)[0]})))
    ladder = Ladder(tier_at(server, zone=Zone.INTERNET), reach=Zone.INTERNET, redactor=redact)
    outcome = ladder.run("Who wrote? From: bob@example.org", Contact)
    assert outcome.value.pattern == "bob@example.org"
    schema = server.requests[0].json["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["pattern"].keys() <= {"type", "title"}


def test_choices_and_the_schema_are_masked_too(serve, tier_at):
    server = serve(answering(lambda said: "[EMAIL_2]"))
    ladder = Ladder(tier_at(server, zone=Zone.INTERNET), reach=Zone.INTERNET, redactor=redact)
    outcome = ladder.run("Who is the boss?", ["bob@example.org", "al@example.org"])
    assert outcome.value == "al@example.org"
    assert b"example.org" not in server.requests[0].body


def test_a_schema_is_sent_as_it_is_where_nothing_was_masked(serve, tier_at):
    class Code(BaseModel):
        code: Annotated[str, Field(pattern="^[a-z]+$")]

    server = serve(answering(lambda said: '{"code": "abc"}'))
    ladder = Ladder(tier_at(server, zone=Zone.INTERNET), reach=Zone.INTERNET, redactor=redact)
    assert ladder.run("Which code?", Code).value.code == "abc"
    assert b"^[a-z]+$" in server.requests[0].body


def test_feedback_and_tool_turns_are_masked_and_the_local_tier_sees_the_real_ones(serve, tier_at):
    local = ScriptedTier("local", "bob@example.org is wrong")
    server = serve(answering(lambda said: "It is [EMAIL_1]."))
    cloud = Rung(tier_at(server, zone=Zone.INTERNET), feedback="issues+answer")
    ladder = Ladder(Rung(local, repairs=0), cloud, reach=Zone.INTERNET, redactor=redact)
    said = Message("tool", "bob@example.org", tool_call_id="1")
    conversation = [Message("user", "Who?"), said, Message("user", "So?")]
    outcome = ladder.run(conversation, validators=[lambda v: [] if v.startswith("It") else [f"{v}: no"]])
    assert outcome.value == "It is bob@example.org."
    assert "bob@example.org" in local.calls[0].messages[1].text
    assert b"example.org" not in server.requests[0].body
    assert b"[EMAIL_1] is wrong" in server.requests[0].body


def test_a_tier_may_have_a_redactor_of_its_own(serve, tier_at):
    server, other = serve(), serve()
    ladder = Ladder(
        Rung(tier_at(server, zone=Zone.INTERNET, name="a"), redactor=redact, repairs=0),
        Rung(tier_at(other, zone=Zone.INTERNET, name="b"), repairs=0),
        reach=Zone.INTERNET,
    )
    ladder.run("I am bob@example.org", validators=[lambda v: False])
    assert b"example.org" not in server.requests[0].body
    assert b"example.org" in other.requests[0].body


def test_whoever_consents_is_told_that_it_is_masked():
    hops = []
    cloud = ScriptedTier("cloud", "yes", "yes", zone=Zone.INTERNET)
    for redactor in (None, redact):
        Ladder(cloud, reach=Zone.INTERNET, redactor=redactor, consent=lambda h: hops.append(h) or True).run("hi")
    assert [hop.redacted for hop in hops] == [False, True]
