"""Tools as a contract: the model's answer must fit a schema that only calls of known tools satisfy.

So a call's arguments are constrained while they are decoded, validated afterwards, and repaired or escalated if they
are wrong. This works on every tier, whether or not its model was trained to call tools. Earlier calls and results in
the conversation are written in the same form.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from rung.errors import ContractError
from rung.schemas import rebuilt
from rung.types import Message, ToolCall

NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
"""Allowed names of tools: the characters that OpenAI and MCP servers use. None can steer a model or a terminal."""

_MOST_CALLS = 8
"""Most calls in one answer. Clients call a few tools at once, but a small model may never end a list."""

_CALLS, _CONTENT = "tool_calls", "content"
Choice = Literal["auto", "required", "none"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call.

    Args:
        name: its name.
        parameters: JSON Schema of its arguments.
        description: what it does, for the model.
    """

    name: str
    parameters: Mapping[str, Any] = field(repr=False)
    description: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a request.

    Args:
        tools: the tools that may be called.
        required: whether one of them has to be called.
        parallel: whether several may be called at once.
        output: JSON Schema of an answer without calls; `None` for free text.
    """

    tools: tuple[Tool, ...]
    required: bool = False
    parallel: bool = True
    output: Mapping[str, Any] | None = field(default=None, repr=False)

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the model's answer.

        Raises:
            ContractError: a tool's parameters are not a JSON Schema of an object.
        """
        definitions: dict[str, Any] = {}
        calls = []
        for number, tool in enumerate(self.tools):
            key = f"arguments{number}"
            definitions[key] = _moved(_object(tool), f"#/$defs/{key}")
            call: dict[str, Any] = {} if not tool.description else {"description": tool.description}
            call |= {
                "type": "object",
                "properties": {"name": {"const": tool.name}, "arguments": {"$ref": f"#/$defs/{key}"}},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            calls.append(call)
        most = _MOST_CALLS if self.parallel else 1
        several = {"type": "array", "items": {"anyOf": calls}, "minItems": 1, "maxItems": most}
        calling = _only(_CALLS, several, "Call tools, to learn or do what the answer needs.")
        if self.required:
            return {**calling, "$defs": definitions}
        said: dict[str, Any] = {"type": "string", "minLength": 1}
        if self.output is not None:
            definitions["content"] = _moved(dict(self.output), "#/$defs/content")
            said = {"$ref": "#/$defs/content"}
        answering = _only(_CONTENT, said, "Answer the user, if no tool is needed.")
        return {"type": "object", "anyOf": [answering, calling], "$defs": definitions}


def answer_of(value: Mapping[str, Any]) -> tuple[str | None, tuple[ToolCall, ...]]:
    """Text and calls of a validated answer.

    Args:
        value: a value that fits `Tools.schema`.
    """
    calls = value.get(_CALLS)
    if calls is None:
        said = value[_CONTENT]
        return (said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)), ()
    return None, tuple(
        ToolCall(f"call_{secrets.token_hex(12)}", call["name"], json.dumps(call["arguments"], ensure_ascii=False))
        for call in calls
    )


def written(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Convert calls and results to plain text, which every chat template accepts.

    Args:
        messages: the conversation, with calls of the assistant and turns of tools.
    """
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    turns: list[Message] = []
    before = ""
    for message in messages:
        if message.tool_calls:
            calls = [{"name": c.name, "arguments": _read(c.arguments)} for c in message.tool_calls]
            text = json.dumps({_CALLS: calls}, ensure_ascii=False)
            turns.append(Message("assistant", f"{message.text}\n{text}" if message.text.strip() else text))
        elif message.role == "tool":
            name = names.get(message.tool_call_id or "", message.tool_call_id or "the tool")
            said = f"Result of {name}:\n{message.text}"
            if before == "tool":
                # most templates reject two consecutive turns of one role
                turns[-1] = Message("user", f"{turns[-1].text}\n\n{said}")
            else:
                turns.append(Message("user", said))
        else:
            turns.append(message)
        before = message.role
    return tuple(turns)


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _only(key: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "properties": {key: schema},
        "required": [key],
        "additionalProperties": False,
    }


def _object(tool: Tool) -> dict[str, Any]:
    parameters = dict(tool.parameters) or {"properties": {}, "additionalProperties": False}
    if parameters.setdefault("type", "object") != "object":
        raise ContractError(f"the parameters of the tool {tool.name!r} are not a JSON Schema of an object")
    return parameters


def _moved(schema: dict[str, Any], root: str) -> dict[str, Any]:
    """Move a schema to another place, and adjust its references to itself."""

    def move(node: dict[str, Any]) -> dict[str, Any]:
        ref = node.get("$ref")
        if isinstance(ref, str) and (ref == "#" or ref.startswith("#/")):
            return {**node, "$ref": quote(root, safe="#/$") + ref[1:]}
        return node

    return {key: value for key, value in rebuilt(schema, move).items() if key not in ("$schema", "$id")}
