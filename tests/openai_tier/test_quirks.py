"""Endpoints as they are: strict about the text, the end and the money, and about nothing else.

| kind | tests |
|---|---|
| 12: framing of events | `test_however_the_bytes_are_cut_...`, `test_a_last_event_...` |
| 12: missing, null and mistyped fields | `test_a_field_that_nothing_hangs_on_...`, `test_a_text_of_another_type_...` |
| 12: the end, and its word | `test_the_end_...`, `test_an_answer_that_the_endpoint_...`, `test_a_silent_end_...` |
| 12: JSON where a stream was asked for | `test_a_whole_completion_...`, `test_an_error_in_the_place_of_an_answer_...` |
| 12: compression | `test_compression.py` |
| 34: reasoning and no answer, 402 | `test_an_empty_answer_after_reasoning_...`, `test_no_credit_...` |
"""

from __future__ import annotations

import copy
import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.each import each
from helpers.thorough import times
from openai_tier.conftest import call, notes_of, text_of
from openai_tier.server import chat, events, piece, raw, status, usage, whole
from rung import Ladder, Price, Usage, Zone
from rung.errors import PromptTooLong, RateLimited, TierCrashed, TierError, TierUnavailable
from rung.tiers.openai.answer import StreamReader
from rung.tiers.openai.events import BodyReader

few = settings(max_examples=times(120), deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def read(*parts, candidates=1, cap=None):
    """The deltas that a body of these parts gives, as the tier reads it."""
    body, reader = BodyReader(), StreamReader(None, (), candidates, False, cap)
    deltas = []
    for part in parts:
        for value in body.feed(part):
            deltas += reader.read(value)
        if body.done:
            break
    for value in body.finish():
        deltas += reader.read(value, alone=body.streams is False)
    return [*deltas, *reader.end(done=body.done)]


def framed(values, dice):
    """The values as an event stream, with whatever the format allows around and between them."""
    end = dice.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    noise = [
        "",
        ": ping",
        f": a{end}: b",
        f"retry: 3000{end}",
        f"id: 7{end}",
        f"event: ping{end}data:{end}",
        "data: null",
    ]
    text = dice.draw(st.sampled_from(["", "\ufeff", f"{end}{end}", f": hello{end}{end}"]))
    for value in values:
        said = dice.draw(st.sampled_from(noise))
        text += f"{said}{end}{end}" if said else ""
        text += dice.draw(st.sampled_from(["", f"event: message{end}", f"id: 1{end}", f"x-unknown: 1{end}"]))
        field = dice.draw(st.sampled_from(["data: ", "data:"]))
        lines = json.dumps(value, ensure_ascii=False, indent=dice.draw(st.sampled_from([None, 1]))).split("\n")
        text += "".join(f"{field}{line}{end}" for line in (lines if value != "[DONE]" else ["[DONE]"])) + end
    return text.encode()


def cut(data, dice):
    places = sorted(dice.draw(st.lists(st.integers(0, len(data)), max_size=30)))
    return [data[a:b] for a, b in itertools.pairwise([0, *places, len(data)])]


@few
@given(st.data())
def test_however_the_bytes_are_cut_and_framed_the_answer_is_the_same(dice):
    texts = dice.draw(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=5))
    values = [*map(piece, texts), piece("ß\u2028€😀", finish="stop"), usage(), "[DONE]", piece("after the end")]
    deltas = read(*cut(framed(values, dice), dice))
    assert text_of(deltas) == "".join(texts) + "ß\u2028€😀"
    assert (deltas[-1].finish, deltas[-1].usage, deltas[-1].notes) == ("stop", Usage(7, 3), ())


def test_a_last_event_without_its_empty_line_and_events_without_any_are_read():
    lines = [f"data: {json.dumps(chunk)}" for chunk in (piece("a"), piece("b", finish="stop"))]
    for data in ("\n\n".join(lines), "\n".join([*lines, "data: [DONE]", "", ""])):
        assert text_of(read(data.encode())) == "ab"


