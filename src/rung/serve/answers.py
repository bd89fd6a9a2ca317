"""From what came of a request to a chat completion: text, calls, reasons, tokens."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from openai.types.chat import ChatCompletion

from rung.serve.asking import Asking
from rung.serve.errors import of_outcome
from rung.serve.telling import x_rung
from rung.serve.tools import answer_of
from rung.types import Outcome, Reason, Token, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """One answer, in terms that every API has.

    Args:
        text: what it says; `None` where it calls tools.
        calls: of tools.
        cut: whether the client's own cap ended it. Nothing vouches for such an answer.
        reasoning: thinking that isn't part of it.
        tokens: of the answer as the model wrote it.
    """

    text: str | None = field(repr=False)
    calls: tuple[ToolCall, ...] = ()
    cut: bool = False
    reasoning: str = field(default="", repr=False)
    tokens: tuple[Token, ...] = field(default=(), repr=False)

    @property
    def finish(self) -> str:
        """Why it ended, in OpenAI's words."""
        return "length" if self.cut else "tool_calls" if self.calls else "stop"


def said(asking: Asking, outcome: Outcome[Any]) -> ApiAnswer:
    """The answer of a request.

    Args:
        asking: the request.
        outcome: what came of it.

    Raises:
        ApiError: there is none.
    """
    if not outcome.accepted:
        return _cut_off(asking, outcome)
    candidate = outcome.attempts[-1].candidate
    reasoning, tokens = (candidate.reasoning, candidate.tokens) if candidate is not None else ("", ())
    if asking.tools is not None:
        text, calls = answer_of(outcome.unwrap())
        return ApiAnswer(text, calls, reasoning=reasoning, tokens=tokens)
    return ApiAnswer(_text(outcome), reasoning=reasoning, tokens=tokens)


def usage_of(outcome: Outcome[Any]) -> Usage:
    """Tokens of the attempt that answered or, where none did, of the last one. `x_rung.usage` has those of all."""
    sent = [attempt for attempt in outcome.attempts if attempt.sent]
    answered = [attempt for attempt in sent if attempt.answered and attempt.usage != Usage(0, 0)]
    return (answered or sent)[-1].usage if sent else Usage()


def usage_body(outcomes: Sequence[Outcome[Any]]) -> dict[str, Any] | None:
    """`usage` of one answer or several, whose prompt is counted once; `None` where nobody counted."""
    used = [usage_of(outcome) for outcome in outcomes]
    prompt = used[0].input_tokens
    written = [usage.output_tokens for usage in used]
    if prompt is None or None in written:
        return None
    total = sum(tokens for tokens in written if tokens is not None)
    body: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": total, "total_tokens": prompt + total}
    if used[0].cached_tokens is not None:
        body["prompt_tokens_details"] = {"cached_tokens": used[0].cached_tokens}
    return body


def completion(asking: Asking, outcomes: Sequence[Outcome[Any]]) -> dict[str, Any]:
    """A chat completion as JSON.

    Args:
        asking: the request.
        outcomes: one for each answer that was wanted.

    Raises:
        ApiError: one of them is missing.
    """
    answers = [said(asking, outcome) for outcome in outcomes]
    choices = []
    for index, answer in enumerate(answers):
        choice = {
            "index": index,
            "message": message_body(answer),
            "finish_reason": answer.finish,
            "logprobs": logprobs_body(answer.tokens) if asking.logprobs else None,
        }
        choices.append(choice if len(answers) == 1 else {**choice, "x_rung": x_rung(outcomes[index])})
    whole = {
        "id": new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asking.model,
        "choices": choices,
        "usage": usage_body(outcomes),
        "x_rung": x_rung(outcomes[0]),
    }
    return ChatCompletion.model_validate(whole).model_dump(mode="json", exclude_unset=True)


def message_body(answer: ApiAnswer) -> dict[str, Any]:
    """The assistant's message."""
    body: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.reasoning:
        body["reasoning_content"] = answer.reasoning
    if answer.calls:
        body["tool_calls"] = [call_body(call) for call in answer.calls]
    return body


def call_body(call: ToolCall) -> dict[str, Any]:
    """A call as it stands in a message."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def logprobs_body(tokens: Sequence[Token]) -> dict[str, Any] | None:
    """`logprobs` of an answer; `None` where the tier gives none. A token that the shape left no choice about is
    certain.
    """
    found = []
    for token in tokens:
        logprob = 0.0 if token.forced else token.logprob
        if logprob is None:
            return None
        if token.text:
            given = list(token.text.encode())
            found.append({"token": token.text, "logprob": logprob, "bytes": given, "top_logprobs": []})
    return {"content": found, "refusal": None} if found else None


def new_id(prefix: str) -> str:
    """An id that no other answer has."""
    return f"{prefix}-{secrets.token_hex(16)}"


def _text(outcome: Outcome[Any]) -> str:
    """The validated value as text: as the model wrote it, where that is the same value and nothing around it."""
    if isinstance(outcome.value, str):
        return outcome.value
    text = (outcome.text or "").strip()
    try:
        if json.loads(text) == outcome.value:
            return text
    except (ValueError, RecursionError):
        pass
    return json.dumps(outcome.value, ensure_ascii=False)


def _cut_off(asking: Asking, outcome: Outcome[Any]) -> ApiAnswer:
    """The answer that the client's own cap ended. Of data nothing is given, because half of it is none."""
    best = outcome.best
    if outcome.reason != Reason.CUT_OFF or asking.max_tokens is None or best is None or best.finish != "length":
        raise of_outcome(outcome)
    free = asking.output is None and asking.tools is None
    return ApiAnswer(best.text if free else "", cut=True, reasoning=best.reasoning, tokens=best.tokens if free else ())
