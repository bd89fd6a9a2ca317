"""Responses over HTTP, asked by the official client: the six kinds of the Open Responses suite, and their bounds."""

from __future__ import annotations

import json

import openai
import pydantic
import pytest

import rung
from rung.serve.conversations import Conversations
from rung.serve.errors import ApiError
from rung.testing import Reply, ScriptedTier
from serve.support import TOKEN

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
CALLS = '{"tool_calls": [{"name": "weather", "arguments": {"place": "Oslo"}}]}'


class Invoice(pydantic.BaseModel):
    total: int


@pytest.fixture
def ask(serve):
    """The official client of a server on these tiers, and the server."""
    clients = []

    def start(*tiers, **settings):
        served = serve(*tiers, **settings)
        clients.append(openai.OpenAI(base_url=served.url, api_key=TOKEN, max_retries=0))
        return clients[-1], served

    yield start
    for client in clients:
        client.close()


def kinds(events):
    return [event.type.removeprefix("response.") for event in events]


@pytest.mark.slow
def test_basic_a_response_has_every_field_of_its_shape(ask):
    client, served = ask(ScriptedTier("small", *2 * [Reply("It is.", usage=rung.Usage(7, 2))]))
    found = client.responses.create(model="rung", input="Is water wet?")
    assert (found.status, found.output_text, found.object) == ("completed", "It is.", "response")
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.total_tokens) == (7, 2, 9)
    assert found.x_rung["tier"] == "small"
    body = served.request("POST", "/v1/responses", {"model": "rung", "input": "Is water wet?"}).json
    # what the suite's schema of a response demands, `null` included
    needed = (
        "id object created_at completed_at status incomplete_details model previous_response_id instructions output "
        "error tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty "
        "top_logprobs temperature reasoning usage max_output_tokens max_tool_calls store background service_tier "
        "metadata safety_identifier prompt_cache_key"
    )
    assert set(needed.split()) <= set(body)
    assert body["output"][0]["content"][0]["annotations"] == []