def test_bytes_that_are_no_text_and_events_that_are_no_json_are_errors():
    for data in (b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n', b"data: {no\n\n"):
        with pytest.raises(ValueError):
            read(data)


OTHER = st.sampled_from([None, "", "x", 5, -1, 0.5, True, [], {}, ["x"], {"x": 1}, [None], [[]], [{}]])
FREE = [
    ("id",),
    ("object",),
    ("created",),
    ("model",),
    ("usage",),
    ("system_fingerprint",),
    ("service_tier",),
    ("choices", 0, "index"),
    ("choices", 0, "logprobs"),
    ("choices", 0, "delta", "role"),
    ("choices", 0, "delta", "tool_calls"),
    ("choices", 0, "delta", "function_call"),
    ("choices", 0, "delta", "reasoning_content"),
    ("choices", 0, "delta", "refusal"),
    ("choices", 0, "delta", "audio"),
]
FULL = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "served",
    "usage": None,
    "system_fingerprint": "f",
    "service_tier": None,
    "choices": [{"index": 0, "logprobs": None, "delta": {"role": "assistant", "content": "", "tool_calls": None}}],
}


def part(text, finish=None):
    chunk = copy.deepcopy(FULL)
    chunk["choices"][0]["delta"]["content"] = text
    chunk["choices"][0]["finish_reason"] = finish
    return chunk


@pytest.mark.slow
@few
@given(st.data())
def test_a_field_that_nothing_hangs_on_may_be_missing_null_or_of_another_type(dice):
    chunks = [part("Par"), part("is", "stop")]
    for chunk, path in itertools.product(chunks, FREE):
        change = dice.draw(st.sampled_from(["keep", "leave out", "change"]))
        *way, name = path
        table = chunk
        for step in way:
            table = table[step]
        if change == "leave out":
            table.pop(name, None)
        elif change == "change":
            value = dice.draw(OTHER)
            words = name in ("reasoning_content", "refusal") and value == "x"  # then it is what it should be
            # which of several answers a piece belongs to is not told by a number beyond them
            table[name] = None if words or (name == "index" and value == 5) else value
    odd = dice.draw(st.lists(st.sampled_from([{"choices": "x"}, {"choices": None}, {"choices": []}, {}, 5, [], "x"])))
    deltas = read(framed([*odd, *chunks, *odd, "[DONE]"], dice))
    assert (text_of(deltas), deltas[-1].finish) == ("Paris", "stop")


@each(
    "content",
    [
        [{"type": "text", "text": "Paris"}],
        ["Par", {"type": "text", "text": "is"}],
        {"type": "text", "text": "Paris"},
        [{"type": "output_text", "text": {"value": "Paris", "annotations": []}}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Paris"}],
        [{"type": "image_url", "image_url": {}}, None, {"type": "text", "text": "Paris"}],
    ],
)
def test_content_may_come_as_parts(content):
    assert text_of(read(framed_plainly(part(content, "stop")))) == "Paris"


def framed_plainly(*values):
    return b"".join(f"data: {json.dumps(value)}\n\n".encode() for value in values)


@each("content", [5, True, 0.5, [5], [{"type": "text", "text": 5}], {"type": "text", "text": [1]}])
def test_a_text_of_another_type_is_no_answer(content):
    with pytest.raises(TierError, match="a part of the answer is lost"):
        read(framed_plainly(part("whole"), part(content, "stop"), "[DONE]"))


@pytest.mark.parametrize("delta", ["whole", 5, ["whole"]])
def test_a_delta_that_is_no_object_is_no_answer(delta):
    with pytest.raises(TierError, match="a part of the answer is lost"):
        read(framed_plainly(part("half"), {"choices": [{"delta": delta, "finish_reason": "stop"}]}))


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("STOP", "stop"),
        ("end-turn", "stop"),
        ("stopSequence", "stop"),
        ("COMPLETE", "stop"),
        ("MAX_TOKENS", "length"),
        ("max_output_tokens", "length"),
        ("incomplete", "length"),
        ("SAFETY", "refusal"),
        ("sensitive", "refusal"),
        ("guardrail_intervened", "refusal"),
        ("fin", "stop"),
    ],
)
def test_the_end_is_told_by_the_word_and_the_word_stands_in_a_note(serve, tier_at, word, finish):
    server = serve(events(piece("Pa", finish=""), piece("ris", finish=None), piece(finish=word), usage()))
    deltas = list(tier_at(server).stream(call()))
    assert (text_of(deltas), deltas[-1].finish) == ("Paris", finish)
    assert repr(word) in notes_of(deltas)


