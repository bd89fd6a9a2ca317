"""What comes back."""

import json

import pytest

from openai_tier.conftest import call, notes_of, text_of
from openai_tier.server import chat, cut, events, flood, piece, raw, usage
from rung.errors import TierCrashed, TierError
from rung.types import Usage


def test_text_comes_in_pieces_and_the_last_delta_says_how_it_ended(serve, tier_at):
    deltas = list(tier_at(serve(chat("Hel", "lo"))).stream(call()))
    assert text_of(deltas) == "Hello"
    assert [delta.finish for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    assert (deltas[-1].finish, deltas[-1].usage, deltas[-1].model) == ("stop", Usage(7, 3), "served")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "refusal"), ("eos", "stop"), ("tool_calls", "stop")],
)
def test_the_finish_reason_is_told(serve, tier_at, reason, finish):
    assert list(tier_at(serve(chat("x", finish=reason))).stream(call()))[-1].finish == finish


def test_a_finish_reason_that_is_no_name_is_not_repeated_to_anyone(serve, tier_at):
    deltas = list(tier_at(serve(chat("x", finish="a canary sang"))).stream(call()))
    assert (text_of(deltas), deltas[-1].finish) == ("x", "stop")
    assert "canary" not in notes_of(deltas)
    assert "a reason that rung doesn't know" in notes_of(deltas)


def test_a_refusal_is_told_as_one_and_its_words_are_kept(serve, tier_at):
    reply = events(piece(refusal="I can't", content=None), piece(finish="stop"))
    deltas = list(tier_at(serve(reply)).stream(call()))
    assert deltas[-1].finish == "refusal"
    assert text_of(deltas) == "I can't"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_no_part_of_the_answer(serve, tier_at, field):
    deltas = list(tier_at(serve(events(piece(**{field: "hm"}), piece("42"), piece(finish="stop")))).stream(call()))
    assert text_of(deltas) == "42"
    assert "".join(delta.reasoning for delta in deltas) == "hm"


def test_tool_calls_that_nobody_asked_for_are_ignored_and_said(serve, tier_at):
    called = piece(tool_calls=[{"index": 0, "function": {"name": "rm", "arguments": "{}"}}])
    deltas = list(tier_at(serve(events(called, piece("ok"), piece(finish="tool_calls")))).stream(call()))
    assert text_of(deltas) == "ok"
    assert "tool" in notes_of(deltas)


@pytest.mark.parametrize("counts", [None, {}, {"prompt_tokens": "7"}, {"prompt_tokens": -1, "completion_tokens": True}])
def test_usage_that_is_missing_or_nonsense_is_unknown(serve, tier_at, counts):
    deltas = list(tier_at(serve(events(piece("x", finish="stop"), {"choices": [], "usage": counts}))).stream(call()))
    assert deltas[-1].usage == Usage()


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_whole_answer_is_whole_however_often_done_is_said(serve, tier_at, done):
    deltas = list(tier_at(serve(events(piece("x", finish="stop"), usage(), done=done))).stream(call()))
    assert (text_of(deltas), deltas[-1].finish) == ("x", "stop")


def test_halves_of_a_character_are_joined_and_lone_ones_replaced(serve, tier_at):
    halves = [json.dumps(piece()).replace('"content": ""', f'"content": "{half}"') for half in (r"a\ud83d", r"\ude00b")]
    lone = json.dumps(piece(finish="stop")).replace('"content": ""', r'"content": "\ud83d"')
    deltas = list(tier_at(serve(events(*halves, lone))).stream(call()))
    assert text_of(deltas) == "a😀b\ufffd"
    assert all(delta.text.encode() is not None for delta in deltas)


