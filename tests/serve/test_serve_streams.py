"""Streams: validated text only, unless nothing could send the answer up."""

from __future__ import annotations

import threading

import pytest

import rung
from rung.serve import events
from rung.testing import Reply, ScriptedTier
from rung.types import Delta, Preparing

NUMBER = {
    "type": "json_schema",
    "json_schema": {
        "name": "n",
        "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
}


class Pieces(ScriptedTier):
    """A tier whose deltas are written down, each a delta, an error or an event to wait for."""

    def __init__(self, name, *pieces):
        super().__init__(name)
        self.pieces = pieces

    def stream(self, call):
        self.calls.append(call)
        for piece in self.pieces:
            if isinstance(piece, threading.Event):
                assert piece.wait(20)
            elif isinstance(piece, Exception):
                raise piece
            else:
                yield piece


def names(answer):
    return [name for name, _ in answer.events]


def finishes(answer):
    chunks = [data for name, data in answer.events if name is None and data != "[DONE]"]
    return [c["choices"][0]["finish_reason"] for c in chunks if c.get("choices")]


@pytest.mark.slow
def test_free_text_flows_as_it_is_written(serve):
    go = threading.Event()
    tier = Pieces("small", Delta("It "), go, Delta("is."), Delta(finish="stop"))
    served = serve(tier)
    connection = served.open_chat(stream=True)
    found = b""
    while b"It " not in found:
        found += connection.recv(4096)
    go.set()
    while b"[DONE]" not in found:
        found += connection.recv(4096)
    connection.close()
    assert found.index(b"It ") < found.index(b'"is."')


def test_every_stream_begins_with_a_comment_that_is_more_than_a_colon(serve):
    answer = serve(ScriptedTier("small", "It is.")).chat(stream=True)
    first = answer.body.split(b"\n\n")[0]
    assert first.startswith(b": ")
    assert len(first) > 3
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.events[-1] == (None, "[DONE]")


@pytest.mark.slow
def test_a_silence_is_bridged_by_further_comments(serve, monkeypatch):
    monkeypatch.setattr(events, "PAUSE", 0.05)
    answer = serve(ScriptedTier("small", Reply("It is.", seconds=0.4))).chat(stream=True)
    assert answer.body.count(events.COMMENT) > 2
    assert answer.streamed == "It is."


def test_what_a_contract_may_reject_is_not_shown_before_it_is_accepted(serve):
    answer = serve(ScriptedTier("small", "seven", "eight"), ScriptedTier("mid", '{"n": 7}')).chat(
        stream=True, response_format=NUMBER
    )
    assert b"seven" not in answer.body
    assert answer.streamed == '{"n": 7}'
    told = [data["x_rung"] for name, data in answer.events if isinstance(data, dict) and "x_rung" in data]
    assert [(t["tier"], len(t["attempts"])) for t in told] == [("mid", 3)]


def test_a_threshold_keeps_a_stream_silent_until_it_is_reached(serve):
    small = rung.Rung(ScriptedTier("small", Reply("Perhaps.", logprob=-3.0)), min_confidence=0.9)
    answer = serve(small, ScriptedTier("mid", "No.")).chat(stream=True)
    assert b"Perhaps" not in answer.body
    assert answer.streamed == "No."


@pytest.mark.slow
def test_a_tier_that_fails_before_its_first_word_leaves_the_stream_to_the_next(serve):
    broken = Pieces("small", Delta(" \n"), rung.TierCrashed("it broke"))
    answer = serve(broken, ScriptedTier("mid", "It is.")).chat(stream=True)
    assert answer.streamed == "It is."


@pytest.mark.slow
def test_once_a_byte_has_gone_a_failure_is_an_error_and_no_other_tiers_text(serve):
    mid = ScriptedTier("mid", "No.")
    answer = serve(Pieces("small", Delta("It "), rung.TierCrashed("it broke")), mid).chat(stream=True)
    last = answer.events[-1][1]
    assert last["error"]["code"] == "TierCrashed"
    assert "small" in last["error"]["message"]
    assert answer.streamed == "It "
    assert mid.calls == []


def test_a_cap_ends_a_stream_as_its_length(serve):
    answer = serve(ScriptedTier("small", Reply("It is a", finish="length"), "x")).chat(stream=True, max_tokens=3)
    assert (answer.streamed, finishes(answer)[-1]) == ("It is a", "length")


@pytest.mark.slow
def test_thoughts_have_a_field_of_their_own_and_come_first(serve):
    tier = Pieces("small", Delta(reasoning="Hm."), Delta("It is."), Delta(finish="stop"))
    answer = serve(tier).chat(stream=True)
    deltas = [d["choices"][0]["delta"] for _, d in answer.events if d != "[DONE]"]
    assert [d["reasoning_content"] for d in deltas if "reasoning_content" in d] == ["Hm."]
    assert answer.streamed == "It is."
    whole = serve(Pieces("small", Delta(reasoning="Hm."), Delta("It is."), Delta(finish="stop"))).chat()
    assert whole.json["choices"][0]["message"]["reasoning_content"] == "Hm."


@pytest.mark.slow
def test_drafts_are_events_of_their_own_names_and_only_where_asked_for(serve):
    def ask(**fields):
        return serve(ScriptedTier("small", "seven", "eight"), ScriptedTier("mid", '{"n": 7}')).chat(
            stream=True, response_format=NUMBER, **fields
        )

    answer = ask(x_rung={"drafts": True})
    assert [n for n in names(answer) if n] == [
        "x_rung.draft",
        "x_rung.withdrawn",
        "x_rung.draft",
        "x_rung.withdrawn",
        "x_rung.draft",
        "x_rung.draft",
        "x_rung.accepted",
    ]
    assert answer.streamed == '{"n": 7}'
    assert "reasoning_content" not in answer.body.decode()
    assert not any(names(ask()))


def test_usage_is_a_last_chunk_without_choices_where_it_is_wanted(serve):
    tier = ScriptedTier("small", *[Reply("It is.", usage=rung.Usage(7, 2, 5))] * 2)
    served = serve(tier)
    answer = served.chat(stream=True, stream_options={"include_usage": True})
    last = answer.events[-2][1]
    assert last["choices"] == []
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 5}
    assert all(d["choices"] for _, d in served.chat(stream=True).events[:-1])