@each("word", ["error", "abort", "cancelled", "network_error", "insufficient_system_resource"])
def test_an_answer_that_the_endpoint_gave_up_is_none(word):
    with pytest.raises(TierCrashed, match=word):
        read(framed_plainly(piece("half"), piece(finish=word), "[DONE]"))


@pytest.mark.parametrize("word", [None, "", "null"])
def test_a_silent_end_is_one_only_where_the_stream_says_that_it_is_over(word):
    chunks = [piece("Paris", finish=word), usage()]
    deltas = read(framed_plainly(*chunks, "[DONE]").replace(b'"[DONE]"', b"[DONE]"))
    assert (text_of(deltas), deltas[-1].finish) == ("Paris", "stop")
    assert "didn't say why" in notes_of(deltas)
    with pytest.raises(TierCrashed, match="broke off"):
        read(framed_plainly(*chunks))


def test_a_silent_end_at_the_cap_counts_as_cut_off():
    deltas = read(framed_plainly(piece("Par"), usage(7, 20), "[DONE]"), cap=20)
    assert deltas[-1].finish == "length"


COMPLETION = {
    "object": "chat.completion",
    "model": "served",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
}


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain", ""])
def test_a_whole_completion_is_read_where_a_stream_was_asked_for(serve, tier_at, kind):
    body = b"\xef\xbb\xbf \n" + json.dumps(COMPLETION, indent=2).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    tier = tier_at(serve(raw(head + body)), price=Price(1000, 4000), zone=Zone.INTERNET)
    outcome = Ladder(tier, reach=Zone.INTERNET).run("hi")
    assert (outcome.value, str(outcome.cost)) == ("Paris", "0.019")
    assert "in one piece" in outcome.attempts[0].notes[0]


def test_a_whole_completion_without_a_finish_reason_is_whole_and_one_that_is_cut_is_none():
    said = copy.deepcopy(COMPLETION)
    said["choices"][0].pop("finish_reason")
    assert read(json.dumps(said).encode())[-1].finish == "stop"
    with pytest.raises(ValueError):
        read(json.dumps(said).encode()[:-20])


def test_chunks_that_come_line_by_line_are_read():
    lines = "\n".join(json.dumps(chunk) for chunk in (piece("Par"), piece("is", finish="stop")))
    assert text_of(read(lines.encode())) == "Paris"


def test_pieces_that_are_sent_once_more_as_a_whole_count_once():
    again = {"choices": [{"index": 0, "message": {"content": "Paris"}, "finish_reason": "stop"}]}
    assert text_of(read(framed_plainly(piece("Par"), piece("is"), again))) == "Paris"


LONG = "maximum context length is 512 tokens. However, your messages resulted in 900 tokens."


