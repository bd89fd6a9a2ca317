"""What host and worker say to each other: length-prefixed JSON frames, each a frozen value.

Before the first frame there is only the command line that makes a process a worker.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Annotated, Literal

from rung.tiers.llama import opening
from rung.tiers.llama.opening import (
    BEAT,
    CAUSE,
    LIMIT,
    PROTOCOL,
    Beat,
    BrokenFrame,
    Counted,
    Hello,
    Loaded,
    LoadModel,
    Opening,
    Ready,
    TooLong,
    read_load,
)
from rung.types import Delta, Message, Sampling, Shape

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = [
    "BEAT",
    "CAUSE",
    "LIMIT",
    "PROTOCOL",
    "AnswerDelta",
    "Ask",
    "Beat",
    "BrokenFrame",
    "Count",
    "Counted",
    "Drop",
    "Failed",
    "Frame",
    "Hello",
    "LoadModel",
    "Loaded",
    "Ready",
    "Release",
    "Released",
    "TooLong",
    "WrongFrame",
    "encode",
    "parsed",
    "prepare",
    "read",
    "read_load",
    "write",
]

_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*(\d{1,15})\s*[,}]')


class WrongFrame(BrokenFrame):
    """A complete frame whose request is known, but whose values make no sense.

    Args:
        message: what is wrong, without any of the frame.
        request: its id.
    """

    def __init__(self, message: str, request: int) -> None:
        super().__init__(message)
        self.request = request


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
    return opening.packed(opening.as_json(frame) if isinstance(frame, Opening) else _adapter().dump_json(frame))


def read(stream: IO[bytes]) -> Frame | None:
    """The next frame; `None` if the other side is gone.

    Raises:
        WrongFrame: the frame of one request makes no sense. The next frame can be read.
        BrokenFrame: the bytes are not a frame, and nobody can tell where the next one begins.
    """
    text = opening.receive(stream)
    return None if text is None else parsed(text)


def parsed(text: bytes) -> Frame:
    """The frame of a JSON text.

    Raises:
        WrongFrame: the frame of one request makes no sense.
        BrokenFrame: it is not a frame.
    """
    if ready := opening.as_ready(text):
        return ready
    try:
        return _adapter().validate_json(text)
    except Exception as error:  # noqa: BLE001  the values of a frame have checks of their own
        from pydantic import ValidationError

        # The error's own text would repeat the frame, and with it a prompt.
        faults = error.error_count() if isinstance(error, ValidationError) else 1
        message = f"a frame with {faults} fault{'s' if faults != 1 else ''}"
        known = _ID.match(text)
        raise (WrongFrame(message, int(known[1])) if known else BrokenFrame(message)) from None
