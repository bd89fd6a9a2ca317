"""What host and worker say to each other survives the pipe, and nothing else does."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from helpers.each import each
from rung.tiers.llama import frames, opening
from rung.types import Delta, Message, Sampling, Shape, Token, ToolCall, Usage

SAID = [
    frames.Hello(frames.PROTOCOL, 42),
    frames.LoadModel("/models/a.gguf", 4096, 4, None, "{{ x }}"),
    frames.Ask(
        7,
        (Message("user", "größe\u0000\U0001f600"), Message("assistant", "", (ToolCall("1", "f", "{}"),))),
        Sampling(temperature=0.5, seed=3, stop=("\n",)),
        12,
        Shape("json", {"type": "object", "properties": {"b": {}, "a": {"const": 1.5}}}),
    ),
    frames.Count(8, (Message("user", "x"),)),
    frames.Drop(7),
    frames.Ready(9),
    frames.Loaded("mödel", 512, None, "llama", 3),
    frames.Beat(0.5),
    frames.Counted(9, 3, 512),
    frames.AnswerDelta(
        7, Delta("é", tokens=(Token(""), Token("é", -0.5, 1.0, False, -0.25, 2.0)), finish="stop", usage=Usage(1, 2))
    ),
    frames.Failed("too_long", "", id=7, input_tokens=5, context=4),
]


@each("frame", SAID, ids=lambda f: f.kind)
def test_a_frame_arrives_as_it_was_sent(frame):
    assert frames.read(io.BytesIO(frames.encode(frame))) == frame


def test_the_order_of_a_schemas_keys_survives():
    """The order of the keys is the order in which the model has to write them."""
    schema = {"type": "object", "properties": {"z": {}, "a": {}, "m": {}}}
    ask = frames.read(io.BytesIO(frames.encode(frames.Ask(1, (), shape=Shape("json", schema)))))
    assert list(ask.shape.schema["properties"]) == ["z", "a", "m"]


def test_frames_follow_each_other_and_a_torn_one_is_the_end():
    whole = frames.encode(SAID[0]) + frames.encode(SAID[4])
    stream = io.BytesIO(whole + frames.encode(SAID[3])[:-1])
    assert [frames.read(stream) for _ in range(3)] == [SAID[0], SAID[4], None]


@pytest.mark.parametrize("body", [b"{}", b"not json", b'{"kind": "ask", "secret": "PROMPT"}', b"\xff\xfe"])
def test_what_is_no_frame_is_refused_without_repeating_it(body):
    with pytest.raises(frames.BrokenFrame) as caught:
        frames.read(io.BytesIO(len(body).to_bytes(4, "big") + body))
    assert "PROMPT" not in str(caught.value)


@pytest.mark.slow
def test_a_load_needs_no_pydantic():
    """Importing it takes as long as mapping a small model."""
    code = (
        "import io, sys\n"
        "from rung.tiers.llama import frames\n"
        "import rung.tiers.llama.worker.program\n"
        "load = frames.LoadModel('/m', 256)\n"
        "assert frames.read_load(io.BytesIO(frames.encode(load))) == load\n"
        "frames.encode(frames.Loaded('m', 256)), frames.encode(frames.Counted(1, 0, 256))\n"
        'ready = b\'{"id":1,"kind":"ready"}\'\n'
        "assert frames.read(io.BytesIO(len(ready).to_bytes(4, 'big') + ready)) == frames.Ready(1)\n"
        "sys.exit('pydantic' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b'{"kind": "hello"}', b'{"kind": "load"}', b'{"kind": "load", "path": "m", "secret": 1}', b"\xff"],
)
def test_nothing_but_a_model_to_load_may_come_first(body):
    with pytest.raises(frames.BrokenFrame):
        frames.read_load(io.BytesIO(len(body).to_bytes(4, "big") + body))


def test_a_host_that_is_gone_before_its_first_frame_is_told_from_a_broken_one():
    assert frames.read_load(io.BytesIO(b"")) is None
    assert frames.read_load(io.BytesIO(b"\0\0\0\x09{")) is None


WRONG = [
    b'{"id": 7, "kind": "ask", "messages": [{"role": "developer", "content": "PROMPT"}]}',
    b'{"id":7,"kind":"ask","messages":[],"candidates":0}',
    b'{"id":7,"kind":"ask","messages":[],"max_tokens":1.5}',
    b'{ "id" : 7, "messages": "PROMPT"}',
    b'{"id":7,"messages":' + b"[" * 10_000,
    b'{"id":7,"messages":"\xff"}',
    b'{"id":7,"kind":"progress","delta":{"tokens":[{"text":"PROMPT","allowed_logprob":"sure"}]}}',
]


@each("body", WRONG, ids=range(len(WRONG)))
def test_a_wrong_frame_is_told_from_a_broken_one_and_the_next_can_be_read(body):
    stream = io.BytesIO(len(body).to_bytes(4, "big") + body + frames.encode(SAID[0]))
    with pytest.raises(frames.WrongFrame) as caught:
        frames.read(stream)
    assert caught.value.request == 7
    assert "PROMPT" not in str(caught.value)
    assert frames.read(stream) == SAID[0]


def test_a_frame_that_no_side_would_read_is_not_sent(monkeypatch):
    monkeypatch.setattr(opening, "LIMIT", 1000)
    with pytest.raises(frames.TooLong, match="1,000"):
        frames.encode(frames.Count(1, (Message("user", "x" * 1000),)))


def test_a_length_beyond_the_limit_is_refused_before_it_is_read():
    with pytest.raises(frames.BrokenFrame):
        frames.read(io.BytesIO(b"\xff\xff\xff\xff"))


def test_half_a_surrogate_pair_is_no_text():
    with pytest.raises(ValueError):
        frames.encode(frames.Count(1, (Message("user", "\ud800"),)))
