"""From a call to the bytes of a chat completion request."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rung import checking
from rung.errors import ConfigError, Unsupported
from rung.hiding import hide
from rung.spelling import nearest
from rung.tiers.openai.strict import closed
from rung.types import Call, Constraint, Image, Message, Shape, Text

ConstraintSetting = Literal["json_schema", "structured_outputs", "json_object", "none"]
TokenLimit = Literal["max_tokens", "max_completion_tokens"]
Form = Literal["strict", "lax", "object", "none"]
"""How the request gives the shape: as a strict schema, a schema, any JSON object, or not at all."""

DROPPABLE = frozenset(
    {"temperature", "top_p", "seed", "stream", "stream_options", "store", "logprobs", "reasoning_effort"}
)
"""Fields to leave out if an endpoint refuses them. None of them changes what an answer is, or bounds its cost."""

_OURS = frozenset({"model", "messages", "stream", "n", "max_tokens", "max_completion_tokens"})
"""Fields that the tier sets itself, so `extra_body` can't set them."""

LEAST_ROOM = 16
"""Tokens of the shortest answer that is worth lowering a cap for: an object with one field."""

_DENSER = 1.1
"""Factor by which a longer prompt may be denser in tokens than the one that the endpoint counted."""


@dataclass(frozen=True, slots=True)
class ContextRoom:
    """What an endpoint counted when a prompt and its cap exceeded its context.

    Args:
        context: what prompt and answer may take together, in tokens.
        prompt: tokens of that prompt.
        size: bytes of its messages.
    """

    context: int
    prompt: int
    size: int

    def left(self, call: Call) -> int:
        """Tokens that the context leaves for an answer to this call, by the density of the counted prompt."""
        size = sum(message.size for message in call.messages)
        grown = size / max(1, self.size) * _DENSER if size > self.size else 1.0
        return self.context - math.ceil(self.prompt * grown)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one endpoint wants to be asked.

    Args:
        model: as the endpoint names it.
        constraint: how the endpoint is told the shape.
        token_limit: the field that caps the answer.
        max_tokens: cap if a call names none, in tokens; `None` sends none.
        logprobs: whether to ask for log-probabilities.
        store: whether the API knows `store`. Then false is sent.
        hints_only: whether the endpoint takes a schema that isn't strict only as a hint.
        extra_body: further fields.
        dropped: fields of `DROPPABLE` that the endpoint refused, or that the settings leave out.
        renamed: whether it refused the other `token_limit`.
        merges_system: whether it takes no system turn, so that the system's text goes into the user's.
        most_tokens: the largest cap that it takes; `None` if it hasn't refused one.
        room: what it counted when a cap was too large for its context; `None` if none was.
    """

    model: str
    constraint: ConstraintSetting
    token_limit: TokenLimit
    max_tokens: int | None
    logprobs: bool
    store: bool
    hints_only: bool
    extra_body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    dropped: frozenset[str] = frozenset()
    renamed: bool = False
    merges_system: bool = False
    most_tokens: int | None = None
    room: ContextRoom | None = None

    def forms(self, shape: Shape | None) -> tuple[Form, ...]:
        """Ways to ask for a shape, best first. The last is to leave it out."""
        if shape is None or self.constraint == "none":
            return ("none",)
        if self.constraint == "json_object":
            return ("object", "none")
        if self.constraint == "json_schema" and closed(shape.schema) is not None:
            return ("strict", "lax", "none")
        return ("lax", "none")

    def enforced(self, form: Form) -> Constraint:
        """Who enforces the answer's shape if it is asked for in this form."""
        return "endpoint" if form == "strict" or (form == "lax" and not self.hints_only) else "none"

    @property
    def weighs(self) -> bool:
        """Whether log-probabilities are asked for."""
        return self.logprobs and "logprobs" not in self.dropped

    def cap(self, call: Call) -> int | None:
        """The cap on each answer, in tokens; `None` if there is none."""
        cap = call.max_tokens or self.max_tokens
        if cap is None:
            return None
        limits = [cap, *([self.most_tokens] if self.most_tokens else [])]
        if self.room is not None and (left := self.room.left(call)) >= LEAST_ROOM:
            limits.append(left)
        return min(limits)


