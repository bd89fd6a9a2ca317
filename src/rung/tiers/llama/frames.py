"""What host and worker say to each other: length-prefixed JSON frames, each a frozen value."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import IO, Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from rung.types import Delta, Message, Sampling, Shape

PROTOCOL = 3
"""Raised whenever a frame changes its meaning: an app may pack a worker of another version than its host."""

LIMIT = 64 * 1024 * 1024
_PREFIX = 4


class BrokenFrame(Exception):
    """The other side sent something that is no frame."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Worker: the first frame of all.

    Args:
        protocol: the `PROTOCOL` that it speaks.
        pid: of the worker.
    """

    protocol: int
    pid: int
    kind: Literal["hello"] = "hello"


@dataclass(frozen=True, slots=True)
class Load:
    """Host: the first frame in this direction.

    Args:
        path: of the GGUF file.
        context: what prompt and answer may take together, in tokens; `None` grows with the calls.
        slots: how many calls may be decoded at once; `None` follows from memory.
        threads: for decoding; `None` is one per core that is free.
        chat_template: Jinja source that stands for the file's own.
        thinking: whether a model that can think aloud, and can be told not to, shall think.
        snapshots: directory of prefixes on disk; `None` keeps none.
        snapshot_bytes: most that the directory may hold.
        sha256: of the file, where it is known.
        gpu_layers: how many layers go to a GPU; `None` is as many as fit.
        repack: whether weights may be laid out anew for the processor, which makes answers faster.
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
    kind: Literal["load"] = "load"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Worker: calls can be served from now on.

    Args:
        model: as the file names itself.
        context: what prompt and answer may take together, in tokens, as it came out.
    """

    model: str
    context: int
    kind: Literal["loaded"] = "loaded"


@dataclass(frozen=True, slots=True)
class Ask:
    """Host: answer this. `Progress` frames follow, the last of each candidate with a finish reason, or one `Failed`.

    Args:
        id: of this request; never used again in this worker.
        messages: their content is plain text.
        sampling: temperature, filters and stop strings, the tier's own settings filled in.
        max_tokens: cap on the answer; `None` goes on to the end of the context.
        shape: what decoding must hold to.
        candidates: number of answers.
        draft: a rejected answer, which the new one may resemble.
    """

    id: int
    messages: tuple[Message, ...] = field(repr=False)
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    shape: Shape | None = None
    candidates: int = 1
    draft: str | None = field(default=None, repr=False)
    kind: Literal["ask"] = "ask"


@dataclass(frozen=True, slots=True)
class Count:
    """Host: how many tokens is this prompt? One `Counted` or `Failed` follows."""

    id: int
    messages: tuple[Message, ...] = field(repr=False)
    kind: Literal["count"] = "count"


@dataclass(frozen=True, slots=True)
class Ready:
    """Host: prepare what the first calls would have to wait for. One `Counted` of nothing follows."""

    id: int
    kind: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Counted:
    """Worker: the answer to `Count` and `Ready`.

    Args:
        id: of the request.
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
class Progress:
    """Worker: a piece of an answer."""

    id: int
    delta: Delta
    kind: Literal["progress"] = "progress"


@dataclass(frozen=True, slots=True)
class Failed:
    """Worker: this request, or the loading of the model, came to nothing.

    Args:
        error: which exception the host raises.
        message: what happened, without any of the prompt.
        mend: what mends it.
        id: of the request; `None` for the model.
        input_tokens: for `too_long`.
        context: for `too_long`.
    """

    error: Literal["unavailable", "too_long", "unsupported"]
    message: str
    mend: str = ""
    id: int | None = None
    input_tokens: int = 0
    context: int = 0
    kind: Literal["failed"] = "failed"


Frame = Hello | Load | Loaded | Ask | Count | Ready | Counted | Drop | Progress | Failed


@functools.cache
def _adapter() -> TypeAdapter[Frame]:
    return TypeAdapter(Annotated[Frame, Field(discriminator="kind")])


def write(stream: IO[bytes], frame: Frame) -> None:
    """Send one frame.

    Raises:
        ValueError: a text in it is not Unicode, for example half of a surrogate pair.
        OSError: nobody reads.
    """
    stream.write(encode(frame))
    stream.flush()


def encode(frame: Frame) -> bytes:
    """The frame as bytes, its length first.

    Raises:
        ValueError: a text in it is not Unicode, for example half of a surrogate pair.
    """
    body = _adapter().dump_json(frame)
    return len(body).to_bytes(_PREFIX, "big") + body


def read(stream: IO[bytes]) -> Frame | None:
    """The next frame; `None` where the other side is gone.

    Raises:
        BrokenFrame: what came is no frame.
    """
    prefix = stream.read(_PREFIX)
    if len(prefix) < _PREFIX:
        return None
    length = int.from_bytes(prefix, "big")
    if length > LIMIT:
        raise BrokenFrame(f"a frame of {length:,} bytes")
    body = stream.read(length)
    if len(body) < length:
        return None
    try:
        return _adapter().validate_json(body)
    except ValidationError as error:
        # The error's own text would repeat the frame, and with it a prompt.
        raise BrokenFrame(f"a frame with {error.error_count()} faults") from None
