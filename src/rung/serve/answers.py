"""From the outcome of a request to a chat completion: text, tool calls, reasons, tokens."""

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
    """One answer, in terms that all APIs share.

    Args:
        text: what the model says; `None` if it calls tools.
        calls: the tool calls.
        cut: whether the client's own cap cut the answer off. Such an answer isn't validated.
        reasoning: thinking that isn't part of the answer.
        tokens: of the answer, as the model wrote it.
    """

    text: str | None = field(repr=False)
    calls: tuple[ToolCall, ...] = ()
    cut: bool = False
    reasoning: str = field(default="", repr=False)
    tokens: tuple[Token, ...] = field(default=(), repr=False)

    @property
    def finish(self) -> str:
        """Why the answer ended, as OpenAI's `finish_reason`."""
        return "length" if self.cut else "tool_calls" if self.calls else "stop"


def said(asking: Asking, outcome: Outcome[Any]) -> ApiAnswer:
    """The answer of a request.

    Args:
        asking: the request.
        outcome: its outcome.

    Raises:
        ApiError: there is no answer.
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
    """Usage of the attempt that answered or, without one, of the last attempt. `x_rung.usage` has the sum of all."""
    sent = [attempt for attempt in outcome.attempts if attempt.sent]
    answered = [attempt for attempt in sent if attempt.answered and attempt.usage != Usage(0, 0)]
    return (answered or sent)[-1].usage if sent else Usage()


def usage_body(outcomes: Sequence[Outcome[Any]]) -> dict[str, Any] | None:
    """`usage` for one or several answers, which share one prompt. `None` if a count is unknown."""
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
        outcomes: one for each requested answer.

    Raises:
        ApiError: an answer is missing.
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
    """A tool call as part of a message."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def logprobs_body(tokens: Sequence[Token]) -> dict[str, Any] | None:
    """`logprobs` of an answer; `None` if the tier doesn't report them. A token that the constraint left no choice about
    gets probability 1.
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
    """A random id, unique for each answer."""
    return f"{prefix}-{secrets.token_hex(16)}"


def _text(outcome: Outcome[Any]) -> str:
    """The validated value as text. The model's own text is kept if it is exactly that value as JSON."""
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
    """An answer that the client's own cap cut off. Cut-off JSON is useless, so only free text is returned."""
    best = outcome.best
    if outcome.reason != Reason.CUT_OFF or asking.max_tokens is None or best is None or best.finish != "length":
        raise of_outcome(outcome, limited=asking.limits.budget.seconds is not None)
    free = asking.output is None and asking.tools is None
    return ApiAnswer(best.text if free else "", cut=True, reasoning=best.reasoning, tokens=best.tokens if free else ())
