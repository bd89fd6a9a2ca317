"""From a call to the bytes of a chat completion request."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rung.errors import Unsupported
from rung.tiers.openai.strict import closed
from rung.types import Call, Constraint, Image, Message, Shape

ConstraintSetting = Literal["json_schema", "structured_outputs", "json_object", "none"]
TokenLimit = Literal["max_tokens", "max_completion_tokens"]
Form = Literal["strict", "lax", "object", "none"]
"""How the shape is put to the endpoint: a strict schema, a schema, any JSON object, not at all."""

OPTIONAL = frozenset({"temperature", "top_p", "seed", "stream_options", "store", "logprobs"})
"""What may be left out when an endpoint refuses it: nothing that changes what an answer is, or bounds its cost."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one endpoint wants to be asked.

    Args:
        model: as the endpoint names it.
        constraint: how it is told the shape.
        token_limit: the field that caps the answer.
        max_tokens: cap where a call names none, in tokens; `None` sends none.
        logprobs: whether to ask for log-probabilities.
        store: whether the API knows `store`, which is then false.
        hints_only: whether a schema that isn't strict is only a hint there.
        extra_body: further fields.
        dropped: fields of `OPTIONAL` that it has refused.
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

    def forms(self, shape: Shape | None) -> tuple[Form, ...]:
        """Ways to ask for a shape, best first; the last is to say nothing."""
        if shape is None or self.constraint == "none":
            return ("none",)
        if self.constraint == "json_object":
            return ("object", "none")
        if self.constraint == "json_schema" and closed(shape.schema) is not None:
            return ("strict", "lax", "none")
        return ("lax", "none")

    def enforced(self, form: Form) -> Constraint:
        """Who holds the answer to its shape when it is asked for in this form."""
        return "endpoint" if form == "strict" or (form == "lax" and not self.hints_only) else "none"

    @property
    def weighs(self) -> bool:
        """Whether log-probabilities are asked for."""
        return self.logprobs and "logprobs" not in self.dropped

    def cap(self, call: Call) -> int | None:
        """The cap on each answer, in tokens."""
        return call.max_tokens or self.max_tokens


def compose(call: Call, dialect: Dialect, form: Form) -> bytes:
    """The body of the request, byte for byte as it goes out.

    Args:
        call: what is asked.
        dialect: how the endpoint wants it.
        form: how the shape is put.

    Raises:
        Unsupported: a message can't be said in this format.
    """
    sampling = call.sampling
    body: dict[str, Any] = {
        "model": dialect.model,
        "messages": [_message(message) for message in call.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": sampling.temperature,
    }
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.seed is not None:
        body["seed"] = sampling.seed
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
    body = {key: value for key, value in body.items() if key not in dialect.dropped}
    if call.shape is not None:
        body |= _shape(call.shape, dialect.constraint, form)
    body |= dialect.extra_body
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise Unsupported(
            "a message holds half a character (a lone surrogate)", hint="decode the text as UTF-8"
        ) from None


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
    """What vLLM's `structured_outputs` takes (https://docs.vllm.ai, "Structured Outputs")."""
    if shape.kind == "choice":
        return {"choice": list(shape.choices)}
    if shape.kind == "regex":
        return {"regex": shape.pattern}
    return {"json": dict(shape.schema)}


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
        raise Unsupported(f"a picture in a message of role {message.role} has no place in a chat completion")
    return [
        {"type": "image_url", "image_url": {"url": _data_url(part)}}
        if isinstance(part, Image)
        else {"type": "text", "text": part if isinstance(part, str) else part.text}
        for part in message.content
    ]


def _data_url(image: Image) -> str:
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"
