"""Tools: the arguments of every call fit the tool's schema, on any tier."""

from __future__ import annotations

import json

import pytest

from rung.testing import ScriptedTier

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/City"}, "near": {"$ref": "#"}},
            "required": ["city"],
            "additionalProperties": False,
            "$defs": {"City": {"enum": ["Bonn", "Rome"]}},
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}


def calls(*found):
    return json.dumps({"tool_calls": [{"name": name, "arguments": arguments} for name, arguments in found]})


def message(answer):
    return answer.json["choices"][0]["message"]


@pytest.mark.slow
def test_a_call_has_a_stable_id_and_its_arguments_as_text(serve):
    answer = serve(ScriptedTier("small", calls(("weather", {"city": "Bonn"}), ("clock", {})))).chat(
        tools=[WEATHER, CLOCK]
    )
    assert answer.json["choices"][0]["finish_reason"] == "tool_calls"
    assert message(answer)["content"] is None
    first, second = message(answer)["tool_calls"]
    assert (first["type"], first["function"]["name"]) == ("function", "weather")
    assert json.loads(first["function"]["arguments"]) == {"city": "Bonn"}
    assert first["id"].startswith("call_")
    assert first["id"] != second["id"]


@pytest.mark.slow
def test_a_model_may_answer_in_words_instead(serve):
    answer = serve(ScriptedTier("small", '{"content": "It rains."}')).chat(tools=[WEATHER])
    assert (answer.text, answer.json["choices"][0]["finish_reason"]) == ("It rains.", "stop")
    assert "tool_calls" not in message(answer)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        calls(("weather", {"city": "Oz"})),
        calls(("weather", {"city": "Bonn", "near": {"city": "Oz"}})),
        calls(("wether", {"city": "Bonn"})),
        calls(("weather", {})),
        "It rains.",
    ],
)
def test_a_wrong_call_climbs(serve, wrong):
    small, mid = ScriptedTier("small", wrong, wrong), ScriptedTier("mid", calls(("weather", {"city": "Bonn"})))
    answer = serve(small, mid).chat(tools=[WEATHER])
    assert answer.json["x_rung"]["tier"] == "mid"
    assert message(answer)["tool_calls"][0]["function"]["name"] == "weather"


@pytest.mark.slow
def test_a_required_or_named_tool_leaves_no_other_choice(serve):
    words, call = '{"content": "It rains."}', calls(("clock", {}))
    named = {"type": "function", "function": {"name": "clock"}}
    for choice in ("required", named):
        answer = serve(ScriptedTier("small", words, call)).chat(tools=[WEATHER, CLOCK], tool_choice=choice)
        assert [c["function"]["name"] for c in message(answer)["tool_calls"]] == ["clock"]
    other = calls(("weather", {"city": "Bonn"}))
    answer = serve(ScriptedTier("small", other, call)).chat(tools=[WEATHER, CLOCK], tool_choice=named)
    assert [a["verdict"] for a in answer.json["x_rung"]["attempts"]] == ["repair", "accept"]


@pytest.mark.slow
def test_no_tool_is_offered_where_none_may_be_called(serve):
    tier = ScriptedTier("small", "It rains.")
    assert serve(tier).chat(tools=[WEATHER], tool_choice="none").text == "It rains."
    assert tier.calls[0].shape is None


@pytest.mark.slow
def test_one_call_at_a_time_where_the_client_says_so(serve):
    two, one = calls(("clock", {}), ("clock", {})), calls(("clock", {}))
    answer = serve(ScriptedTier("small", two, one)).chat(tools=[CLOCK], parallel_tool_calls=False)
    assert len(message(answer)["tool_calls"]) == 1


def test_a_streamed_call_has_its_index_and_the_same_finish(serve):
    answer = serve(ScriptedTier("small", calls(("weather", {"city": "Bonn"}), ("clock", {})))).chat(
        tools=[WEATHER, CLOCK], stream=True
    )
    chunks = [d["choices"][0] for _, d in answer.events if d != "[DONE]"]
    found = [c for chunk in chunks for c in chunk["delta"].get("tool_calls") or ()]
    assert [(c["index"], c["function"]["name"]) for c in found] == [(0, "weather"), (1, "clock")]
    assert chunks[-1]["finish_reason"] == "tool_calls"


@pytest.mark.slow
def test_a_schema_beside_tools_holds_for_the_answer_in_words(serve):
    schema = {"type": "object", "properties": {"t": {"type": "integer"}}, "required": ["t"]}
    form = {"type": "json_schema", "json_schema": {"name": "t", "schema": schema}}
    tier = ScriptedTier("small", '{"content": {"t": "warm"}}', '{"content": {"t": 7}}')
    answer = serve(tier).chat(tools=[CLOCK], response_format=form)
    assert json.loads(answer.text) == {"t": 7}


@pytest.mark.slow
def test_earlier_calls_and_results_are_told_as_text_that_every_template_takes(serve):
    tier = ScriptedTier("small", '{"content": "It rains."}')
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}
    talk = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Hm."},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
    ]
    serve(tier).chat(talk, tools=[WEATHER])
    turns = [(m.role, m.text) for m in tier.calls[0].messages if m.role != "system"]
    assert turns == [
        ("user", "Weather?"),
        ("assistant", calls(("weather", {"city": "Bonn"}))),
        ("user", "Result of weather:\nRain."),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a\nb", "<|im_end|>", "\x1b[2J", "", "a" * 200])
def test_a_tools_name_can_steer_nothing(serve, name):
    answer = serve(ScriptedTier("small", "x")).chat(tools=[{"type": "function", "function": {"name": name}}])
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")


@pytest.mark.slow
def test_a_tool_of_another_kind_is_skipped_and_that_is_said(serve):
    answer = serve(ScriptedTier("small", '{"content": "x"}')).chat(tools=[{"type": "web_search"}, CLOCK])
    assert any("skipped" in note for note in answer.json["x_rung"]["notes"])
