"""From the body of a chat completion to the ladder's request."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rung.serve.asking import Asking, RungBody
from rung.serve.bodies import ChatBody, ContentPart, Sampled, Turn
from rung.serve.errors import ApiError
from rung.serve.tools import Tool, Tools, written
from rung.types import Image, Message, Sampling, Text, ToolCall
from rung.types.request import Effort

_DATA = re.compile(r"data:(?P<type>image/[a-z0-9.+-]{1,40});base64,", re.IGNORECASE)

_LEFT_OUT = (
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "prediction",
    "presence_penalty",
    "web_search_options",
)
"""Fields that would change the answer, but that tiers don't support. The answer's notes list those that were set."""


def asking(body: ChatBody, drop: Sequence[str] = ()) -> Asking:
    """What a chat completion asks.

    Args:
        body: of the request.
        drop: prefixes of lines that are removed from system turns.

    Raises:
        ApiError: a part of it can't be used.
    """
    _no_alternatives(body.top_logprobs)
    notes = [*left_out(body, _LEFT_OUT)]
    messages, dropped = without_lines(tuple(message(turn) for turn in body.messages), drop)
    if dropped:
        notes.append(f"{dropped} lines of the system turn were removed, as serve.drop_system_lines says")
    tools = _tools(body, notes)
    output = _output(body)
    if tools is not None:
        tools = Tools(tools.tools, tools.required, tools.parallel, output)
    return Asking(
        model=body.model,
        messages=written(messages),
        output=None if tools is not None else output,
        sampling=replace(sampling(body), effort=_effort(body)),
        max_tokens=body.max_completion_tokens or body.max_tokens,
        answers=body.n or 1,
        logprobs=bool(body.logprobs),
        tools=tools,
        limits=body.x_rung or RungBody(),
        notes=tuple(notes),
    )


def sampling(body: Sampled) -> Sampling:
    """How tokens are chosen. Without a temperature, decoding is greedy, as everywhere in rung."""
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    return Sampling(
        temperature=body.temperature or 0.0,
        top_p=body.top_p or None,  # 0 keeps only the likeliest token, which is what greedy decoding does
        min_p=body.min_p,
        seed=body.seed,
        stop=tuple(text for text in stop if text),
    )


def left_out(body: Sampled, names: Sequence[str]) -> list[str]:
    """A note about fields that are set and have no effect."""
    extra = body.model_extra or {}
    found = [name for name in names if extra.get(name)]
    return [f"{', '.join(found)} of the request had no effect: no tier is told of it"] if found else []


def without_lines(messages: tuple[Message, ...], drop: Sequence[str]) -> tuple[tuple[Message, ...], int]:
    """Remove lines that change with each request from system turns. Returns the conversation and the number of lines.

    Args:
        messages: the conversation.
        drop: prefixes of the lines.
    """
    if not drop:
        return messages, 0
    count, turns = 0, []
    for turn in messages:
        if turn.role != "system":
            turns.append(turn)
            continue
        lines = turn.text.splitlines(keepends=True)
        kept = [line for line in lines if not line.lstrip().startswith(tuple(drop))]
        count += len(lines) - len(kept)
        turns.append(turn if len(kept) == len(lines) else Message("system", "".join(kept)))
    return tuple(turn for turn in turns if turn.role != "system" or turn.text.strip()), count


def message(turn: Turn) -> Message:
    """A message of the body.

    Raises:
        ApiError: it has content that a message can't have.
    """
    role = "system" if turn.role == "developer" else turn.role
    if role == "tool" and turn.tool_call_id is None:
        raise ApiError(400, "a tool's message needs a tool_call_id", code="invalid_value", param="messages")
    calls = tuple(
        ToolCall(call.id, call.function.name, call.function.arguments)
        for call in turn.tool_calls or ()
        if call.function is not None
    )
    content: str | tuple[Text | Image, ...]
    if isinstance(turn.content, list):
        parts = tuple(_part(part) for part in turn.content)
        texts = [part.text for part in parts if isinstance(part, Text)]
        content = "".join(texts) if len(texts) == len(parts) else parts
    else:
        content = turn.content or ""
    return Message(role, content, tool_calls=calls if role == "assistant" else (), tool_call_id=turn.tool_call_id)


def _part(part: ContentPart) -> Text | Image:
    if part.type in ("text", "input_text", "output_text") and part.text is not None:
        return Text(part.text)
    if part.type == "refusal" and part.refusal is not None:
        return Text(part.refusal)
    if part.type == "image_url" and part.image_url is not None:
        return _image(part.image_url if isinstance(part.image_url, str) else part.image_url.url)
    raise ApiError(400, "a message holds text and pictures, and nothing else", code="unsupported", param="messages")


def _image(url: str) -> Image:
    found = _DATA.match(url)
    if found is None:
        said = "a picture has to be in the body, as a data: URL in base64; this server fetches none"
        raise ApiError(400, said, code="unsupported", param="messages")
    try:
        data = base64.b64decode(url[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "a picture is not valid base64", code="invalid_value", param="messages") from None
    return Image(data, found["type"].lower())


def _output(body: ChatBody) -> Any:
    wanted = body.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "object"}
    schema = wanted.json_schema.schema_ if wanted.json_schema is not None else None
    if schema is None:
        where = "response_format.json_schema.schema"
        raise ApiError(400, f"{where} is missing", code="missing", param=where)
    return schema


def _tools(body: ChatBody, notes: list[str]) -> Tools | None:
    if not body.tools:
        return None
    found: dict[str, Tool] = {}
    for tool in body.tools:
        if tool.type != "function" or tool.function is None:
            notes.append("a tool was skipped: only functions can be called")
            continue
        function = tool.function
        if function.name in found:
            raise ApiError(400, "two tools have one name", code="invalid_value", param="tools")
        found[function.name] = Tool(function.name, function.parameters or {}, function.description or "")
    choice = body.tool_choice
    if not found or choice == "none":
        return None
    required = choice == "required"
    if choice is not None and not isinstance(choice, str):
        named = choice.function.name if choice.function is not None else None
        if named not in found:
            raise ApiError(400, "tool_choice names a tool that isn't there", code="invalid_value", param="tool_choice")
        return Tools((found[named],), required=True, parallel=False)
    return Tools(tuple(found.values()), required, parallel=body.parallel_tool_calls is not False)


def _no_alternatives(top_logprobs: int | None) -> None:
    """Refuse to list other tokens. Tiers report each token's log-probability, but not which tokens came next to it."""
    if top_logprobs:
        said = "no tier reports the other likely tokens; logprobs without top_logprobs has those that were written"
        raise ApiError(400, said, code="unsupported", param="top_logprobs")


def _effort(body: ChatBody) -> Effort | None:
    if body.reasoning_effort is not None:
        return body.reasoning_effort
    thinking = (body.chat_template_kwargs or {}).get("enable_thinking")
    return None if not isinstance(thinking, bool) else "medium" if thinking else "none"