def extra_fields(what: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the setting `extra_body`. An error calls it `what`.

    Raises:
        ConfigError: it sets a field that the tier sets itself, or isn't JSON.
    """
    ours = sorted(_OURS & extra.keys())
    if ours:
        raise ConfigError(f"{what} sets {ours[0]!r}", hint=f"leave {ours[0]} to the tier's own settings")
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(extra), allow_nan=False))
    except (TypeError, ValueError):
        raise ConfigError(f"{what} is not JSON", hint="use text, numbers, lists and tables") from None
    return copy


def left_out(what: str, fields: object) -> tuple[str, ...]:
    """The fields that the setting `leave_out` names. An error calls it `what`.

    Raises:
        ConfigError: one of them may not be left out, or isn't a text.
    """
    names = checking.several(what, fields, str, "names of fields")
    for name in names:
        if name not in DROPPABLE:
            said = f"{what} names {hide(name[:40])!r}, which can't be left out"
            raise ConfigError(said, hint=nearest(name, DROPPABLE))
    return names


def compose(call: Call, dialect: Dialect, form: Form) -> bytes:
    """The body of the request, byte for byte as it is sent.

    Args:
        call: what is asked.
        dialect: how the endpoint wants to be asked.
        form: how the shape is given.

    Raises:
        Unsupported: a message can't be expressed in this format.
    """
    try:
        return json.dumps(request(call, dialect, form), ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise Unsupported(
            "a message holds half a character (a lone surrogate)", hint="decode the text as UTF-8"
        ) from None


def request(call: Call, dialect: Dialect, form: Form) -> dict[str, Any]:
    """The fields of the request. Takes and raises the same as `compose`."""
    sampling = call.sampling
    body: dict[str, Any] = {
        "model": dialect.model,
        "messages": [_message(m) for m in (_merged(call.messages) if dialect.merges_system else call.messages)],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": sampling.temperature,
    }
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.effort is not None:
        body["reasoning_effort"] = sampling.effort
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if call.candidates > 1:
        body["n"] = call.candidates
    if (cap := dialect.cap(call)) is not None:
        body[dialect.token_limit] = cap
    if dialect.weighs:
        body |= {"logprobs": True, "top_logprobs": 2}
    if dialect.store:
        body["store"] = False
    left_out = dialect.dropped | ({"stream_options"} if "stream" in dialect.dropped else set())
    body = {key: value for key, value in body.items() if key not in left_out}
    if call.shape is not None:
        body |= _shape(call.shape, dialect.constraint, form)
    return {**body, **dialect.extra_body}


def _shape(shape: Shape, constraint: ConstraintSetting, form: Form) -> dict[str, Any]:
    match form:
        case "none":
            return {}
        case "object":
            return {"response_format": {"type": "json_object"}}
        case "lax" if constraint == "structured_outputs":
            return {"structured_outputs": _structured(shape)}
        case _:
            strict = form == "strict"
            schema = closed(shape.schema) if strict else dict(shape.schema)
            named = {"name": "answer", "schema": schema, "strict": strict}
            return {"response_format": {"type": "json_schema", "json_schema": named}}


def _structured(shape: Shape) -> dict[str, Any]:
    """The value of vLLM's `structured_outputs` (https://docs.vllm.ai, "Structured Outputs")."""
    if shape.kind == "choice":
        return {"choice": list(shape.choices)}
    if shape.kind == "regex":
        return {"regex": shape.pattern}
    return {"json": dict(shape.schema)}


def shape_key(shape: Shape) -> str:
    """A hash that tells one shape from another."""
    said = json.dumps([shape.kind, shape.schema, shape.pattern, shape.choices], sort_keys=True)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def _merged(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation without system turns. The text of each goes before the next turn of the user."""
    kept: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        if message.role == "system":
            waiting.append(message.text)
        elif message.role == "user" and waiting:
            kept.append(_headed("\n\n".join(waiting), message))
            waiting = []
        else:
            kept.append(message)
    if waiting:  # after the last turn of the user
        kept.append(Message("user", "\n\n".join(waiting)))
    return tuple(kept)


def _headed(head: str, message: Message) -> Message:
    if isinstance(message.content, str):
        return replace(message, content=f"{head}\n\n{message.content}")
    return replace(message, content=(Text(f"{head}\n\n"), *message.content))


def _message(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": _content(message)}
    if message.tool_calls:
        turn["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not any(isinstance(part, Image) for part in message.content):
        return message.text
    if message.role != "user":
        raise Unsupported(f"a message of role {message.role} can't contain a picture in a chat completion")
    return [
        {"type": "image_url", "image_url": {"url": _data_url(part)}}
        if isinstance(part, Image)
        else {"type": "text", "text": part if isinstance(part, str) else part.text}
        for part in message.content
    ]


def _data_url(image: Image) -> str:
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"
