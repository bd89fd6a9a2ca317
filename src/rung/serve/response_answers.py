"""A response as JSON: its status, its items, and the settings of its request."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openai.types.responses import Response

from rung.serve.answers import ApiAnswer, logprobs_body, new_id, usage_body
from rung.serve.errors import ApiError
from rung.serve.responses import AskedResponse, echo
from rung.serve.telling import x_rung
from rung.types import Outcome, ToolCall

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Frame:
    """A response throughout its life: id, time and request stay the same.

    Args:
        asked: the request.
    """

    asked: AskedResponse
    id: str = field(default_factory=lambda: _id("resp"))
    created: int = field(default_factory=lambda: int(time.time()))

    def body(self, status: str, items: Sequence[Item] = (), **more: Any) -> dict[str, Any]:
        """The response in a given status.

        Args:
            status: `in_progress`, `completed`, `incomplete` or `failed`.
            items: its output.
            more: further fields.
        """
        whole = {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "output": list(items),
            "usage": None,
            **echo(self.asked.body, self.asked.asking),
            **more,
        }
        return Response.model_validate(whole).model_dump(mode="json", by_alias=True, exclude_unset=True)

    def ended(self, answer: ApiAnswer, outcome: Outcome[Any], items: Sequence[Item] | None = None) -> dict[str, Any]:
        """The response with its answer.

        Args:
            answer: the answer.
            outcome: the outcome of the request.
            items: its output, if it was sent already.
        """
        return self.body(
            "incomplete" if answer.cut else "completed",
            items_of(answer, logprobs=self.asked.asking.logprobs) if items is None else items,
            incomplete_details={"reason": "max_output_tokens"} if answer.cut else None,
            usage=_usage(outcome),
            x_rung=x_rung(outcome),
        )

    def failed(self, error: ApiError, items: Sequence[Item] = ()) -> dict[str, Any]:
        """The response to a failed request.

        Args:
            error: why it failed.
            items: the part of the output that was sent.
        """
        kind = "rate_limit_exceeded" if error.status == 429 else "invalid_prompt" if error.status == 400 else None
        told = {"code": kind or "server_error", "message": error.message, "type": error.type}
        return self.body("failed", items, error=told, **error.extra)


def items_of(answer: ApiAnswer, *, logprobs: bool = False) -> list[Item]:
    """The output items of an answer: reasoning, text, and tool calls.

    Args:
        answer: the whole answer.
        logprobs: whether log-probabilities are wanted.
    """
    items = [thought_item(answer.reasoning)] if answer.reasoning else []
    if answer.text is not None:
        status = "incomplete" if answer.cut else "completed"
        items.append(message_item(answer.text, status=status, logprobs=logprobs_of(answer) if logprobs else ()))
    return [*items, *(call_item(call) for call in answer.calls)]


def message_item(text: str, *, status: str = "completed", logprobs: Sequence[Any] = ()) -> Item:
    """A message of the assistant."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}
    return {"type": "message", "id": _id("msg"), "status": status, "role": "assistant", "content": [part]}


def thought_item(text: str) -> Item:
    """The reasoning before an answer."""
    part = {"type": "reasoning_text", "text": text}
    return {"type": "reasoning", "id": _id("rs"), "status": "completed", "summary": [], "content": [part]}


def call_item(call: ToolCall) -> Item:
    """A function call."""
    named = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
    return {"type": "function_call", "id": _id("fc"), "status": "completed", **named}


def logprobs_of(answer: ApiAnswer) -> Sequence[Any]:
    """Log-probabilities of an answer; empty if the tier doesn't report them."""
    found = logprobs_body(answer.tokens)
    return () if found is None else found["content"]


def _usage(outcome: Outcome[Any]) -> Mapping[str, Any] | None:
    used = usage_body([outcome])
    if used is None:
        return None
    # the format has no value for an unknown count
    cached = used.get("prompt_tokens_details", {}).get("cached_tokens") or 0
    return {
        "input_tokens": used["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": used["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used["total_tokens"],
    }


def _id(prefix: str) -> str:
    return new_id(prefix).replace("-", "_", 1)
