"""What an endpoint refused is left out, and not sent again; and how often a failing one is asked.

| kind | tests |
|---|---|
| 13: which field was refused, by whatever the error says it | `test_a_field_that_an_error_names_...` |
| 13: what is never left out | `test_a_word_that_is_no_field_...`, `test_what_changes_the_answer_...` |
| 13: the system turn | `test_a_system_turn_...`, `test_turns_are_merged_...` |
| 13: a cap that exceeds the context | `test_a_cap_that_is_too_large_...`, `test_a_prompt_that_is_too_long_...` |
| 13: the shape | `test_a_shape_...`, `test_a_server_that_fails_by_chance_...` |
| 13: remembered, and on request in the settings | `test_what_one_tier_found_out_...`, `test_settings_...` |
| 13: the endpoint's own words | `test_an_endpoints_own_words_...` |
| 17: how often a broken endpoint is asked | `test_a_broken_endpoint_...` |
| 35: `warm` | `test_warming_...` |
"""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.thorough import times
from openai_tier.conftest import call, notes_of, text_of
from openai_tier.server import chat, status, whole
from rung import Ladder, Price, Zone
from rung.cli import trace
from rung.errors import ConfigError, PromptTooLong, TierError, TierUnavailable
from rung.testing import ScriptedTier
from rung.tiers.openai import complaints, from_config
from rung.tiers.openai.body import Dialect, compose
from rung.tiers.openai.refusals import less
from rung.types import Call, Message, Sampling, Shape

