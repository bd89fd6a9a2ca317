"""What goes in: zones, messages, and the request that the engine works on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

from rung import checking
from rung.errors import ConfigError
from rung.hiding import hide

Role = Literal["system", "user", "assistant", "tool"]

_ROLES = ("system", "user", "assistant", "tool")
_SEEDS = (-(2**63), 2**64 - 1)
"""What a seed may be: anything that fits into 64 bits, with a sign or without."""


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
            raise ConfigError(f"{hide(str(name))!r} is no zone", hint="say host, lan or internet") from None

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Text:
    """A part of a message that is text.

    Raises:
        ConfigError: it is something else.
    """

    text: str = field(repr=False)

    def __post_init__(self) -> None:
        checking.text("the text of a message's part", self.text)


@dataclass(frozen=True, slots=True)
class Image:
    """A part of a message that is a picture.

    Args:
        data: the encoded file.
        media_type: for example `image/png`.

    Raises:
        ConfigError: one of them is of another kind.
    """

    data: bytes = field(repr=False)
    media_type: str

    def __post_init__(self) -> None:
        checking.instance("an image's data", self.data, bytes, "bytes")
        checking.text("an image's media_type", self.media_type)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that a model made in an earlier turn.

    Args:
        id: what the tool's answer refers to.
        name: the tool.
        arguments: JSON text, as the model wrote it.

    Raises:
        ConfigError: one of them is not text.
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

    Args:
        role: who speaks. What some endpoints call `developer` is `system` here.
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

    Raises:
        ConfigError: a value is of another kind, or out of range.
    """

    temperature: float = 0.0
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        kept: dict[str, object] = {"temperature": checking.real("temperature", self.temperature, 0.0, 10.0)}
        if self.top_p is not None:
            kept["top_p"] = checking.real("top_p", self.top_p, 0.0, 1.0, above=True)
        if self.min_p is not None:
            kept["min_p"] = checking.real("min_p", self.min_p, 0.0, 1.0, below=True)
        if self.seed is not None:
            kept["seed"] = checking.whole("seed", self.seed, *_SEEDS)
        stop = kept["stop"] = checking.several("stop", self.stop, str, "texts")
        if not all(stop):
            raise ConfigError("stop holds an empty text, which would end every answer at once", hint="leave it out")
        for name, value in kept.items():
            object.__setattr__(self, name, value)


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

    Raises:
        ConfigError: the prompt is empty, or a value is of a wrong kind or out of range.
    """

    messages: tuple[Message, ...]
    task: str | None = None
    context: Any = field(default=None, repr=False)
    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    reach: Zone | None = None

    def __post_init__(self) -> None:
        turns = checking.several("messages", self.messages, Message, "messages")
        object.__setattr__(self, "messages", turns)
        if not any(m.role == "user" and (m.text.strip() or not isinstance(m.content, str)) for m in turns):
            raise ConfigError("the prompt is empty", hint="give it some text")
        if self.task is not None:
            checking.text("task", self.task)
        if self.max_tokens is not None:
            object.__setattr__(self, "max_tokens", checking.whole("max_tokens", self.max_tokens, 1))
        checking.instance("sampling", self.sampling, Sampling, "a Sampling")
        if self.reach is not None:
            checking.instance("reach", self.reach, Zone, "a Zone")

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
        ConfigError: it is neither, or something in the sequence is not a message.
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