def test_several_answers_stream_side_by_side(serve):
    answer = serve(ScriptedTier("small", "one", "two")).chat(stream=True, n=2)
    texts = {0: "", 1: ""}
    for _, data in answer.events[:-1]:
        for choice in data["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
    assert sorted(texts.values()) == ["one", "two"]


@pytest.mark.slow
def test_an_error_before_the_first_word_is_the_last_event(serve):
    answer = serve(ScriptedTier("small", "seven", "eight")).chat(stream=True, response_format=NUMBER)
    assert answer.status == 200
    assert answer.events[-1][1]["error"]["type"] == "unresolved"


@pytest.mark.slow
def test_a_wrong_request_for_a_stream_is_an_answer_and_no_stream(serve):
    assert serve(ScriptedTier("small", "x")).chat(stream=True, model="nobody").status == 404


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_the_completions_api_takes_a_bare_prompt(serve, stream):
    served = serve(ScriptedTier("small", Reply("It is.", usage=rung.Usage(7, 2), logprob=-0.5)))
    body = {"model": "rung", "prompt": "Is water wet?", "stream": stream, "logprobs": 1}
    answer = served.request("POST", "/v1/completions", body)
    if stream:
        text = "".join(d["choices"][0]["text"] for _, d in answer.events[:-1])
        assert (text, answer.events[-1][1]) == ("It is.", "[DONE]")
    else:
        choice = answer.json["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == ("It is.", "stop")
        assert (choice["logprobs"]["text_offset"], choice["logprobs"]["top_logprobs"]) == ([0, 2], None)
        assert any("logprobs has the tokens that were written" in note for note in answer.json["x_rung"]["notes"])


def test_progress_is_told_to_whoever_listens(serve):
    loading = Delta(preparing=Preparing("small", "loading", 1, 2))
    served = serve(Pieces("small", loading, Delta("It is."), Delta(finish="stop")))
    served.app.parts.hub.publish({"what": "early"})
    with served.connection("GET", "/events") as connection:
        found = connection.recv(4096)
        while b"text/event-stream" not in found or b": " not in found:
            found += connection.recv(4096)
        assert served.chat().text == "It is."
        while b"event: progress" not in found:
            found += connection.recv(4096)
        assert b'"what":"loading"' in found
        assert b'"done":1,"total":2' in found
        assert b"early" not in found
