"""What host and worker say until the model is loaded: the first frames, without what the others need.

A worker imports nothing else of `frames` before it loads: the values of a call take longer to import than a small model
to map, and pydantic, which reads and writes them, as long again.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import IO, Literal

PROTOCOL = 9
"""Version of the frames, raised whenever one changes its meaning: an app may pack a worker of another version than its
host."""

LIMIT = 64 * 1024 * 1024
"""Longest frame in bytes: room for the text of the largest context there is, and no more than any machine has."""

BEAT = 1.0
"""Seconds between two signs of life of a worker: a failure is noticed soon, and an idle machine has no load."""

CAUSE = "rung: "
"""Begins the line on standard error in which a worker says why it ends. The line holds no part of any prompt."""

_PREFIX = 4


class BrokenFrame(Exception):
    """The other side sent something that is not a frame."""


class TooLong(ValueError):
    """A frame that is too long for either side to read.

    Args:
        size: its size in bytes, or a lower bound of it.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"{size:,} bytes, and a worker is sent {LIMIT:,} at most")
        self.size = size


@dataclass(frozen=True, slots=True)
class Hello:
    """Worker: the very first frame.

    Args:
        protocol: the worker's `PROTOCOL`.
        pid: process id of the worker.
    """

    protocol: int
    pid: int
    kind: Literal["hello"] = "hello"


@dataclass(frozen=True, slots=True)
class LoadModel:
    """Host: the first frame in this direction.

    Args:
        path: path of the GGUF file.
        context: tokens that prompt and answer may take together; `None` grows with the calls.
        slots: how many calls may be decoded at once; `None` follows from memory.
        threads: for decoding; `None` is one per core that is free.
        chat_template: Jinja source that replaces the file's own.
        thinking: whether a model that can think aloud, and can be told not to, shall think.
        snapshots: folder of prefixes on disk; `None` keeps none.
        snapshot_bytes: the most that the folder may hold.
        sha256: hash of the file, if it is known.
        gpu_layers: number of layers that go to a GPU; `None` means as many as fit.
        safe_mode: whether to do without two things that make answers faster and may crash: weights laid out anew for
            the processor, and a GPU's survey of the logits.
        cache: folder of what can be made anew, which makes the next start faster; `None` keeps nothing.
    """

    path: str
    context: int | None = None
    slots: int | None = None
    threads: int | None = None
    chat_template: str | None = field(default=None, repr=False)
    thinking: bool = False
    snapshots: str | None = None
    snapshot_bytes: int = 0
    sha256: str | None = None
    gpu_layers: int | None = None
    safe_mode: bool = False
    cache: str | None = None
    kind: Literal["load"] = "load"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Worker: calls can be served from now on.

    Args:
        model: the model's name in its file.
        context: resulting number of tokens that prompt and answer may take together.
        longest_token: most bytes of text that one token can stand for; `None` if nobody can say.
        architecture: llama.cpp's name for the kind of network; empty if nobody said.
        parameters: number of weights; 0 if nobody said.
    """

    model: str
    context: int
    longest_token: int | None = None
    architecture: str = ""
    parameters: int = 0
    kind: Literal["loaded"] = "loaded"


@dataclass(frozen=True, slots=True)
class Beat:
    """Worker: a sign of life, sent every `BEAT` seconds from the first frame on.

    Args:
        stuck: seconds for which it has been busy with something that it was told to leave.
    """

    stuck: float = 0.0
    kind: Literal["beat"] = "beat"


@dataclass(frozen=True, slots=True)
class Ready:
    """Host: say when the model is loaded, and then prepare what constrained answers need. The answer is a `Counted` of
    nothing.
    """

    id: int
    kind: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Counted:
    """Worker: the answer to `Count` and `Ready`.

    Args:
        id: id of the request.
        input_tokens: length of the rendered prompt.
        context: what prompt and answer may take together, in tokens.
    """

    id: int
    input_tokens: int
    context: int
    kind: Literal["counted"] = "counted"


Opening = Hello | LoadModel | Loaded | Beat | Counted
"""What is written without pydantic."""

_READY = re.compile(rb'\{"id":(\d{1,15}),"kind":"ready"\}')
"""`Ready`, as its host writes it."""


def write(stream: IO[bytes], frame: Opening) -> None:
    """Send one frame.

    Raises:
        OSError: nobody is reading.
    """
    stream.write(packed(as_json(frame)))
    stream.flush()


def as_json(frame: Opening) -> bytes:
    """The frame as JSON."""
    return json.dumps(asdict(frame)).encode()


def packed(text: bytes) -> bytes:
    """The bytes of a frame, which begin with its length.

    Args:
        text: the frame as JSON.

    Raises:
        TooLong: it would be longer than `LIMIT`.
    """
    if len(text) > LIMIT:
        raise TooLong(len(text))
    return len(text).to_bytes(_PREFIX, "big") + text


def read_load(stream: IO[bytes]) -> LoadModel | None:
    """Worker: the first frame; `None` if the host is gone. Its values aren't checked, since only a host sends it.

    Raises:
        BrokenFrame: it is something else.
    """
    text = receive(stream)
    if text is None:
        return None
    try:
        values = json.loads(text)
        if values["kind"] == "load":
            return LoadModel(**values)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise BrokenFrame("something else before the model to load")


def as_ready(text: bytes) -> Ready | None:
    """A frame that is `Ready`; `None` for any other.

    Args:
        text: the frame as JSON.
    """
    found = _READY.fullmatch(text)
    return Ready(int(found[1])) if found else None


def receive(stream: IO[bytes]) -> bytes | None:
    """The next frame as JSON; `None` if the other side is gone.

    Raises:
        BrokenFrame: the bytes are not a frame.
    """
    prefix = stream.read(_PREFIX)
    if len(prefix) < _PREFIX:
        return None
    length = int.from_bytes(prefix, "big")
    if length > LIMIT:
        raise BrokenFrame(f"a frame of {length:,} bytes")
    text = stream.read(length)
    return text if len(text) == length else None