@pytest.mark.parametrize(
    ("body", "error", "billed"),
    [
        ({"error": {"code": 429, "message": "slow down"}}, RateLimited, "no"),
        ({"error": {"code": "429", "message": "slow down"}}, RateLimited, "no"),
        ({"error": {"type": "rate_limit_error", "message": "slow down"}}, RateLimited, "no"),
        ({"error": {"status": "RESOURCE_EXHAUSTED", "message": "slow down"}}, RateLimited, "no"),
        ([{"error": {"code": 429, "message": "slow down"}}], RateLimited, "no"),
        ({"object": "error", "code": 401, "message": "who are you"}, TierUnavailable, "no"),
        ({"error": {"code": 503, "message": "later"}}, TierUnavailable, "no"),
        ({"error": {"code": 500, "message": "oh"}}, TierUnavailable, "maybe"),
        ({"error": {"code": "context_length_exceeded", "message": LONG}}, PromptTooLong, "no"),
        ({"error": "no idea"}, TierCrashed, "maybe"),
        ({"detail": "no idea"}, TierCrashed, "maybe"),
    ],
)
@pytest.mark.parametrize("as_event", [False, True])
def test_an_error_in_the_place_of_an_answer_keeps_its_own_code(serve, tier_at, body, error, billed, as_event):
    if as_event and (isinstance(body, list) or "detail" in body):
        return  # such an event says nothing of the answer
    server = serve(*[events(body, done=0) if as_event else whole(body)] * 3)
    with pytest.raises(TierError) as caught:
        list(tier_at(server, price=Price(1, 1), retries=0).stream(call()))
    assert (type(caught.value), caught.value.billed) == (error, billed)
    assert "slow down" not in str(caught.value)
    assert caught.value.said.text in (LONG, "slow down", "who are you", "later", "oh", "no idea")


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"retry-after": "7"}, {"code": 429}),
        ({}, {"code": 429, "retry_after": 7}),
        ({}, {"code": 429, "message": "Please try again in 7s"}),
    ],
)
def test_an_error_in_the_place_of_an_answer_keeps_its_wait(serve, tier_at, headers, error):
    body = json.dumps({"error": error}).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "content-length": len(body)}.items())
    reply = raw(f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{lines}\r\n".encode() + body)
    with pytest.raises(RateLimited) as caught:
        list(tier_at(serve(reply), retries=0).stream(call()))
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("data", ['{"message": "later", "type": "overloaded_error"}', "later", "{}"])
def test_an_event_that_is_called_error_is_one_whatever_it_holds(serve, tier_at, data):
    def reply(peer):
        peer.head()
        peer.chunk(f"event: error\ndata: {data}\n\n".encode())
        peer.end()

    with pytest.raises((TierUnavailable, TierCrashed)):
        list(tier_at(serve(reply), retries=0).stream(call()))
    with pytest.raises(TierCrashed, match="ended its answer with an error"):
        read(framed_plainly(piece("half")) + f"event: error\ndata: {data}\n\n".encode())


def test_an_error_after_the_first_words_is_one_that_broke_off(serve, tier_at):
    with pytest.raises(TierCrashed):
        list(tier_at(serve(events(piece("half"), {"error": {"code": 429}}))).stream(call()))


def test_an_empty_answer_after_reasoning_says_how_much_there_was(serve, tier_at):
    thought = piece(reasoning_content="hm, hm")
    counts = {"prompt_tokens": 7, "completion_tokens": 1234}
    details = {**counts, "completion_tokens_details": {"reasoning_tokens": 1200}}
    for reply, words in (
        (events(thought, piece(finish="stop"), {"choices": [], "usage": counts}), "1,234 tokens of reasoning"),
        (events(piece(finish="stop"), {"choices": [], "usage": details}), "1,200 tokens of reasoning"),
        (events(thought, piece(finish="stop")), "there was reasoning"),
    ):
        assert words in notes_of(list(tier_at(serve(reply)).stream(call())))
    assert "reasoning" not in notes_of(list(tier_at(serve(events(thought, chat_chunk()))).stream(call())))


def test_kept_tokens_are_counted_as_the_endpoint_reports_them(serve, tier_at):
    for kept, known in (
        ({"cached_tokens": 5}, 5),
        ({"cached_tokens": 50}, None),
        ({"cached_tokens": "x"}, None),
        (7, None),
    ):
        counts = {"prompt_tokens": 7, "completion_tokens": 1, "prompt_tokens_details": kept}
        reply = events(piece("42", finish="stop"), {"choices": [], "usage": counts})
        assert list(tier_at(serve(reply)).stream(call()))[-1].usage == Usage(7, 1, known)


def chat_chunk():
    return piece("42", finish="stop")


def test_no_credit_names_the_account(serve, tier_at):
    with pytest.raises(TierUnavailable, match="check the account's credit"):
        list(tier_at(serve(status(402))).stream(call()))


def test_a_good_stream_needs_no_remark(serve, tier_at):
    assert notes_of(list(tier_at(serve(chat("a", "b"))).stream(call()))) == ""
