"""What host and worker say to each other: length-prefixed JSON frames, each a frozen value.

Before the first frame there is only the command line that makes a process a worker.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Annotated, Literal

from rung.types import Delta, Message, Sampling, Shape

if TYPE_CHECKING:
    from pydantic import TypeAdapter

PROTOCOL = 8
"""Version of the frames, raised whenever one changes its meaning: an app may pack a worker of another version than its
host."""

LIMIT = 64 * 1024 * 1024
"""Longest frame in bytes: room for the text of the largest context there is, and no more than any machine has."""

BEAT = 1.0
"""Seconds between two signs of life of a worker: a failure is noticed soon, and an idle machine has no load."""

FLAG = "--rung-llama-worker"
"""Makes a process a worker. The process id of its host follows."""

CAUSE = "rung: "
"""Begins the line on standard error in which a worker says why it ends. The line holds no part of any prompt."""

_PREFIX = 4
_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*(\d{1,15})\s*[,}]')


class BrokenFrame(Exception):
    """The other side sent something that is not a frame."""


class WrongFrame(BrokenFrame):
    """A complete frame whose request is known, but whose values make no sense.

    Args:
        message: what is wrong, without any of the frame.
        request: its id.
    """

    def __init__(self, message: str, request: int) -> None:
        super().__init__(message)
        self.request = request


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
        repack: whether weights may be laid out anew for the processor, which makes answers faster.
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
    repack: bool = True
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
class Ask:
    """Host: answer this. `AnswerDelta` frames follow, the last of each candidate with a finish reason, or one `Failed`.

    Args:
        id: id of this request, never used again in this worker.
        messages: their content is plain text.
        sampling: temperature, filters and stop strings, the tier's own settings filled in.
        max_tokens: cap on the answer; `None` goes on to the end of the context.
        shape: what the answer is held to while it is decoded.
        candidates: number of answers.
        draft: a rejected answer that the new one may resemble.
    """

    id: int
    messages: tuple[Message, ...] = field(repr=False)
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    shape: Shape | None = None
    candidates: int = 1
    draft: str | None = field(default=None, repr=False)
    kind: Literal["ask"] = "ask"

    def __post_init__(self) -> None:
        if self.candidates < 1 or (self.max_tokens is not None and self.max_tokens < 1):
            raise ValueError("there is nothing to answer")


@dataclass(frozen=True, slots=True)
class Count:
    """Host: how many tokens is this prompt? One `Counted` or `Failed` follows."""

    id: int
    messages: tuple[Message, ...] = field(repr=False)
    kind: Literal["count"] = "count"


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


@dataclass(frozen=True, slots=True)
class Drop:
    """Host: nobody waits for this request any more. Nothing is answered."""

    id: int
    kind: Literal["drop"] = "drop"


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """Worker: a piece of an answer."""

    id: int
    delta: Delta
    kind: Literal["progress"] = "progress"


@dataclass(frozen=True, slots=True)
class Failed:
    """Worker: this request, or the loading of the model, failed.

    Args:
        error: which exception the host raises.
        message: what happened, without any of the prompt.
        hint: the command or setting that helps.
        id: id of the request; `None` for the model.
        input_tokens: for `too_long`.
        context: for `too_long`.
        at_least: for `too_long`, whether nobody counted and the prompt may take more tokens.
    """

    error: Literal["unavailable", "too_long", "unsupported", "failed"]
    message: str
    hint: str = ""
    id: int | None = None
    input_tokens: int = 0
    context: int = 0
    at_least: bool = False
    kind: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True)
class Release:
    """Host: the last frame. It leaves the worker behind for the next command. The answer is `Released`, or the worker
    ends.

    Args:
        key: hash of all that the worker is made of.
        seconds: how long it may wait without a host.
    """

    key: str
    seconds: float
    kind: Literal["release"] = "release"


@dataclass(frozen=True, slots=True)
class Released:
    """Worker: the last frame to this host. The worker lingers, and its host must not wait for its end."""

    kind: Literal["released"] = "released"


Frame = (
    Hello | LoadModel | Loaded | Beat | Ask | Count | Ready | Counted | Drop | AnswerDelta | Failed | Release | Released
)


_Early = (Hello, LoadModel, Loaded, Beat, Counted)
"""What is said while a model is loaded. pydantic takes as long to import as a small model to map, so a worker writes
these without it, and reads `LoadModel` and `Ready`."""

_READY = re.compile(rb'\{"id":(\d{1,15}),"kind":"ready"\}')
"""`Ready`, as its host writes it."""


@functools.cache
def _adapter() -> TypeAdapter[Frame]:
    from pydantic import Field, TypeAdapter

    return TypeAdapter(Annotated[Frame, Field(discriminator="kind")])


def prepare() -> None:
    """Do now what the first frame of a call would have to wait for."""
    _adapter()


def write(stream: IO[bytes], frame: Frame) -> None:
    """Send one frame.

    Raises:
        ValueError: a text in it is not Unicode, for example half of a surrogate pair, or it is too long.
        OSError: nobody is reading.
    """
    stream.write(encode(frame))
    stream.flush()


def encode(frame: Frame) -> bytes:
    """The frame as bytes, which begin with its length.

    Raises:
        TooLong: it would be longer than `LIMIT`.
        ValueError: a text in it is not Unicode, for example half of a surrogate pair.
    """
    body = json.dumps(asdict(frame)).encode() if isinstance(frame, _Early) else _adapter().dump_json(frame)
    if len(body) > LIMIT:
        raise TooLong(len(body))
    return len(body).to_bytes(_PREFIX, "big") + body


def read(stream: IO[bytes]) -> Frame | None:
    """The next frame; `None` if the other side is gone.

    Raises:
        WrongFrame: the frame of one request makes no sense. The next frame can be read.
        BrokenFrame: the bytes are not a frame, and nobody can tell where the next one begins.
    """
    body = _body(stream)
    if body is None:
        return None
    if ready := _READY.fullmatch(body):
        return Ready(int(ready[1]))
    try:
        return _adapter().validate_json(body)
    except Exception as error:  # noqa: BLE001  the values of a frame have checks of their own
        from pydantic import ValidationError

        # The error's own text would repeat the frame, and with it a prompt.
        faults = error.error_count() if isinstance(error, ValidationError) else 1
        message = f"a frame with {faults} fault{'s' if faults != 1 else ''}"
        known = _ID.match(body)
        raise (WrongFrame(message, int(known[1])) if known else BrokenFrame(message)) from None


def read_load(stream: IO[bytes]) -> LoadModel | None:
    """Worker: the first frame; `None` if the host is gone. Its values aren't checked, since only a host sends it.

    Raises:
        BrokenFrame: it is something else.
    """
    body = _body(stream)
    if body is None:
        return None
    try:
        values = json.loads(body)
        if values["kind"] == "load":
            return LoadModel(**values)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise BrokenFrame("something else before the model to load")


def _body(stream: IO[bytes]) -> bytes | None:
    prefix = stream.read(_PREFIX)
    if len(prefix) < _PREFIX:
        return None
    length = int.from_bytes(prefix, "big")
    if length > LIMIT:
        raise BrokenFrame(f"a frame of {length:,} bytes")
    body = stream.read(length)
    return body if len(body) == length else None