@pytest.mark.slow
def test_streaming_tells_every_step_in_order_and_ends_without_a_mark_of_its_own(ask):
    client, served = ask(ScriptedTier("small", "It is.", "It is."))
    with client.responses.stream(model="rung", input="Is water wet?") as stream:
        events = list(stream)
        final = stream.get_final_response()
    told = kinds(events)
    assert told[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert set(told[4:-4]) == {"output_text.delta"}
    assert told[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "It is."
    assert (final.status, final.output_text) == ("completed", "It is.")
    raw = served.request("POST", "/v1/responses", {"model": "rung", "input": "Is water wet?", "stream": True})
    assert all(name == data["type"] for name, data in raw.events)
    assert b"[DONE]" not in raw.body


@pytest.mark.slow
def test_system_instructions_come_first(ask):
    tier = ScriptedTier("small", "Aye.", "Aye.")
    client, _ = ask(tier)
    client.responses.create(model="rung", instructions="Be a pirate.", input="Is water wet?")
    talk = [{"role": "developer", "content": "Be a pirate."}, {"role": "user", "content": "Is water wet?"}]
    client.responses.create(model="rung", input=talk)
    for call in tier.calls:
        assert [(m.role, m.text) for m in call.messages] == [("system", "Be a pirate."), ("user", "Is water wet?")]


@pytest.mark.slow
def test_tools_are_called_with_arguments_that_fit_and_their_results_are_told(ask):
    tier = ScriptedTier("small", CALLS, '{"content": "It rains."}')
    client, _ = ask(tier)
    found = client.responses.create(model="rung", input="Does it rain in Oslo?", tools=[WEATHER])
    [call] = found.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "weather", {"place": "Oslo"})
    assert found.tools[0].name == "weather"
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    talk = [{"role": "user", "content": "Does it rain in Oslo?"}, call.model_dump(), result]
    assert client.responses.create(model="rung", input=talk, tools=[WEATHER]).output_text == "It rains."
    assert "Result of weather:\nrain" in tier.calls[1].messages[-1].text


@pytest.mark.slow
def test_several_turns_are_told_in_their_order(ask):
    tier = ScriptedTier("small", "Ada.")
    client, _ = ask(tier)
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "Hello, Ada."}]}
    talk = [{"role": "user", "content": "I am Ada."}, said, {"role": "user", "content": "Who am I?"}]
    assert client.responses.create(model="rung", input=talk).output_text == "Ada."
    assert [(m.role, m.text) for m in tier.calls[0].messages] == [
        ("user", "I am Ada."),
        ("assistant", "Hello, Ada."),
        ("user", "Who am I?"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_previous_id_goes_on_from_a_response_without_its_instructions(ask, stream):
    tier = ScriptedTier("small", "Hello, Ada.", "Ada.")
    client, _ = ask(tier)
    asked = {"model": "rung", "input": "I am Ada.", "instructions": "Be brief."}
    if stream:
        first = list(client.responses.create(**asked, stream=True))[-1].response
    else:
        first = client.responses.create(**asked)
    second = client.responses.create(model="rung", input="Who am I?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert [(m.role, m.text) for m in tier.calls[1].messages] == [
        ("user", "I am Ada."),
        ("assistant", "Hello, Ada."),
        ("user", "Who am I?"),
    ]


@pytest.mark.slow
def test_a_call_is_answered_by_its_id_alone_where_the_response_is_kept(ask):
    tier = ScriptedTier("small", CALLS, '{"content": "It rains."}')
    client, _ = ask(tier)
    first = client.responses.create(model="rung", input="Does it rain in Oslo?", tools=[WEATHER])
    result = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "rain"}
    client.responses.create(model="rung", input=[result], tools=[WEATHER], previous_response_id=first.id)
    assert [m.role for m in tier.calls[1].messages][-3:] == ["user", "assistant", "user"]
    assert "Result of weather:\nrain" in tier.calls[1].messages[-1].text


@pytest.mark.slow
def test_a_response_that_nobody_kept_is_an_error_of_its_own(ask):
    client, _ = ask(ScriptedTier("small", "It is."))
    unkept = client.responses.create(model="rung", input="Is water wet?", store=False)
    for name in ("resp_unknown", unkept.id):
        with pytest.raises(openai.NotFoundError) as caught:
            client.responses.create(model="rung", input="Who am I?", previous_response_id=name)
        assert caught.value.code == "previous_response_not_found"
        assert caught.value.param == "previous_response_id"


def test_conversations_are_bounded_and_each_callers_own():
    kept = Conversations(most=2, most_bytes=200)
    turns = [{"role": "user", "content": "Hi"}]
    for name in ("a", "b", "c"):
        kept.keep("ada", {"id": name}, turns)
    assert kept.continued("ada", "c") == tuple(turns)
    for caller, name in (("ada", "a"), ("bob", "c")):
        for asked in (kept.find, kept.continued, kept.forget):
            with pytest.raises(ApiError):
                asked(caller, name)
    kept.keep("ada", {"id": "d"}, [{"role": "user", "content": "x" * 150}])
    with pytest.raises(ApiError):
        kept.find("ada", "c")


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_a_response_that_is_kept_can_be_had_again_until_it_is_deleted(ask, stream):
    client, served = ask(ScriptedTier("small", "Hello, Ada.", "You are Ada.", "Bob."))
    if stream:
        first = list(client.responses.create(model="rung", input="I am Ada.", stream=True))[-1].response
    else:
        first = client.responses.create(model="rung", input="I am Ada.")
    second = client.responses.create(model="rung", input="Who am I?", previous_response_id=first.id)
    assert client.responses.retrieve(first.id) == first
    answer = served.request("DELETE", f"/v1/responses/{first.id}")
    assert (answer.status, answer.json) == (200, {"id": first.id, "object": "response", "deleted": True})
    for gone in (client.responses.retrieve, client.responses.delete):
        with pytest.raises(openai.NotFoundError) as caught:
            gone(first.id)
        assert caught.value.code == "response_not_found"
    # what goes on from it has a conversation of its own
    assert client.responses.create(model="rung", input="And I?", previous_response_id=second.id).output_text == "Bob."


@pytest.mark.slow
def test_a_kept_response_is_not_streamed_and_takes_no_other_method(ask):
    client, served = ask(ScriptedTier("small", "Hello."))
    path = f"/v1/responses/{client.responses.create(model='rung', input='Hi').id}"
    streamed, posted = served.get(f"{path}?stream=true"), served.request("POST", path, {})
    assert (streamed.status, streamed.error["param"]) == (400, "stream")
    assert (posted.status, set(posted.headers["allow"].split(", "))) == (405, {"GET", "HEAD", "DELETE"})


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_a_format_is_a_contract_on_every_tier(ask, stream):
    client, _ = ask(ScriptedTier("small", "no idea", "none"), ScriptedTier("mid", '{"total": 3}'))
    if stream:
        with client.responses.stream(model="rung", input="Total?", text_format=Invoice) as stream:
            found = stream.get_final_response()
    else:
        found = client.responses.parse(model="rung", input="Total?", text_format=Invoice)
    assert found.output_parsed == Invoice(total=3)
    assert [a["verdict"] for a in found.x_rung["attempts"]] == ["repair", "escalate", "accept"]


@pytest.mark.slow
def test_a_streamed_call_tells_its_arguments(ask):
    client, _ = ask(ScriptedTier("small", CALLS))
    events = list(client.responses.create(model="rung", input="Oslo?", tools=[WEATHER], stream=True))
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert json.loads(events[4].arguments) == {"place": "Oslo"}
    assert events[5].item.call_id == events[-1].response.output[0].call_id


@pytest.mark.slow
def test_the_cap_of_a_client_makes_a_response_incomplete(ask):
    tier = ScriptedTier("small", *2 * [Reply("It is a long", finish="length")])
    client, _ = ask(tier)
    found = client.responses.create(model="rung", input="Is water wet?", max_output_tokens=4)
    events = list(client.responses.create(model="rung", input="Is water wet?", max_output_tokens=4, stream=True))
    assert events[-1].type == "response.incomplete"
    for it in (found, events[-1].response):
        assert (it.status, it.incomplete_details.reason) == ("incomplete", "max_output_tokens")
        assert (it.output_text, it.output[0].status) == ("It is a long", "incomplete")


@pytest.mark.slow
def test_without_an_answer_a_stream_ends_as_failed(ask):
    client, served = ask(ScriptedTier("small", *4 * ["no idea"]))
    shape = {"format": {"type": "json_schema", "name": "invoice", "schema": Invoice.model_json_schema()}}
    events = list(client.responses.create(model="rung", input="Total?", text=shape, stream=True))
    assert kinds(events) == ["created", "in_progress", "failed"]
    assert events[-1].response.status == "failed"
    assert "small" in events[-1].response.error.message
    answer = served.request("POST", "/v1/responses", {"model": "rung", "input": "Total?", "text": shape})
    assert (answer.status, answer.error["type"]) == (422, "unresolved")


@pytest.mark.slow
def test_what_was_sent_of_an_answer_that_fails_is_closed_and_no_other_tier_follows(ask):
    failing = ScriptedTier("small", Reply("It is a " + "la " * 200))
    other = ScriptedTier("mid", "It is.")
    client, _ = ask(failing, other)
    events = list(client.responses.create(model="rung", input="Is water wet?", stream=True))
    assert kinds(events)[-4:] == ["output_text.done", "content_part.done", "output_item.done", "failed"]
    assert events[-2].item.status == "incomplete"
    assert other.calls == []


@pytest.mark.slow
def test_drafts_are_events_of_their_own(ask):
    _, served = ask(ScriptedTier("small", "no idea", "none"), ScriptedTier("mid", '{"total": 3}'))
    shape = {"format": {"type": "json_schema", "name": "invoice", "schema": Invoice.model_json_schema()}}
    fields = {"model": "rung", "input": "Total?", "text": shape, "stream": True, "x_rung": {"drafts": True}}
    events = served.request("POST", "/v1/responses", fields).events
    drafts = [name for name, _ in events if name.startswith("x_rung.")]
    assert {"x_rung.draft", "x_rung.withdrawn", "x_rung.accepted"} == set(drafts)
    assert not any("no idea" in json.dumps(data) for name, data in events if name.startswith("response."))


@pytest.mark.slow
def test_thoughts_are_an_item_of_their_own_before_the_answer(ask):
    client, _ = ask(ScriptedTier("small", *2 * ["<think>Rain is wet.</think>It is."]))
    whole = client.responses.create(model="rung", input="Is water wet?")
    events = list(client.responses.create(model="rung", input="Is water wet?", stream=True))
    for found in (whole, events[-1].response):
        assert [item.type for item in found.output] == ["reasoning", "message"]
        assert (found.output[0].content[0].text.strip(), found.output_text) == ("Rain is wet.", "It is.")
    done = [event.item.type for event in events if event.type == "response.output_item.done"]
    assert done == ["reasoning", "message"]


@pytest.mark.slow
def test_tools_and_items_of_unknown_kinds_are_skipped_and_that_is_said(ask):
    tier = ScriptedTier("small", '{"content": "It is."}', "It is.")
    client, _ = ask(tier)
    tools = [{"type": "web_search"}, {"type": "custom", "name": "shell"}, WEATHER]
    searched = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    talk = [{"role": "user", "content": "Is water wet?"}, searched]
    found = client.responses.create(model="rung", input=talk, tools=tools)
    assert found.output_text == "It is."
    assert sum("skipped" in note for note in found.x_rung["notes"]) >= 2
    assert client.responses.create(model="rung", input="Wet?", tools=tools[:1]).output_text == "It is."


@pytest.mark.slow
def test_only_allowed_tools_can_be_called(ask):
    tier = ScriptedTier("small", CALLS)
    client, _ = ask(tier)
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]}
    tools = [WEATHER, {**WEATHER, "name": "news"}]
    client.responses.create(model="rung", input="Oslo?", tools=tools, tool_choice=choice)
    shape = json.dumps(tier.calls[0].shape.schema)
    assert '"weather"' in shape
    assert '"news"' not in shape


