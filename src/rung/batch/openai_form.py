"""OpenAI's batch format: input lines with `custom_id` and the `body` of a chat completion, and output lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rung.learn.tables import UnusableRow, kind_of
from rung.spelling import nearest, shortened
from rung.types import Message, Role, Sampling

_URL = "/v1/chat/completions"
_SAMPLING = ("temperature", "top_p", "seed", "stop")
_CAPS = ("max_completion_tokens", "max_tokens")
_ROLES: Mapping[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_IGNORED = ("model", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key")
"""Keys that don't affect the answer. The ladder decides which model answers."""
_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "stream": (False,),
    "logprobs": (False,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "tools": ([],),
    "logit_bias": ({},),
    "modalities": (["text"],),
}
"""Keys that are accepted with these values only, because those change nothing."""


@dataclass(frozen=True, slots=True)
class AskedChat:
    """What a body asks.

    Args:
        messages: the conversation.
        schema: JSON Schema of the answer, if the body has one.
        max_tokens: first cap on the answer, if the body has one.
        sampling: how tokens are chosen, if the body says so.
    """

    messages: tuple[Message, ...] = field(repr=False)
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    max_tokens: int | None = None
    sampling: Sampling | None = None


def fits(values: Mapping[str, Any]) -> bool:
    """Whether a row has this format."""
    return "custom_id" in values and "body" in values


def asked(values: Mapping[str, Any]) -> AskedChat:
    """What a row of this format asks.

    Args:
        values: the row.

    Raises:
        UnusableRow: it asks for something that isn't supported, or is malformed.
        ConfigError: a number is out of range.
    """
    body, url = values["body"], values.get("url", _URL)
    if url != _URL:
        raise UnusableRow(f"its url is {shortened(str(url))!r}, and {_URL} is supported")
    if not isinstance(body, dict):
        raise UnusableRow(f"its body is {kind_of(body)} and not an object")
    known = ("messages", "response_format", *_SAMPLING, *_CAPS, *_IGNORED, *_HARMLESS)
    for key, value in body.items():
        if key not in known:
            near = nearest(shortened(key), known, listing="see docs/batch.md for what a body may hold")
            raise UnusableRow(f"body.{shortened(key)} is not supported; {near}")
        if key in _HARMLESS and value is not None and value not in _HARMLESS[key]:
            raise UnusableRow(f"body.{key} is not supported")
    given = {key: body[key] for key in _SAMPLING if body.get(key) is not None}
    if isinstance(given.get("stop"), str):
        given["stop"] = (given["stop"],)
    elif "stop" in given:
        given["stop"] = tuple(given["stop"]) if isinstance(given["stop"], list) else given["stop"]
    caps = [body[key] for key in _CAPS if body.get(key) is not None]
    if caps and (not isinstance(caps[0], int) or isinstance(caps[0], bool) or caps[0] < 1):
        raise UnusableRow("its max_tokens is not a whole number from 1 on")
    return AskedChat(
        _messages(body.get("messages")),
        _schema(body.get("response_format")),
        caps[0] if caps else None,
        Sampling(**given) if given else None,
    )


def answer(row: Mapping[str, Any]) -> dict[str, Any]:
    """The output line for an accepted answer.

    Args:
        row: a row of the output, with `text`.
    """
    usage = {"prompt_tokens": row["input_tokens"], "completion_tokens": row["output_tokens"]}
    total = None if None in usage.values() else sum(usage.values())
    body = {
        "object": "chat.completion",
        "model": row["tier"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": row["text"]},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {**usage, "total_tokens": total},
        "rung": {key: row[key] for key in ("tier", "checked_by", "confidence", "cost_usd", "seconds")},
    }
    if "attempts" in row:
        body["rung"] = {**body["rung"], "attempts": row["attempts"]}
    return {
        "id": f"batch_req_{row['id']}",
        "custom_id": row["id"],
        "response": {"status_code": 200, "request_id": row["id"], "body": body},
        "error": None,
    }


def refusal(row: Mapping[str, Any]) -> dict[str, Any]:
    """The output line for a row without an accepted answer.

    Args:
        row: a row of the file of rejects.
    """
    return {
        "id": f"batch_req_{row['id']}",
        "custom_id": row["id"],
        "response": None,
        "error": {"code": row["reason"], "message": row["detail"], "line": row["line"]},
        "rung": {key: row[key] for key in ("status", "issues", "best", "tier", "cost_usd")},
    }


def _messages(given: Any) -> tuple[Message, ...]:
    if not isinstance(given, list) or not given:
        raise UnusableRow("its body has no messages")
    turns = []
    for turn in given:
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            raise UnusableRow("a message is not an object with 'role' and 'content'")
        role = _ROLES.get(turn["role"])
        extra = {key for key, value in turn.items() if value is not None} - {"role", "content", "name"}
        if extra or role is None:
            raise UnusableRow("a message has tool calls, or a role beside system, user and assistant")
        turns.append(Message(role, _content(turn.get("content"))))
    if not any(turn.role == "user" and turn.text.strip() for turn in turns):
        raise UnusableRow("its messages have no user's turn with a text")
    return tuple(turns)


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content:
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        if len(texts) == len(content) and all(isinstance(text, str) for text in texts):
            return "\n".join(text for text in texts if isinstance(text, str))
    raise UnusableRow("a message's content is not text; pictures and sounds are not supported")


def _schema(form: Any) -> Mapping[str, Any] | None:
    if form is None or form == {"type": "text"}:
        return None
    if form == {"type": "json_object"}:
        return {"type": "object"}
    if isinstance(form, dict) and form.get("type") == "json_schema" and isinstance(form.get("json_schema"), dict):
        schema = form["json_schema"].get("schema")
        if isinstance(schema, dict):
            return schema
    raise UnusableRow("its response_format is not one of text, json_object, json_schema")