OBJECT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
SHAPE = Shape("json", OBJECT)
FASTAPI = {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted", "input": "hi"}]}


def said(code, body):
    """An error whose whole body is this, JSON or text."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    kind = "text/plain" if isinstance(body, str) else "application/json"

    def reply(peer):
        peer.head(code, {"content-type": kind, "content-length": str(len(data))}, chunked=False)
        peer.send(data)
        peer.keeps = True

    return reply


def message(text, http=400, **more):
    return said(http, {"error": {"message": text, **more}})


NAMED = [
    pytest.param(message("Unrecognized request argument supplied: stream_options", param=None), id="OpenAI, no param"),
    pytest.param(message("no", param="stream_options"), id="param"),
    pytest.param(message("no", param="stream_options.include_usage"), id="param below"),
    pytest.param(said(422, FASTAPI), id="FastAPI"),
    pytest.param(said(400, {"error": FASTAPI}), id="FastAPI, wrapped"),
    pytest.param(said(400, {"object": "error", "message": "stream_options: extra fields", "code": 400}), id="vLLM"),
    pytest.param(said(400, 'json: unknown field "stream_options"'), id="Go"),
    pytest.param(said(400, [{"error": {"code": 400, "message": "Unknown name 'stream_options'"}}]), id="Gemini"),
    pytest.param(message("does not support parameters: ['stream_options'], for model=m"), id="LiteLLM"),
    pytest.param(message("stream_options is not supported", 404), id="404"),
    pytest.param(message("You are not allowed to use stream_options", 403), id="403"),
    pytest.param(message("stream_options: not implemented", 501), id="501"),
    pytest.param(message("unexpected keyword argument 'stream_options'", 500), id="500"),
    pytest.param(whole({"error": {"code": 400, "message": "unknown field stream_options"}}), id="HTTP 200"),
]


@pytest.mark.parametrize("refusal", NAMED)
def test_a_field_that_an_error_names_is_left_out_and_the_next_call_doesnt_send_it(serve, tier_at, refusal):
    server = serve(refusal, chat("a"), chat("b"))
    tier = tier_at(server)
    assert text_of(list(tier.stream(call()))) == "a"
    deltas = list(tier.stream(call()))
    assert text_of(deltas) == "b"
    assert "leave_out = ['stream_options']" in notes_of(deltas)
    assert ["stream_options" in request.json for request in server.requests] == [True, False, False]


def test_several_fields_that_one_error_names_go_at_once(serve, tier_at):
    server = serve(message("Unsupported parameters: 'seed', 'temperature', top_p"), chat("a"))
    list(tier_at(server).stream(call(sampling=Sampling(top_p=0.5, seed=1))))
    assert len(server.requests) == 2
    assert not {"seed", "temperature", "top_p"} & server.requests[1].json.keys()


def test_an_endpoint_that_doesnt_stream_is_asked_for_the_whole(serve, tier_at):
    completion = {"choices": [{"message": {"content": "Paris"}, "finish_reason": "stop"}]}
    server = serve(message("Streaming is not supported for this model"), whole(completion), whole(completion))
    tier = tier_at(server)
    assert text_of(list(tier.stream(call()))) == text_of(list(tier.stream(call()))) == "Paris"
    assert [request.json.get("stream") for request in server.requests] == [True, None, None]
    assert not any("stream_options" in request.json for request in server.requests[1:])


@pytest.mark.parametrize(
    "refusal",
    [
        message("the weather service said: temperature 20, seed 7, no store in sight"),
        message("invalid request. " + "x" * 200 + " the temperature, the seed and the store"),
        message("Rate limit reached for max_tokens and stream_options", 429),
        message("the key is not allowed to use stream_options", 401),
    ],
)
def test_a_word_that_is_no_field_that_was_refused_is_not_taken_for_one(serve, tier_at, refusal):
    server = serve(refusal)
    tier = tier_at(server, store=False, retries=0)
    with pytest.raises(TierError):
        list(tier.stream(call()))
    list(tier.stream(call()))
    assert server.requests[-1].json["store"] is False
    assert "stream_options" in server.requests[-1].json


def test_a_field_that_was_not_sent_or_that_a_person_asked_for_is_not_taken_for_the_culprit(serve, tier_at):
    server = serve(*[message("unknown fields: 'seed', 'top_p'")] * 3)
    with pytest.raises(TierError):
        list(tier_at(server, extra_body={"top_p": 0.5}).stream(call()))
    assert len(server.requests) == 1


def test_a_cap_never_goes_out_under_a_name_that_was_not_refused(serve, tier_at):
    server = serve(*[message("invalid max_tokens: must be at least 16")] * 3)
    with pytest.raises(TierError):
        list(tier_at(server, price=Price(1, 1)).stream(call(max_tokens=3)))
    assert [sorted(r.json.keys() & {"max_tokens", "max_completion_tokens"}) for r in server.requests] == [
        ["max_tokens"]
    ]


@pytest.mark.parametrize("name", ["stop", "messages", "model", "n"])
def test_what_changes_the_answer_is_never_left_out(serve, tier_at, name):
    server = serve(*[message(f"'{name}' is not supported", param=name)] * 3)
    with pytest.raises(TierError):
        list(tier_at(server).stream(call(sampling=Sampling(stop=("END",)))))
    assert len(server.requests) == 1


SYSTEM = [
    message("System role not supported"),
    message("System role not supported", 500),
    message("Developer instruction is not enabled for models/gemma-3-27b-it"),
    message("Conversation roles must alternate user/assistant/user/assistant/..."),
    message("Unexpected role 'system' after role 'user'"),
    message("'system' is not one of ['user', 'assistant']", param="messages[0].role"),
    said(422, {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user' or 'assistant'"}]}),
]


@pytest.mark.parametrize("refusal", SYSTEM)
def test_a_system_turn_that_is_refused_goes_into_the_users(serve, tier_at, refusal):
    server = serve(refusal, chat("a"), chat("b"))
    tier = tier_at(server)
    asked = Call((Message("system", "Be brief."), Message("user", "hi")))
    assert "merge_system" in notes_of(list(tier.stream(asked)))
    list(tier.stream(asked))
    assert [request.json["messages"][0] for request in server.requests] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Be brief.\n\nhi"},
        {"role": "user", "content": "Be brief.\n\nhi"},
    ]


def test_turns_are_merged_in_their_order_and_none_is_lost(serve, tier_at):
    server = serve()
    turns = ["system A", "system B", "user C", "assistant D", "system E", "user F", "system G"]
    messages = tuple(Message(*turn.split()) for turn in turns)
    list(tier_at(server, merge_system=True).stream(Call(messages)))
    sent = [(turn["role"], turn["content"]) for turn in server.requests[0].json["messages"]]
    assert sent == [("user", "A\n\nB\n\nC"), ("assistant", "D"), ("user", "E\n\nF"), ("user", "G")]


LENGTHS = [
    (
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens "
        "(1000 in the messages, 4000 in the completion).",
        3096,
    ),
    ("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.", 3096),
    (
        "'max_tokens' is too large: 4000. This model's maximum context length is 4096 tokens and your request has 1000 "
        "input tokens (4000 > 4096 - 1000).",
        3096,
    ),
    ("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 1000 `inputs` tokens and 4000 `max_new_tokens`", 3096),
    ("input length and `max_tokens` exceed context limit: 1000 + 4000 > 4096, decrease `max_tokens`", 3096),
    (
        "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of "
        "5000 tokens: 1000 tokens from the input messages and 4000 tokens for the completion.",
        3096,
    ),
    (
        "max_tokens is too large: 4000. This model supports at most 2048 completion tokens, whereas you provided 4000.",
        2048,
    ),
    ("Invalid max_tokens value, the valid range of max_tokens is [1, 2048]", 2048),
    ("`max_tokens` must be less than or equal to `2048`, the maximum value for this model", 2048),
    ("max_tokens: 4000 > 2048, which is the maximum allowed number of output tokens for m", 2048),
]


@pytest.mark.parametrize(("text", "cap"), LENGTHS)
def test_a_cap_that_is_too_large_is_lowered_and_the_next_call_begins_with_the_lower_one(serve, tier_at, text, cap):
    server = serve(message(text), chat("a"), chat("b"))
    tier = tier_at(server, price=Price(1, 1))
    assert f"capped at {cap:,} tokens instead of 4,000" in notes_of(list(tier.stream(call(max_tokens=4000))))
    list(tier.stream(call(max_tokens=4000)))
    list(tier.stream(call(max_tokens=50)))
    assert [request.json["max_tokens"] for request in server.requests] == [4000, cap, cap, 50]


def test_the_bound_in_money_is_never_less_than_what_may_be_sent(serve, tier_at):
    server = serve(message(LENGTHS[0][0]), chat("a"), chat("b"))
    tier = tier_at(server, price=Price(0, 1_000_000))
    list(tier.stream(call("hello " * 100, max_tokens=4000)))
    short = call(max_tokens=4000)
    assert tier.quote(short).max_cost == 4000
    list(tier.stream(short))
    assert server.requests[-1].json["max_tokens"] <= 4000


def test_a_prompt_that_is_too_long_whatever_the_cap_is_called_so(serve, tier_at):
    server = serve(
        message("maximum context length is 4096 tokens. However, you requested 5000 tokens (4090 in the messages)")
    )
    with pytest.raises(PromptTooLong) as caught:
        list(tier_at(server).stream(call(max_tokens=910)))
    assert (caught.value.input_tokens, caught.value.context) == (4090, 4096)
    assert len(server.requests) == 1


WORDS = [
    *(text for text, _ in LENGTHS),
    "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
    "unknown fields: 'seed', 'temperature', stream_options",
    "streaming is not supported",
    "System role not supported",
    "Invalid schema for response_format",
    "response_format",
    "body.stream_options",
    "messages[0].role",
    "429",
]
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(WORDS)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["error", "message", "code", "type", "status", "param", "loc", "detail", "retry_after", "x"]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=30,
)


@pytest.mark.slow
@settings(max_examples=times(150), deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(body=JSON, code=st.sampled_from([400, 404, 422, 429, 500, 503]), shape=st.sampled_from([None, SHAPE]))
def test_whatever_an_error_holds_it_is_read_and_each_way_out_asks_for_less(body, code, shape):
    complaint = complaints.read(body)
    asked = call(shape=shape, max_tokens=100, sampling=Sampling(seed=1))
    dialect = Dialect("m", "json_schema", "max_tokens", None, False, False, False)
    form, sent = dialect.forms(shape)[0], []
    while (found := less(complaint, code, asked, dialect, form)) is not None:
        sent.append(compose(asked, dialect, form))
        dialect, form = found.dialect, found.form
        assert compose(asked, dialect, form) not in sent
    assert len(sent) <= 9


@pytest.mark.parametrize(
    ("refusals", "forms"),
    [
        ([message("Unrecognized request argument supplied: response_format")], ["json_schema", None]),
        ([message("no", param="response_format", code="unsupported_parameter")], ["json_schema", None]),
        ([message("no")], ["json_schema", None]),
        ([message("'response_format.type' must be 'json_object' or 'text'")], ["json_schema", "json_object"]),
        (
            [message("Invalid schema for response_format 'answer': 'n' is not allowed", param="response_format")] * 2,
            ["json_schema", "json_schema", None],
        ),
    ],
)
def test_a_shape_that_is_refused_is_asked_for_in_the_best_way_that_is_left_and_that_is_remembered(
    serve, tier_at, refusals, forms
):
    server = serve(*refusals, chat("{}"), chat("{}"))
    tier = tier_at(server)
    for _ in range(2):
        assert "didn't take the shape" in notes_of(list(tier.stream(call(shape=SHAPE))))
    asked = [request.json.get("response_format", {}).get("type") for request in server.requests]
    assert asked == [*forms, forms[-1]]


def test_a_schema_that_was_refused_says_nothing_of_another_and_a_field_that_was_does(serve, tier_at):
    other = Shape("json", {**OBJECT, "properties": {"n": {"type": "string"}}})
    server = serve(message("no"), chat("{}"), chat("{}"))
    tier = tier_at(server)
    list(tier.stream(call(shape=SHAPE)))
    list(tier.stream(call(shape=other)))
    assert "response_format" in server.requests[-1].json
    server = serve(message("unknown field: response_format"), chat("{}"), chat("{}"))
    tier = tier_at(server)
    list(tier.stream(call(shape=SHAPE)))
    list(tier.stream(call(shape=other)))
    assert "response_format" not in server.requests[-1].json


def test_a_server_that_fails_by_chance_is_asked_for_the_shape_again_and_one_that_always_fails_is_not(serve, tier_at):
    server = serve(status(500), chat("{}"), status(500), chat("{}"), chat("{}"))
    tier = tier_at(server)
    for _ in range(3):
        list(tier.stream(call(shape=SHAPE)))
    asked = ["response_format" in request.json for request in server.requests]
    assert asked == [True, False, True, False, False]


def test_what_one_tier_found_out_another_of_the_same_model_knows_and_of_another_model_not(serve, tier_at):
    server = serve(message("unknown field: stream_options"))
    list(tier_at(server).stream(call()))
    list(tier_at(server, name="again").stream(call()))
    list(from_config("other", {"model": "other", "base_url": server.url}).stream(call()))
    assert ["stream_options" in request.json for request in server.requests] == [True, False, False, True]


def test_settings_say_beforehand_what_an_endpoint_doesnt_take(serve, tier_at):
    server = serve()
    table = {"model": "m", "base_url": server.url, "leave_out": ["stream_options", "seed"], "merge_system": True}
    tier = from_config("small", table)
    asked = Call((Message("system", "A"), Message("user", "B")), sampling=Sampling(seed=1))
    assert notes_of(list(tier.stream(asked))) == ""
    assert not {"stream_options", "seed"} & server.requests[0].json.keys()
    assert tier.outgoing(asked).body == server.requests[0].body
    tier.close()
    with pytest.raises(ConfigError, match="did you mean 'stream_options'"):
        from_config("small", {**table, "leave_out": ["stream_option"]})
    with pytest.raises(ConfigError, match="can't be left out"):
        from_config("small", {**table, "leave_out": ["messages"]})


def test_an_endpoints_own_words_are_shown_in_the_trace_cut_and_escaped_and_nowhere_else(serve, tier_at):
    words = "the model is \x1b[31mon fire\n" + "and " * 200
    outcome = Ladder(tier_at(serve(message(words)))).run("hi")
    shown = trace.table(outcome)
    line = next(line for line in shown.splitlines() if "it said:" in line)
    assert r"the model is \x1b[31mon fire\nand and" in line
    assert line.endswith("…")
    assert len(line) < 350
    error = outcome.attempts[0].error
    assert "fire" not in f"{error} {error!r} {vars(error)} {outcome!r} {outcome.attempts!r}"


def test_a_key_in_an_endpoints_words_is_hidden_in_the_trace(serve, tier_at):
    outcome = Ladder(tier_at(serve(message("Incorrect API key provided: sk-CANARYKEY0123456789", 401)))).run("hi")
    assert "Incorrect API key" in trace.table(outcome)
    assert "CANARY" not in trace.table(outcome)


@pytest.mark.parametrize("shape", [None, OBJECT])
def test_a_broken_endpoint_is_asked_twice_where_another_tier_is_there(serve, tier_at, monkeypatch, shape):
    monkeypatch.setattr("rung.tiers.openai.pauses._FIRST", 0.01)
    for others, requests in (([ScriptedTier("mid", '{"n": 1}')], 2), ([], 3)):
        server = serve(*[status(500)] * 9)
        outcome = Ladder(tier_at(server), *others).run("hi", shape)
        assert outcome.attempts[0].reason == "TierUnavailable"
        assert len(server.requests) == requests


def test_a_busy_endpoint_is_waited_for_all_the_same(serve, tier_at, monkeypatch):
    monkeypatch.setattr("rung.tiers.openai.pauses._FIRST", 0.01)
    server = serve(status(429), status(503), chat("there"))
    assert Ladder(tier_at(server), ScriptedTier("mid", "fine")).run("hi").value == "there"


def test_a_refusal_of_a_paid_tier_that_fails_instead_of_refusing_is_not_asked_twice(serve, tier_at):
    server = serve(*[message("unknown field stream_options", 500)] * 3)
    with pytest.raises(TierUnavailable):
        list(tier_at(server, price=Price(1, 1), zone=Zone.INTERNET).stream(call()))
    assert len(server.requests) == 1


def test_warming_a_tier_gets_its_client_ready_and_sends_nothing(serve, tier_at, monkeypatch):
    server = serve()
    tier = tier_at(server)
    ladder = Ladder(tier)
    ladder.warm()
    assert tier._session._current._client is not None
    assert server.connections == 0
    assert "rung.tiers.openai.conversation" in sys.modules
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(TierUnavailable, match="pip install openai"):
        Ladder(tier_at(server, name="anew")).warm("all")
