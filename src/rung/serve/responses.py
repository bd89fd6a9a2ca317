"""From the body of a response to the ladder's request, by way of an equivalent chat completion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rung.serve import chat
from rung.serve.answers import ApiAnswer, message_body
from rung.serve.asking import Asking
from rung.serve.bodies import ChatBody, ContentPart, read
from rung.serve.conversations import Turns
from rung.serve.errors import ApiError
from rung.serve.responses_bodies import InputItem, ResponsesBody, ToolChoice

LOGPROBS = "message.output_text.logprobs"
"""The value of `include` that asks for log-probabilities."""

_PASSED = ("seed", "stop", "min_p", "chat_template_kwargs", "presence_penalty", "frequency_penalty", "logit_bias")
"""Fields of chat completions that clients also send to this API."""

_NAMES = {
    "messages": "input",
    "response_format": "text.format",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
}
"""This API's names for fields of chat completions."""


@dataclass(slots=True)
class _Talk:
    """A conversation that is being assembled.

    Args:
        turns: messages of a chat completion.
        notes: sentences about parts that were ignored.
        thought: reasoning that belongs to the next turn of the assistant.
    """

    turns: list[dict[str, Any]] = field(default_factory=list, repr=False)
    notes: list[str] = field(default_factory=list)
    thought: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class AskedResponse:
    """A request for a response.

    Args:
        body: of the request.
        asking: the same request to the ladder.
        turns: the conversation without the instructions, which apply to this response only.
    """

    body: ResponsesBody = field(repr=False)
    asking: Asking
    turns: Turns = field(repr=False)

    def ended(self, answer: ApiAnswer) -> Turns:
        """The conversation, including the answer."""
        return (*self.turns, {key: value for key, value in message_body(answer).items() if key != "refusal"})


def asked(body: ResponsesBody, earlier: Turns = (), drop: Sequence[str] = ()) -> AskedResponse:
    """What a response asks.

    Args:
        body: of the request.
        earlier: the conversation that it continues.
        drop: prefixes of lines that are removed from system turns.

    Raises:
        ApiError: a part of it can't be used.
    """
    _refuse(body)
    talk = _talk(body.input)
    turns = (*earlier, *talk.turns)
    told = [{"role": "system", "content": body.instructions}] if body.instructions else []
    tools = _tools(body, talk.notes)
    extra = body.model_extra or {}
    wanted = {
        **{name: extra[name] for name in _PASSED if name in extra},
        "model": body.model,
        "messages": [*told, *turns],
        "temperature": body.temperature,
        "top_p": body.top_p,
        "max_completion_tokens": body.max_output_tokens,
        "logprobs": LOGPROBS in (body.include or ()),
        "top_logprobs": body.top_logprobs,
        "response_format": _format(body),
        "tools": tools,
        "tool_choice": _choice(body, tools, talk.notes),
        "parallel_tool_calls": body.parallel_tool_calls,
        "reasoning_effort": None if body.reasoning is None else body.reasoning.effort,
        "x_rung": None if body.x_rung is None else body.x_rung.model_dump(),
    }
    try:
        asking = chat.asking(read(ChatBody, wanted), drop)
    except ApiError as error:
        raise _renamed(error) from None
    return AskedResponse(body, replace(asking, notes=(*asking.notes, *talk.notes)), turns)


def _refuse(body: ResponsesBody) -> None:
    """Refuse fields that would change the conversation, and that this server doesn't support."""
    for name, value in (("conversation", body.conversation), ("prompt", body.prompt), ("background", body.background)):
        if value:
            raise ApiError(400, f"this server takes no {name!r}", code="unsupported", param=name)


def _talk(given: str | Sequence[InputItem]) -> _Talk:
    talk = _Talk()
    for item in [InputItem(role="user", content=given)] if isinstance(given, str) else given:
        _add(talk, item)
    return talk


def _add(talk: _Talk, item: InputItem) -> None:
    match item.type:
        case "message":
            if item.role is None:
                raise _missing("role", "a message")
            talk.turns.append(_turn(talk, item.role, _content(item.content)))
        case "function_call":
            if item.call_id is None or item.name is None:
                raise _missing("call_id and name", "a function_call")
            if not talk.turns or talk.turns[-1]["role"] != "assistant":
                talk.turns.append(_turn(talk, "assistant", None))
            call = {"name": item.name, "arguments": item.arguments or ""}
            calls = talk.turns[-1].setdefault("tool_calls", [])
            calls.append({"id": item.call_id, "type": "function", "function": call})
        case "function_call_output":
            if item.call_id is None:
                raise _missing("call_id", "a function_call_output")
            talk.turns.append({"role": "tool", "tool_call_id": item.call_id, "content": _content(item.output)})
        case "reasoning":
            parts = item.content if isinstance(item.content, list) else []
            talk.thought += "".join(part.text or "" for part in parts)
        case "item_reference":
            said = "items are not kept by their id; send the item itself, or previous_response_id"
            raise ApiError(400, said, code="unsupported", param="input")
        case _:
            talk.notes.append("an item of the input was skipped: its kind is unknown here")


