"""What goes to the endpoint."""

import pytest

from openai_tier.conftest import call, notes_of, text_of
from openai_tier.server import chat, status
from rung.errors import TierError, Unsupported
from rung.tiers.openai.body import Dialect, compose
from rung.types import Call, Image, Message, Price, Sampling, Shape, Text, ToolCall

OPEN = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
CLOSED = OPEN | {"additionalProperties": False}
FREE_KEYS = {"type": "object", "additionalProperties": {"type": "integer"}}


def refused(parameter: str | None = None, code: str = "unsupported_parameter"):
    return status(400, error={"message": "no", "code": code, "param": parameter})


def test_a_conversation_is_said_in_the_form_of_chat_completions(serve, tier_at):
    server = serve()
    messages = (
        Message("system", "be brief"),
        Message("user", (Text("what is this"), Image(b"\x89PNG", "image/png"))),
        Message("assistant", "", tool_calls=(ToolCall("c1", "look", '{"at": 1}'),)),
        Message("tool", "a cat", tool_call_id="c1"),
    )
    list(tier_at(server).stream(Call(messages)))
    assert server.requests[0].line == "POST /v1/chat/completions HTTP/1.1"
    assert server.requests[0].json["messages"] == [
        {"role": "system", "content": "be brief"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
            ],
        },
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}],
        },
        {"role": "tool", "content": "a cat", "tool_call_id": "c1"},
    ]


def test_an_effort_is_sent_where_one_is_asked_for_and_left_out_where_it_is_refused(serve, tier_at):
    server = serve(refused("reasoning_effort"), chat("42"), chat("42"))
    tier = tier_at(server)
    assert text_of(list(tier.stream(call(sampling=Sampling(effort="low"))))) == "42"
    list(tier.stream(call()))
    assert [r.json.get("reasoning_effort") for r in server.requests] == ["low", None, None]


def test_sampling_cap_and_further_fields_are_sent_and_min_p_is_said_to_be_left_out(serve, tier_at):
    server = serve()
    sampling = Sampling(temperature=0.5, top_p=0.9, min_p=0.1, seed=3, stop=("END",))
    tier = tier_at(server, extra_body={"top_k": 40})
    deltas = list(tier.stream(call(sampling=sampling, max_tokens=20)))
    sent = server.requests[0].json
    assert sent | {"messages": None} == {
        "model": "m",
        "messages": None,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "stop": ["END"],
        "max_tokens": 20,
        "top_k": 40,
    }
    assert "min_p" in notes_of(deltas)


def test_a_tier_with_a_price_always_sends_a_cap_and_another_only_where_the_call_names_one(serve, tier_at):
    server = serve()
    list(tier_at(server, price=Price(1, 4)).stream(call()))
    list(tier_at(server).stream(call()))
    assert server.requests[0].json["max_tokens"] == 2048
    assert "max_tokens" not in server.requests[1].json


def test_api_openai_com_is_told_not_to_store_and_knows_the_new_name_of_the_cap():
    from rung.tiers.openai import OpenAITier

    at_openai, elsewhere = OpenAITier("m"), OpenAITier("m", base_url="http://127.0.0.1:1/v1")
    assert at_openai._dialect.store
    assert at_openai._dialect.token_limit == "max_completion_tokens"
    assert not elsewhere._dialect.store
    assert elsewhere._dialect.token_limit == "max_tokens"


@pytest.mark.parametrize(
    ("constraint", "shape", "field", "value", "said"),
    [
        (
            "json_schema",
            Shape("json", CLOSED),
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": CLOSED, "strict": True}},
            "endpoint",
        ),
        (
            "json_schema",
            Shape("json", FREE_KEYS),
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": FREE_KEYS, "strict": False}},
            "endpoint",
        ),
        ("json_object", Shape("json", OPEN), "response_format", {"type": "json_object"}, "none"),
        ("none", Shape("json", OPEN), "response_format", None, "none"),
        ("structured_outputs", Shape("json", OPEN), "structured_outputs", {"json": OPEN}, "endpoint"),
        (
            "structured_outputs",
            Shape("regex", OPEN, pattern="a+"),
            "structured_outputs",
            {"regex": "a+"},
            "endpoint",
        ),
        (
            "structured_outputs",
            Shape("choice", OPEN, choices=("a", "b")),
            "structured_outputs",
            {"choice": ["a", "b"]},
            "endpoint",
        ),
    ],
)
def test_the_shape_is_put_as_the_setting_says(serve, tier_at, constraint, shape, field, value, said):
    server = serve()
    deltas = list(tier_at(server, constraint=constraint).stream(call(shape=shape)))
    assert server.requests[0].json.get(field) == value
    assert [delta.constraint for delta in deltas if delta.constraint] == [said]


