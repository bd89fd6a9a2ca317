"""A conversation: its messages and their parts, and what may mask them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rung import checking
from rung.errors import ConfigError

Role = Literal["system", "user", "assistant", "tool"]

_ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Text:
    """A part of a message that is text.

        message = rung.Message("user", (rung.Text("What is this?"), rung.Image(photo, "image/png")))
        message.text  # What is this?

    Raises:
        ConfigError: it is something else than text.
    """

    text: str = field(repr=False)

    def __post_init__(self) -> None:
        checking.text("the text of a message's part", self.text)


@dataclass(frozen=True, slots=True)
class Image:
    """A part of a message that is a picture.

        message = rung.Message("user", (rung.Text("What is this?"), rung.Image(photo, "image/png")))
        message.content[1].media_type  # image/png

    Args:
        data: the encoded file.
        media_type: for example `image/png`.

    Raises:
        ConfigError: a field has the wrong type.
    """

    data: bytes = field(repr=False)
    media_type: str

    def __post_init__(self) -> None:
        checking.instance("an image's data", self.data, bytes, "bytes")
        checking.text("an image's media_type", self.media_type)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that a model made in an earlier turn.

        call = rung.ToolCall(id="1", name="weather", arguments='{"city": "Bonn"}')
        turns = [rung.Message("assistant", "", tool_calls=(call,)), rung.Message("tool", "It rains.", tool_call_id="1")]
        turns[0].tool_calls[0].name  # weather

    Args:
        id: what the tool's answer refers to.
        name: the tool.
        arguments: JSON text, as the model wrote it.

    Raises:
        ConfigError: a field is not text.
    """

    id: str
    name: str
    arguments: str = field(repr=False)

    def __post_init__(self) -> None:
        for name in ("id", "name", "arguments"):
            checking.text(f"a tool call's {name}", getattr(self, name))


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

        talk = [rung.Message("system", "Answer with one word."), rung.Message("user", "Is water wet?")]
        ladder.run(talk).accepted  # True

    Args:
        role: who speaks. The role that some endpoints call `developer` is `system` here.
        content: text, or parts in order.
        tool_calls: calls that an assistant turn made.
        tool_call_id: the call that a tool turn answers.
        reusable: whether this turn and all turns before it come again in other requests. A tier that was given room for
            it may keep them on disk, in the model's own form.
    """

    role: Role
    content: str | tuple[Text | Image, ...] = field(repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reusable: bool = False

    def __post_init__(self) -> None:
        role: str = self.role
        if role == "developer":
            raise ConfigError("'developer' is not a valid role", hint="say system: endpoints know it by either name")
        checking.one_of("role", role, _ROLES)
        if not isinstance(self.content, str):
            parts = checking.several("a message's content", self.content, (Text, Image), "Text and Image parts")
            object.__setattr__(self, "content", parts)
        calls = checking.several("tool_calls", self.tool_calls, ToolCall, "tool calls")
        object.__setattr__(self, "tool_calls", calls)
        if self.tool_call_id is not None:
            checking.text("tool_call_id", self.tool_call_id)
        checking.flag("reusable", self.reusable)

    @property
    def text(self) -> str:
        """The text of the message, without its other parts."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def size(self) -> int:
        """Bytes of its texts (in UTF-8) and its pictures."""
        texts = (self.text, *(call.arguments for call in self.tool_calls))
        pictures = () if isinstance(self.content, str) else (p.data for p in self.content if isinstance(p, Image))
        return sum(len(text.encode("utf-8", "replace")) for text in texts) + sum(map(len, pictures))


Redacted = tuple[tuple[Message, ...], Callable[[str], str]]
Redactor = Callable[[tuple[Message, ...]], Redacted]
"""Masks messages that leave the machine; returns them with a function that puts the real values back into an answer."""


def conversation(prompt: str | Sequence[Message], system: str | None = None) -> tuple[Message, ...]:
    """A prompt as messages.

    Args:
        prompt: the text of one user turn, or a whole conversation.
        system: a system turn to put first.

    Raises:
        ConfigError: it is neither of them, or something in the sequence is not a message.
    """
    if isinstance(prompt, str):
        turns: tuple[Message, ...] = (Message("user", prompt),)
    elif isinstance(prompt, Iterable) and not isinstance(prompt, (bytes, bytearray, Mapping)):
        turns = tuple(prompt)
    else:
        given = "None" if prompt is None else f"of the type {type(prompt).__name__}"
        raise ConfigError(f"a prompt has to be text or a sequence of rung.Message, and is {given}")
    for turn in turns:
        if not isinstance(turn, Message):
            raise ConfigError(f"a prompt is text or a sequence of rung.Message, not of {type(turn).__name__}")
    if system is None or (isinstance(system, str) and not system):
        return turns
    return (Message("system", checking.text("system", system)), *turns)
