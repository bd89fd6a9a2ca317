"""A chat completion as a stream. Only validated text is sent, unless the answer could never be escalated."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from openai.types.chat import ChatCompletionChunk

from rung import engine
from rung.serve.answers import ApiAnswer, call_body, logprobs_body, new_id, said, usage_body
from rung.serve.asking import Asking
from rung.serve.errors import ApiError, of_error
from rung.serve.events import DONE, event
from rung.serve.running import merged
from rung.serve.telling import x_rung
from rung.types import Accepted, Event, Finished, Outcome, Provisional, Reason, Withdrawn


@dataclass(slots=True)
class Flow:
    """The part of one answer that was sent while it was written.

    Args:
        attempt: number of the attempt whose text is sent; `None` before the first piece.
        writes: whether any text was sent, and not only reasoning.
        held: number of an attempt, and its leading white space, which is held back until other text follows.
    """

    attempt: int | None = None
    writes: bool = False
    held: tuple[int, str] = (0, "")

    def take(self, draft: Provisional) -> dict[str, str]:
        """The delta to send for a piece; empty if nothing may be sent."""
        if self.attempt not in (None, draft.number):
            return {}
        text = (self.held[1] if self.held[0] == draft.number else "") + draft.text
        self.held = (draft.number, "")
        if not self.writes and not text.strip():
            self.held, text = (draft.number, text), ""
        found = {"content": text} if text else {}
        if draft.reasoning:
            found["reasoning_content"] = draft.reasoning
        if found and self.attempt is None:
            self.attempt = draft.number
            found = {"role": "assistant", "content": "", **found}
        self.writes = self.writes or bool(text)
        return found


@dataclass(frozen=True, slots=True)
class ChatStream:
    """The events of one streamed chat completion.

    Args:
        asking: the request.
        plans: one for each requested answer, with `provisional` set if text is sent before it is validated.
        flows: whether the text is sent while it is written.
        usage: whether to send a chunk with the usage.
    """

    asking: Asking
    plans: Sequence[engine.Plan] = field(repr=False)
    flows: bool = False
    usage: bool = False
    _id: str = field(default_factory=lambda: new_id("chatcmpl"))
    _created: int = field(default_factory=lambda: int(time.time()))

    async def parts(self) -> AsyncGenerator[bytes]:
        """The events, as bytes. An error is the last event."""
        try:
            outcomes: dict[int, Outcome[Any]] = {}
            flows = [Flow() for _ in self.plans]
            async with aclosing(merged(self.plans)) as events:
                async for index, found in events:
                    async for part in self._parts(index, found, flows[index], outcomes):
                        yield part
            if self.usage:
                counted = usage_body([outcomes[index] for index in sorted(outcomes)])
                yield self._chunk([], {"usage": counted})
            yield DONE
        except Exception as error:  # noqa: BLE001  the status was already sent, so every error becomes an event
            yield event(of_error(error).body())

    async def _parts(
        self, index: int, found: Event, flow: Flow, outcomes: dict[int, Outcome[Any]]
    ) -> AsyncIterator[bytes]:
        if isinstance(found, Provisional):
            if self.flows and (delta := flow.take(found)):
                yield self._delta(index, delta)
            if self.asking.limits.drafts and found.text:
                yield self._draft("draft", index, found.tier, found.number, text=found.text)
        elif isinstance(found, Withdrawn):
            if self.asking.limits.drafts:
                yield self._draft("withdrawn", index, found.tier, found.number, reason=str(found.reason))
            if found.number == flow.attempt and found.reason != Reason.CUT_OFF:
                raise too_late(found.tier, str(found.reason))
        elif isinstance(found, Accepted):
            if self.asking.limits.drafts:
                yield self._draft("accepted", index, found.tier, None)
        elif isinstance(found, Finished):
            outcome = outcomes[index] = found.outcome
            if flow.attempt is None:
                for part in self._whole(index, outcome):
                    yield part
            else:
                yield self._end(index, outcome)

    def _whole(self, index: int, outcome: Outcome[Any]) -> list[bytes]:
        """An answer that is sent as a whole, after validation."""
        answer = said(self.asking, outcome)
        parts = [self._delta(index, {"role": "assistant", "content": "" if answer.text is not None else None})]
        if answer.reasoning:
            parts.append(self._delta(index, {"reasoning_content": answer.reasoning}))
        if answer.text:
            parts.append(self._delta(index, {"content": answer.text}, logprobs=self._logprobs(answer)))
        for number, call in enumerate(answer.calls):
            parts.append(self._delta(index, {"tool_calls": [{"index": number, **call_body(call)}]}))
        parts.append(self._delta(index, {}, finish=answer.finish, more={"x_rung": x_rung(outcome)}))
        return parts

    def _end(self, index: int, outcome: Outcome[Any]) -> bytes:
        """The end of an answer that was sent while it was written."""
        if outcome.accepted or outcome.reason == Reason.CUT_OFF:
            finish = "stop" if outcome.accepted else "length"
            return self._delta(index, {}, finish=finish, more={"x_rung": x_rung(outcome)})
        raise too_late(outcome.attempts[-1].tier, str(outcome.reason))

    def _logprobs(self, answer: ApiAnswer) -> dict[str, Any] | None:
        return logprobs_body(answer.tokens) if self.asking.logprobs else None

    def _delta(
        self,
        index: int,
        delta: Mapping[str, Any],
        *,
        finish: str | None = None,
        logprobs: dict[str, Any] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> bytes:
        choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
        usage = {"usage": None} if self.usage else {}
        return self._chunk([choice], {**usage, **(more or {})})

    def _chunk(self, choices: list[dict[str, Any]], more: Mapping[str, Any]) -> bytes:
        chunk = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.asking.model,
            "choices": choices,
            **more,
        }
        return event(ChatCompletionChunk.model_validate(chunk).model_dump(mode="json", exclude_unset=True))

    def _draft(self, name: str, index: int, tier: str, attempt: int | None, **more: str) -> bytes:
        return event({"index": index, "tier": tier, "attempt": attempt, **more}, f"x_rung.{name}")


def too_late(tier: str, reason: str) -> ApiError:
    """The error for an answer that fails after a part of it was sent.

    Args:
        tier: the tier that wrote it.
        reason: why it failed, in one word.
    """
    said = f"the answer of {tier} failed ({reason}) after a part of it was sent, so no other tier was asked"
    return ApiError(502, said, "unresolved", reason or None)