def test_a_schema_that_only_hints_at_openai_is_not_called_enforced():
    dialect = Dialect("m", "json_schema", "max_tokens", None, False, True, hints_only=True)
    assert dialect.enforced("strict") == "endpoint"
    assert dialect.enforced("lax") == "none"


def test_an_endpoint_that_refuses_the_shape_is_asked_for_less_and_the_attempt_says_so(serve, tier_at):
    schema = status(400, error={"message": "Invalid schema for response_format 'answer'", "param": "response_format"})
    server = serve(schema, schema, chat("{}"))
    deltas = list(tier_at(server).stream(call(shape=Shape("json", CLOSED))))
    sent = [request.json.get("response_format") for request in server.requests]
    assert [form and form["json_schema"]["strict"] for form in sent] == [True, False, None]
    assert [delta.constraint for delta in deltas if delta.constraint] == ["none"]
    assert "didn't take the shape" in notes_of(deltas)
    assert text_of(deltas) == "{}"


@pytest.mark.parametrize("price", [None, Price(1, 1)])
def test_a_server_that_fails_over_the_shape_is_asked_without_it_unless_that_may_cost_twice(serve, tier_at, price):
    server = serve(status(500), status(500), chat("{}"))
    stream = tier_at(server, price=price).stream(call(shape=Shape("json", CLOSED)))
    if price is None:
        assert text_of(list(stream)) == "{}"
    else:
        with pytest.raises(TierError):
            list(stream)
    assert len(server.requests) == (3 if price is None else 1)


def test_an_option_that_the_endpoint_refuses_is_left_out_once_and_for_all_and_said_each_time(serve, tier_at):
    server = serve(refused("temperature", "unsupported_value"), chat("a"), chat("b"))
    tier = tier_at(server)
    assert "temperature" in notes_of(list(tier.stream(call())))
    assert "temperature" in notes_of(list(tier.stream(call())))
    assert ["temperature" in request.json for request in server.requests] == [True, False, False]


def test_the_cap_is_sent_under_its_other_name_where_the_first_is_refused_and_never_left_out(serve, tier_at):
    server = serve(refused("max_tokens"), chat("a"))
    list(tier_at(server, price=Price(1, 1)).stream(call()))
    assert server.requests[1].json["max_completion_tokens"] == 2048
    stubborn = serve(refused("max_tokens"), refused("max_completion_tokens"), refused("max_tokens"))
    with pytest.raises(TierError):
        list(tier_at(stubborn, price=Price(1, 1)).stream(call()))
    assert len(stubborn.requests) == 2


def test_a_request_that_is_refused_for_what_cannot_be_left_out_is_not_repeated(serve, tier_at):
    server = serve(*[refused("messages", "invalid_value")] * 9)
    with pytest.raises(TierError, match=r"HTTP 400 \(invalid_value\)"):
        list(tier_at(server).stream(call()))
    assert len(server.requests) == 1


def test_what_chat_completions_cannot_say_is_unsupported(serve, tier_at):
    tier = tier_at(serve())
    with pytest.raises(Unsupported, match="picture"):
        list(tier.stream(Call((Message("user", "x"), Message("assistant", (Image(b"", "image/png"),))))))
    with pytest.raises(Unsupported, match="half a character"):
        list(tier.stream(call("\ud83d")))


def test_the_body_is_the_bytes_that_compose_gives(serve, tier_at):
    server = serve()
    tier = tier_at(server)
    asked = call("Größe 😀\n", max_tokens=5)
    list(tier.stream(asked))
    assert server.requests[0].body == compose(asked, tier._dialect, "none")
