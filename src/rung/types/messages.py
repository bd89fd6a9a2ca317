"""What goes in: zones, messages, and the request that the engine works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

from rung.errors import ConfigError
from rung.hiding import hide

Role = Literal["system", "user", "assistant", "tool"]


class Zone(IntEnum):
    """How far a prompt travels."""

    HOST = 0
    LAN = 1
    INTERNET = 2

    @classmethod
    def parse(cls, name: str | Zone) -> Zone:
        """The zone of that name (`host`, `lan`, `internet`).

        Raises:
            ConfigError: there is no such zone.
        """
        if isinstance(name, Zone):
            return name
        try:
            return cls[str(name).upper()]
        except KeyError:
            raise ConfigError(f"{hide(str(name))!r} is no zone", mend="say host, lan or internet") from None

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Text:
    """A part of a message that is text."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Image:
    """A part of a message that is a picture.

    Args:
        data: the encoded file.
        media_type: for example `image/png`.
    """

    data: bytes = field(repr=False)
    media_type: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that a model made in an earlier turn.

    Args:
        id: what the tool's answer refers to.
        name: the tool.
        arguments: JSON text, as the model wrote it.
    """

    id: str
    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Args:
        role: who speaks.
        content: text, or parts in order.
        tool_calls: calls that an assistant turn made.
        tool_call_id: the call that a tool turn answers.
        reusable: whether this turn and all before it come back in other requests, and may rest on disk in the model's
            own form where a tier was given room for that.
    """

    role: Role
    content: str | tuple[Text | Image, ...] = field(repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reusable: bool = False

    @property
    def text(self) -> str:
        """The text of the message, its other parts left out."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def size(self) -> int:
        """Bytes of its texts, in UTF-8, and of its pictures."""
        texts = (self.text, *(call.arguments for call in self.tool_calls))
        pictures = () if isinstance(self.content, str) else (p.data for p in self.content if isinstance(p, Image))
        return sum(len(text.encode("utf-8", "replace")) for text in texts) + sum(map(len, pictures))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. `None` leaves the choice to the tier.

    Args:
        temperature: 0 is greedy.
        top_p: share of probability mass that is kept, in (0, 1].
        min_p: least probability, relative to the likeliest token's, in [0, 1).
        seed: of the sampler's random numbers.
        stop: strings that end the answer; they are not part of it.
    """

    temperature: float = 0.0
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, low, high in (("temperature", 0.0, 10.0), ("top_p", 0.0, 1.0), ("min_p", 0.0, 1.0)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{name} = {value!r} is out of range", mend=f"give a number from {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asked, apart from what the answer must be (that is the contract's).

    Args:
        messages: the conversation, oldest first.
        task: name under which ledger and calibration keep it.
        context: the caller's own object, handed to validators.
        max_tokens: first cap on the answer, in tokens; `None` leaves it to the tier.
        sampling: how tokens are chosen.
        reach: how far this request may travel; can only tighten the ladder's reach.
    """

    messages: tuple[Message, ...]
    task: str | None = None
    context: Any = field(default=None, repr=False)
    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    reach: Zone | None = None

    def __post_init__(self) -> None:
        if not any(m.role == "user" and (m.text.strip() or not isinstance(m.content, str)) for m in self.messages):
            raise ConfigError("the prompt is empty", mend="give it some text")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigError(f"max_tokens = {self.max_tokens} leaves no room for an answer", mend="give 1 or more")

    @property
    def source(self) -> str:
        """The text of the user's turns: what an extracted value can be looked up in."""
        return "\n".join(m.text for m in self.messages if m.role == "user")


Redacted = tuple[tuple[Message, ...], Callable[[str], str]]
Redactor = Callable[[tuple[Message, ...]], Redacted]
"""Masks messages that leave the machine; returns them with a function that puts the real values back into an answer."""


def messages(prompt: str | Sequence[Message], system: str | None = None) -> tuple[Message, ...]:
    """A prompt as messages.

    Args:
        prompt: the text of one user turn, or a whole conversation.
        system: a system turn to put first.

    Raises:
        ConfigError: something in the sequence is no message.
    """
    turns = (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
    for turn in turns:
        if not isinstance(turn, Message):
            raise ConfigError(f"a prompt is text or a sequence of rung.Message, not of {type(turn).__name__}")
    return (Message("system", system), *turns) if system else turns
