"""Chat completions over HTTP: what is asked of the ladder, and what comes back."""

from __future__ import annotations

import threading
import time

import pytest

import rung
from rung.testing import QuotingTier, Reply, ScriptedTier
from rung.types import Task

INVOICE = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}


def schema(of):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": of, "strict": True}}


@pytest.mark.slow
def test_an_answer_is_a_chat_completion_and_says_its_way(serve):
    answer = serve(ScriptedTier("small", Reply("It is.", usage=rung.Usage(7, 2)))).chat()
    assert answer.status == 200
    assert answer.text == "It is."
    assert answer.json["object"] == "chat.completion"
    assert answer.json["choices"][0]["finish_reason"] == "stop"
    assert answer.json["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    told = answer.json["x_rung"]
    assert (told["status"], told["tier"], told["left_machine"]) == ("accepted", "small", False)
    assert [(a["tier"], a["reason"]) for a in told["attempts"]] == [("small", "valid")]
    assert answer.headers["x-rung-tier"] == "small"
    assert answer.headers["x-rung-attempts"] == "small=valid"
    assert answer.headers["x-rung-left-machine"] == "false"


def test_tokens_that_nobody_counted_are_not_made_up(serve):
    assert serve(ScriptedTier("small", "It is.")).chat().json["usage"] is None


def test_a_schema_that_an_answer_misses_sends_it_up(serve):
    small, mid = ScriptedTier("small", "no idea", "still none"), ScriptedTier("mid", '{"total": 3}')
    answer = serve(small, mid).chat(response_format=schema(INVOICE))
    assert answer.text == '{"total": 3}'
    assert [a["verdict"] for a in answer.json["x_rung"]["attempts"]] == ["repair", "escalate", "accept"]
    assert small.calls[0].shape.schema["properties"] == INVOICE["properties"]


@pytest.mark.slow
def test_what_stands_around_json_is_not_part_of_the_answer(serve):
    answer = serve(ScriptedTier("small", 'Here:\n```json\n{"total": 3}\n```')).chat(response_format=schema(INVOICE))
    assert answer.text == '{"total": 3}'


@pytest.mark.slow
def test_without_an_accepted_answer_there_is_an_error_that_clients_do_not_repeat(serve):
    answer = serve(ScriptedTier("small", "x", "y")).chat(response_format=schema(INVOICE))
    assert answer.status == 422
    assert answer.error["type"] == "unresolved"
    assert "small" in answer.error["message"]
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.slow
def test_the_settings_of_a_request_reach_the_tier(serve):
    tier = ScriptedTier("small", "It is.")
    talk = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    ]
    served = serve(tier)
    served.chat(talk, temperature=0.5, top_p=0.9, seed=7, stop=["\n"], max_completion_tokens=20)
    call = tier.calls[0]
    assert call.sampling == rung.Sampling(0.5, 0.9, seed=7, stop=("\n",))
    assert call.max_tokens == 20
    assert [(m.role, m.text) for m in call.messages] == [("system", "Be brief."), ("user", "Hi")]


@pytest.mark.slow
def test_a_cap_of_the_client_is_never_raised(serve):
    tier = ScriptedTier("small", Reply("It is a long", finish="length"), "a longer answer")
    answer = serve(tier, ScriptedTier("mid", "another")).chat(max_tokens=4)
    assert answer.json["choices"][0]["finish_reason"] == "length"
    assert answer.text == "It is a long"
    assert answer.json["x_rung"]["status"] == "unresolved"
    assert len(tier.calls) == 1


@pytest.mark.slow
def test_half_of_an_object_is_not_given(serve):
    answer = serve(ScriptedTier("small", Reply('{"total": 3', finish="length"))).chat(
        response_format=schema(INVOICE), max_tokens=4
    )
    assert (answer.json["choices"][0]["finish_reason"], answer.text) == ("length", "")


@pytest.mark.slow
def test_several_answers_are_climbs_of_their_own_with_seeds_of_their_own(serve):
    tier = ScriptedTier("small", "one", "two", "three")
    answer = serve(tier).chat(n=3, seed=5)
    assert sorted(c["message"]["content"] for c in answer.json["choices"]) == ["one", "three", "two"]
    assert sorted(call.sampling.seed for call in tier.calls) == [5, 6, 7]


@pytest.mark.slow
def test_log_probabilities_are_those_of_the_answer(serve):
    choice = serve(ScriptedTier("small", Reply("It is.", logprob=-0.5))).chat(logprobs=True).json["choices"][0]
    assert [(t["token"], t["logprob"]) for t in choice["logprobs"]["content"]] == [("It", -0.5), (" is.", -0.5)]


@pytest.mark.slow
def test_a_field_without_effect_is_named_in_the_notes(serve):
    answer = serve(ScriptedTier("small", "It is.")).chat(logit_bias={"50256": -100}, brand_new=1)
    assert any("logit_bias" in note for note in answer.json["x_rung"]["notes"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"n": 0}, "n"),
        ({"messages": []}, "messages"),
        ({"logprobs": True, "top_logprobs": 2}, "top_logprobs"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"x_rung": {"reach": "moon"}}, "x_rung.reach"),
        ({"x_rung": {"unknown": 1}}, "x_rung.unknown"),
    ],
)
def test_a_wrong_field_is_named(serve, fields, param):
    answer = serve(ScriptedTier("small", "It is.")).chat(**fields)
    assert (answer.status, answer.error["param"]) == (400, param)