@pytest.mark.slow
def test_log_probabilities_come_where_they_are_asked_for(ask):
    client, _ = ask(ScriptedTier("small", Reply("It is.", logprob=-0.5)))
    found = client.responses.create(model="rung", input="Wet?", include=["message.output_text.logprobs"])
    assert [(t.token, t.logprob) for t in found.output[0].content[0].logprobs] == [("It", -0.5), (" is.", -0.5)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [{"type": "message", "content": "Hi"}]}, "input"),
        ({"input": [{"type": "function_call_output", "output": "rain"}]}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"tools": [{**WEATHER, "name": "\x1b[2J"}]}, "tools.0.function.name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "news"}}, "tool_choice"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_logprobs": 2}, "top_logprobs"),
    ],
)
def test_a_wrong_field_is_called_as_this_api_calls_it(ask, fields, param):
    _, served = ask(ScriptedTier("small", "It is."))
    answer = served.request("POST", "/v1/responses", {"model": "rung", "input": "Wet?", **fields})
    assert (answer.status, answer.error["param"]) == (400, param)


@pytest.mark.weights
def test_a_real_model_answers_calls_and_goes_on(ask, weights):
    client, _ = ask(rung.llama(str(weights("smollm2-135m")), name="small"))
    first = client.responses.create(model="rung", input="Say hello.", max_output_tokens=24)
    assert first.output_text
    assert first.usage.output_tokens <= 24
    events = list(
        client.responses.create(
            model="rung", input="And again.", previous_response_id=first.id, max_output_tokens=24, stream=True
        )
    )
    assert events[-1].type in ("response.completed", "response.incomplete")
    told = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert told == events[-1].response.output_text
    assert events[-1].response.usage.input_tokens > first.usage.input_tokens
    called = client.responses.create(
        model="rung", input="What is the weather in Oslo?", tools=[WEATHER], tool_choice="required"
    )
    assert {item.name for item in called.output} == {"weather"}
    assert all(isinstance(json.loads(item.arguments)["place"], str) for item in called.output)
    assert isinstance(client.responses.parse(model="rung", input="Total?", text_format=Invoice).output_parsed, Invoice)