def test_log_probabilities_are_read_with_their_margin_and_always_join_to_the_text(serve, tier_at):
    def weighed(text, *tokens):
        content = [{"token": t, "logprob": p, "top_logprobs": [{"token": "?", "logprob": -3.0}]} for t, p in tokens]
        chunk = piece(text)
        chunk["choices"][0]["logprobs"] = {"content": content}
        return chunk

    reply = events(
        weighed("ab", ("a", -0.5), ("b", -1.0)), weighed("é", ("\\xc3", -1.0)), piece("!"), piece(finish="stop")
    )
    server = serve(reply)
    deltas = list(tier_at(server, logprobs=True).stream(call()))
    tokens = [token for delta in deltas for token in delta.tokens]
    assert server.requests[0].json["logprobs"] is True
    assert [(t.text, t.logprob, t.margin) for t in tokens] == [
        ("a", -0.5, 2.5),
        ("b", -1.0, 2.0),
        ("é", None, None),
        ("!", None, None),
    ]


def test_several_candidates_keep_apart(serve, tier_at):
    reply = events(piece("a"), piece("b", index=1), piece(finish="stop"), piece(index=1, finish="length"), usage())
    server = serve(reply)
    deltas = list(tier_at(server).stream(call(candidates=2)))
    assert server.requests[0].json["n"] == 2
    assert [text_of([d for d in deltas if d.index == i]) for i in (0, 1)] == ["a", "b"]
    assert [(d.index, d.finish) for d in deltas if d.finish] == [(0, "stop"), (1, "length")]
    assert deltas[-1].usage == Usage(7, 3)


def test_more_answers_than_asked_for_are_refused_and_fewer_are_said(serve, tier_at):
    with pytest.raises(TierError, match="more answers"):
        list(tier_at(serve(events(piece("a", index=1, finish="stop")))).stream(call()))
    assert "1 of 2" in notes_of(list(tier_at(serve(chat("a"))).stream(call(candidates=2))))


@pytest.mark.parametrize(
    "reply",
    [
        cut(piece("half")),
        cut(piece("half"), clean=True),
        cut(piece("whole", finish="stop")),
        events(piece("half"), done=0),
        events(piece("half"), {"error": {"message": "canary"}}),
        events(piece("half"), {"error": "canary"}),
    ],
    ids=["cut", "cut cleanly", "cut after finish", "no finish", "error object", "error text"],
)
def test_a_stream_that_breaks_off_is_never_an_answer(serve, tier_at, reply):
    server = serve(reply)
    with pytest.raises(TierCrashed) as caught:
        list(tier_at(server).stream(call()))
    assert "canary" not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        events("{not json"),
        events("[" * 100_000),
        events(5),
        events([1, 2]),
        events({"choices": "canary"}),
        events({"choices": [{"delta": {"content": 5}}]}),
        events({"choices": [{"index": -1, "delta": {}}]}),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\ndata: \xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\n\n"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\ncanary"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 6\r\n\r\ncanary"),
    ],
)
def test_garbage_is_a_clean_error(serve, tier_at, reply):
    with pytest.raises(TierError) as caught:
        list(tier_at(serve(reply)).stream(call()))
    assert "canary" not in str(caught.value)


def test_what_is_no_http_at_all_is_a_clean_error(serve, tier_at):
    with pytest.raises(TierError):
        list(tier_at(serve(raw(b"SSH-2.0-OpenSSH\r\n")), retries=0).stream(call()))


@pytest.mark.parametrize("line_breaks", [True, False])
def test_a_hundred_megabytes_of_answer_are_not_taken_in(serve, tier_at, line_breaks):
    tier = tier_at(serve(flood(100, line_breaks)), max_answer_bytes=2_000_000)
    with pytest.raises(TierError, match="max_answer_bytes"):
        for _ in tier.stream(call()):
            pass


def test_a_hundred_megabytes_of_error_are_not_taken_in_either(serve, tier_at):
    def reply(peer):
        peer.head(500)
        for _ in range(100):
            peer.chunk(b"x" * 1_000_000)
        peer.end()

    with pytest.raises(TierError, match="max_answer_bytes"):
        list(tier_at(serve(reply), max_answer_bytes=2_000_000, retries=0).stream(call()))