def test_a_schema_that_is_none_is_the_clients_error(serve):
    answer = serve(ScriptedTier("small", "x")).chat(response_format=schema({"type": "objct"}))
    assert answer.status == 400


def test_models_are_the_ladder_its_tiers_and_its_tasks(serve):
    small, mid = ScriptedTier("small"), ScriptedTier("mid", "from mid")
    served = serve(small, mid, task_names=lambda: ("invoice",))
    assert [m["id"] for m in served.get("/v1/models").json["data"]] == [
        "rung",
        "rung/small",
        "rung/mid",
        "rung/task/invoice",
    ]
    assert served.get("/v1/models/rung/mid").json["x_rung"]["zone"] == "host"
    assert served.chat(model="rung/mid").text == "from mid"
    assert small.calls == []


def test_an_unknown_model_is_an_error_that_says_what_there_is(serve):
    answer = serve(ScriptedTier("small", "x")).chat(model="gpt-4o")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert "rung/small" in answer.error["message"]


@pytest.mark.slow
def test_an_unknown_endpoint_says_what_there_is(serve):
    served = serve(ScriptedTier("small"))
    answer = served.get("/v1/embeddings")
    assert (answer.status, answer.error["code"]) == (404, "unknown_url")
    assert "/v1/chat/completions" in answer.error["message"]
    assert served.get("/v1/chat/completions").status == 405


def test_a_request_tightens_the_reach_and_never_widens_it(serve):
    far = QuotingTier("far", "from afar", "again", zone=rung.Zone.LAN)
    served = serve(far, reach=rung.Zone.LAN)
    assert served.chat(x_rung={"reach": "host"}).error["code"] == "beyond_reach"
    answer = served.chat(x_rung={"reach": "internet"})
    assert answer.json["x_rung"]["left_machine"] is True
    assert any("reach stays lan" in note for note in answer.json["x_rung"]["notes"])


@pytest.mark.slow
def test_a_request_lowers_the_budget_and_never_raises_it(serve):
    paid = QuotingTier("paid", "dear", "dear", zone=rung.Zone.INTERNET, price=rung.Price(10, 40))
    served = serve(paid, reach=rung.Zone.INTERNET, budget=rung.Budget(money="1"))
    assert served.chat(x_rung={"budget": {"money": 0}}).error["code"] == "over_budget"
    answer = served.chat(x_rung={"budget": {"money": 50}})
    assert any("budget.money stays 1" in note for note in answer.json["x_rung"]["notes"])


@pytest.mark.slow
def test_lines_that_change_with_each_request_are_removed_and_that_is_said(serve):
    tier = ScriptedTier("small", "It is.")
    served = serve(tier, limits={"drop_system_lines": ("x-session:",)})
    talk = [{"role": "system", "content": "x-session: 123\nBe brief."}, {"role": "user", "content": "Hi"}]
    answer = served.chat(talk)
    assert tier.calls[0].messages[0].text == "Be brief."
    assert any("drop_system_lines" in note for note in answer.json["x_rung"]["notes"])


@pytest.mark.slow
def test_a_client_that_leaves_cancels_its_work_at_once(serve):
    seen = threading.Event()
    left = []

    def slow(call):
        seen.set()
        call.cancel.wait(20)
        left.append(time.monotonic())
        return "too late"

    for stream in (False, True):
        seen.clear()
        served = serve(ScriptedTier("small", slow))
        connection = served.open_chat(stream=stream)
        assert seen.wait(10)
        closed = time.monotonic()
        connection.close()
        for _ in range(400):
            if left:
                break
            time.sleep(0.01)
        assert left, "the work went on"
        assert left.pop() - closed < 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"reasoning_effort": "low"}, "low"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "none"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, "medium"),
    ],
)
def test_how_much_to_think_reaches_the_tier(serve, fields, effort):
    tier = ScriptedTier("small", "It is.")
    serve(tier).chat(**fields)
    assert tier.calls[0].sampling.effort == effort


def reply_task(name):
    """A task with a template of two fields and a contract."""
    if name != "reply":
        return None

    def fill(fields):
        return [rung.Message("user", f"Answer {fields['mail']} in a {fields['tone']} tone.")]

    return Task("reply", ["yes", "no"], fields=("mail", "tone"), fill=fill)


def test_a_task_brings_its_prompt_and_its_contract(serve):
    tier = ScriptedTier("small", "perhaps", "yes")
    served = serve(tier, tasks=reply_task, task_names=lambda: ("reply",))
    answer = served.chat(model="rung/task/reply", x_rung={"fields": {"mail": "it", "tone": "kind"}})
    assert answer.text == "yes"
    assert tier.calls[0].messages[-1].text == "Answer it in a kind tone."
    assert served.chat(model="rung/task/reply", x_rung={"task": "other"}).status == 400
    assert served.chat(model="rung/task/reply").error["code"] == "invalid_value"  # its template has two fields
