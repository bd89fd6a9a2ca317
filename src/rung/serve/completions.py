"""The older completions API: the prompt is one user turn, and the answer is bare text."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from openai.types import Completion

from rung import engine
from rung.serve.answers import ApiAnswer, new_id, said, usage_body
from rung.serve.asking import Asking, RungBody
from rung.serve.bodies import CompletionBody
from rung.serve.chat import left_out, sampling
from rung.serve.chunks import Flow, too_late
from rung.serve.errors import ApiError, of_error
from rung.serve.events import DONE, event
from rung.serve.running import merged
from rung.serve.telling import x_rung
from rung.types import Finished, Message, Outcome, Provisional, Reason, Token, Withdrawn

_LEFT_OUT = ("best_of", "frequency_penalty", "logit_bias", "presence_penalty", "suffix")


def asking(body: CompletionBody) -> Asking:
    """What a completion asks.

    Raises:
        ApiError: it has several prompts, or asks to repeat the prompt.
    """
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if len(prompts) != 1:
        raise ApiError(400, "a request has one prompt", code="unsupported", param="prompt")
    if body.echo:
        raise ApiError(400, "the prompt can't be repeated in the answer", code="unsupported", param="echo")
    notes = left_out(body, _LEFT_OUT)
    if body.logprobs:
        notes.append("logprobs has the tokens that were written: no tier reports the other likely ones")
    return Asking(
        model=body.model,
        messages=(Message("user", prompts[0]),),
        sampling=sampling(body),
        max_tokens=body.max_tokens,
        answers=body.n or 1,
        logprobs=body.logprobs is not None,
        limits=body.x_rung or RungBody(),
        notes=tuple(notes),
    )


def completion(asking: Asking, outcomes: Sequence[Outcome[Any]]) -> dict[str, Any]:
    """A completion as JSON.

    Args:
        asking: the request.
        outcomes: one for each requested answer.

    Raises:
        ApiError: an answer is missing.
    """
    answers = [said(asking, outcome) for outcome in outcomes]
    choices = [_choice(asking, index, answer) for index, answer in enumerate(answers)]
    whole = {**_head(asking), "choices": choices, "usage": usage_body(outcomes), "x_rung": x_rung(outcomes[0])}
    return Completion.model_validate(whole).model_dump(mode="json", exclude_unset=True)


@dataclass(frozen=True, slots=True)
class CompletionStream:
    """The events of one streamed completion. It takes the same arguments as `ChatStream`."""

    asking: Asking
    plans: Sequence[engine.Plan] = field(repr=False)
    flows: bool = False
    usage: bool = False

    async def parts(self) -> AsyncGenerator[bytes]:
        """The events, as bytes. An error is the last event."""
        head = _head(self.asking)
        flows = [Flow() for _ in self.plans]
        outcomes: dict[int, Outcome[Any]] = {}
        try:
            async with aclosing(merged(self.plans)) as events:
                async for index, found in events:
                    flow = flows[index]
                    if isinstance(found, Provisional) and self.flows:
                        text = flow.take(found).get("content")
                        if text:
                            yield event({**head, "choices": [_text(index, text, None)]})
                    elif isinstance(found, Withdrawn) and found.number == flow.attempt:
                        if found.reason != Reason.CUT_OFF:
                            raise too_late(found.tier, str(found.reason))
                    elif isinstance(found, Finished):
                        outcomes[index] = found.outcome
                        yield event({**head, "choices": [self._last(index, flow, found.outcome)]})
            if self.usage:
                counted = usage_body([outcomes[index] for index in sorted(outcomes)])
                yield event({**head, "choices": [], "usage": counted})
            yield DONE
        except Exception as error:  # noqa: BLE001  the status was already sent, so every error becomes an event
            yield event(of_error(error).body())

    def _last(self, index: int, flow: Flow, outcome: Outcome[Any]) -> dict[str, Any]:
        if flow.writes:
            if not outcome.accepted and outcome.reason != Reason.CUT_OFF:
                raise too_late(outcome.attempts[-1].tier, str(outcome.reason))
            return {**_text(index, "", "stop" if outcome.accepted else "length"), "x_rung": x_rung(outcome)}
        answer = said(self.asking, outcome)
        return {**_choice(self.asking, index, answer), "x_rung": x_rung(outcome)}


def _head(asking: Asking) -> dict[str, Any]:
    return {
        "id": new_id("cmpl"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": asking.model,
    }


def _choice(asking: Asking, index: int, answer: ApiAnswer) -> dict[str, Any]:
    choice = _text(index, answer.text or "", answer.finish)
    return {**choice, "logprobs": _logprobs(answer.tokens) if asking.logprobs else None}


def _text(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "finish_reason": finish, "logprobs": None}


def _logprobs(tokens: Sequence[Token]) -> dict[str, Any] | None:
    """Log-probabilities in this API's format; `None` if the tier doesn't report them."""
    if not tokens or any(token.logprob is None and not token.forced for token in tokens):
        return None
    offsets, at = [], 0
    for token in tokens:
        offsets.append(at)
        at += len(token.text)
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [0.0 if token.forced else token.logprob for token in tokens],
        "text_offset": offsets,
        "top_logprobs": None,
    }
