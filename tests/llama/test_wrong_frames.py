"""A frame that is wrong is answered with a failure of its own request; one that can't be read takes no memory."""

from __future__ import annotations

import json
import sys
import time
from queue import SimpleQueue

import pytest

from rung.tiers.llama import frames
from rung.tiers.llama.host.process import LoadGetsOn, Process


class Raw:
    """A worker of its own that is sent whatever a test likes."""

    def __init__(self, path) -> None:
        self.process = Process("raw", frames.LoadModel(str(path)), None)
        self.send(b'{"id": 1, "kind": "ready"}', 1)

    def send(self, body: bytes, request: int, within: float = 60.0):
        """The first frame that answers a request, other than progress."""
        mailbox: SimpleQueue = SimpleQueue()
        self.process._mailboxes[request] = mailbox
        self.process._packed = lambda frame, loaded: frame
        self.process.send(len(body).to_bytes(4, "big") + body)
        while isinstance(told := mailbox.get(timeout=within), LoadGetsOn):
            pass
        return told


@pytest.fixture
def raw(weights):
    worker = Raw(weights("smollm2-135m"))
    yield worker
    worker.process.close()


MESSAGES = [{"role": "user", "content": "x"}]
WRONG = {
    "role": {"messages": [{"role": "developer", "content": "SECRET"}]},
    "content": {"messages": [{"role": "user", "content": 5}]},
    "sampling": {"messages": MESSAGES, "sampling": {"temperature": "hot", "stop": "SECRET"}},
    "range": {"messages": MESSAGES, "sampling": {"top_p": 7}},
    "seed": {"messages": MESSAGES, "sampling": {"seed": "x"}},
    "cap": {"messages": MESSAGES, "max_tokens": 1.5},
    "no room": {"messages": MESSAGES, "max_tokens": 0},
    "candidates": {"messages": MESSAGES, "candidates": 0},
    "shape": {"messages": MESSAGES, "shape": {"kind": "yaml", "schema": {}}},
    "nothing": {},
    "another kind": {"kind": "hello"},
    "an unknown kind": {"kind": "obey"},
}


@pytest.mark.weights
def test_a_wrong_frame_is_answered_with_a_failure_of_its_own(raw):
    for request, body in enumerate(WRONG.values(), 10):
        told = raw.send(json.dumps({"id": request, "kind": "ask", **body}).encode(), request)
        assert isinstance(told, frames.Failed)
        assert told.id == request
        assert "SECRET" not in told.message
    deep = b'{"id":50,"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for request, body in ((50, deep), (51, b'{"id":51,"messages":[{"role":"us\xff'), (52, b'{"id":52,')):
        assert raw.send(body, request).id == request
    fine = {"id": 60, "kind": "count", "messages": MESSAGES}
    assert isinstance(raw.send(json.dumps(fine).encode(), 60), frames.Counted)


@pytest.mark.weights
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_frame_without_end_takes_no_memory(raw):
    raw.process._outgoing.put(b"\xff\xff\xff\xff" + b"x" * 1000)
    until = time.monotonic() + 30
    while raw.process.alive and time.monotonic() < until:
        time.sleep(0.05)
    assert not raw.process.alive, "the words that follow can't be told from a frame"
    assert "a frame of 4,294,967,295 bytes" in str(raw.process._ended.error)