def _turn(talk: _Talk, role: str, content: Any) -> dict[str, Any]:
    turn = {"role": role, "content": content}
    if role == "assistant" and talk.thought:
        turn["reasoning_content"], talk.thought = talk.thought, ""
    return turn


def _content(given: str | Sequence[ContentPart] | None) -> str | list[dict[str, Any]] | None:
    if given is None or isinstance(given, str):
        return given
    parts = [part.model_dump(exclude_none=True) for part in given]
    return [{**part, "type": "image_url"} if part["type"] == "input_image" else part for part in parts]


def _format(body: ResponsesBody) -> dict[str, Any] | None:
    wanted = body.text.format if body.text is not None else None
    if wanted is None or wanted.type != "json_schema":
        return None if wanted is None else {"type": wanted.type}
    if wanted.schema_ is None:
        raise ApiError(400, "text.format.schema is missing", code="missing", param="text.format.schema")
    return {"type": "json_schema", "json_schema": wanted.model_dump(by_alias=True, exclude_none=True)}


def _tools(body: ResponsesBody, notes: list[str]) -> list[dict[str, Any]] | None:
    found = []
    for tool in body.tools or ():
        if tool.type != "function":
            notes.append("a tool was skipped: only functions can be called")
            continue
        given = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        found.append({"type": "function", "function": given})
    return found or None


def _choice(body: ResponsesBody, tools: list[dict[str, Any]] | None, notes: list[str]) -> Any:
    """`tool_choice` in the form of chat completions. A list of allowed tools reduces `tools` in place."""
    choice = body.tool_choice
    if not isinstance(choice, ToolChoice):
        return choice
    if choice.type == "function":
        return {"type": "function", "function": {"name": choice.name}}
    if choice.type != "allowed_tools":
        notes.append("tool_choice had no effect: only functions can be called")
        return "auto"
    names = {tool.name for tool in choice.tools or ()}
    if tools is not None:
        tools[:] = [tool for tool in tools if tool["function"]["name"] in names]
    return choice.mode or "auto"


def _missing(what: str, where: str) -> ApiError:
    return ApiError(400, f"{where} of the input needs {what}", code="missing", param="input")


def _renamed(error: ApiError) -> ApiError:
    """Rename an error's field to this API's name for it."""
    if error.param is None:
        return error
    first, dot, rest = error.param.partition(".")
    name = _NAMES.get(first, first)
    # the index of a message isn't the index of an input item, because several items can make one turn
    param = name if name == "input" else f"{name}{dot}{rest.removeprefix('json_schema.')}"
    return replace(error, param=param, message=error.message.replace(error.param, param))


def echo(body: ResponsesBody, asking: Asking) -> Mapping[str, Any]:
    """The fields of a response that repeat the settings of its request, or the defaults for those that it left out.

    Args:
        body: of the request.
        asking: the same request to the ladder.
    """
    functions = [tool for tool in body.tools or () if tool.type == "function"]
    wanted = body.text.format if body.text is not None else None
    choice = body.tool_choice
    named = choice if isinstance(choice, ToolChoice) and choice.type == "function" else None
    return {
        "background": False,
        "frequency_penalty": 0.0,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": None,
        "metadata": body.metadata or {},
        "model": body.model,
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "presence_penalty": 0.0,
        "previous_response_id": body.previous_response_id,
        "prompt_cache_key": None,
        "reasoning": {"effort": None if body.reasoning is None else body.reasoning.effort, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": body.store is not False,
        "temperature": asking.sampling.temperature,
        "text": {"format": {"type": "text"} if wanted is None else _echoed(wanted.model_dump(by_alias=True))},
        "tool_choice": choice
        if isinstance(choice, str)
        else "auto"
        if named is None
        else named.model_dump(include={"type", "name"}),
        "tools": [
            tool.model_dump(include={"type", "name", "description", "parameters", "strict"}) for tool in functions
        ],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if asking.sampling.top_p is None else asking.sampling.top_p,
        "truncation": "disabled",
    }


def _echoed(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    if wanted["type"] != "json_schema":
        return {"type": wanted["type"]}
    return {**wanted, "name": wanted["name"] or "answer", "strict": wanted["strict"] is not False}
