"""A response as a stream: events are numbered, and the last one says how the response ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from openai._models import BaseModel
from openai.types import responses as types

from rung import engine
from rung.serve.answers import ApiAnswer, said
from rung.serve.chunks import Flow, too_late
from rung.serve.errors import of_error
from rung.serve.events import event
from rung.serve.response_answers import Frame, Item, call_item, logprobs_of, message_item, thought_item
from rung.serve.running import merged
from rung.types import Accepted, Event, Finished, Outcome, Provisional, Reason, Withdrawn

_TYPES: dict[str, type[BaseModel]] = {
    "response.created": types.ResponseCreatedEvent,
    "response.in_progress": types.ResponseInProgressEvent,
    "response.output_item.added": types.ResponseOutputItemAddedEvent,
    "response.content_part.added": types.ResponseContentPartAddedEvent,
    "response.output_text.delta": types.ResponseTextDeltaEvent,
    "response.output_text.done": types.ResponseTextDoneEvent,
    "response.reasoning_text.delta": types.ResponseReasoningTextDeltaEvent,
    "response.reasoning_text.done": types.ResponseReasoningTextDoneEvent,
    "response.function_call_arguments.delta": types.ResponseFunctionCallArgumentsDeltaEvent,
    "response.function_call_arguments.done": types.ResponseFunctionCallArgumentsDoneEvent,
    "response.content_part.done": types.ResponseContentPartDoneEvent,
    "response.output_item.done": types.ResponseOutputItemDoneEvent,
    "response.completed": types.ResponseCompletedEvent,
    "response.incomplete": types.ResponseIncompleteEvent,
    "response.failed": types.ResponseFailedEvent,
}


@dataclass(slots=True)
class _Written:
    """The items that were sent of a response. The last one may still be open."""

    items: list[Item] = field(default_factory=list, repr=False)
    open: bool = False
    _numbers: int = 0

    def event(self, kind: str, **fields: Any) -> bytes:
        """Encode an event with the next number."""
        told = {"type": kind, **fields, "sequence_number": self._numbers}
        self._numbers += 1
        checked = _TYPES[kind].model_validate(told)
        return event(checked.model_dump(mode="json", by_alias=True, exclude_unset=True), kind)

    def grow(self, item: Item, text: str) -> Iterator[bytes]:
        """Append text to the open item. If that is of another kind, it is closed and a new item begins.

        Args:
            item: the item to begin if none of its kind is open.
            text: the text to append.
        """
        if self.open and self.items[-1]["type"] != item["type"]:
            yield from self.end()
        if not self.open:
            yield from self._begin(item)
        if text:
            part = self.items[-1]["content"][0]
            part["text"] += text
            yield self.event(f"response.{part['type']}.delta", delta=text, **self._where(), **_logprobs(part))

    def _begin(self, item: Item) -> Iterator[bytes]:
        part = {**item["content"][0], "text": ""}
        self.items.append({**item, "status": "in_progress", "content": [part]})
        self.open = True
        yield self._item("added", {**self.items[-1], "content": []})
        yield self._part("added")

    def end(self, status: str = "completed", logprobs: Any = ()) -> Iterator[bytes]:
        """Close the open item."""
        item, self.open = self.items[-1], False
        part = item["content"][0]
        if "logprobs" in part:
            part["logprobs"] = list(logprobs)
        item["status"] = status
        yield self.event(f"response.{part['type']}.done", text=part["text"], **self._where(), **_logprobs(part))
        yield self._part("done")
        yield self._item("done", item)

    def call(self, item: Item) -> Iterator[bytes]:
        """Send a whole function call."""
        self.items.append(item)
        where = {"item_id": item["id"], "output_index": len(self.items) - 1}
        yield self._item("added", {**item, "status": "in_progress", "arguments": ""})
        yield self.event("response.function_call_arguments.delta", delta=item["arguments"], **where)
        yield self.event(
            "response.function_call_arguments.done", arguments=item["arguments"], name=item["name"], **where
        )
        yield self._item("done", item)

    def _where(self) -> dict[str, Any]:
        return {"item_id": self.items[-1]["id"], "output_index": len(self.items) - 1, "content_index": 0}

    def _part(self, what: str) -> bytes:
        return self.event(f"response.content_part.{what}", part=self.items[-1]["content"][0], **self._where())

    def _item(self, what: str, item: Item) -> bytes:
        return self.event(f"response.output_item.{what}", item=item, output_index=len(self.items) - 1)


@dataclass(frozen=True, slots=True)
class ResponseStream:
    """The events of one streamed response.

    Args:
        frame: the response.
        plan: of the request, with `provisional` set if text is sent before it is validated.
        ended: called with the answer and the whole response, once there is one.
        flows: whether the text is sent while it is written.
    """

    frame: Frame
    plan: engine.Plan = field(repr=False)
    ended: Callable[[ApiAnswer, dict[str, Any]], None] = field(repr=False)
    flows: bool = False

    async def parts(self) -> AsyncGenerator[bytes]:
        """The events, as bytes. The last one says how the response ended, even after an error."""
        written = _Written()
        for kind in ("created", "in_progress"):
            yield written.event(f"response.{kind}", response=self.frame.body("in_progress"))
        try:
            flow = Flow()
            async with aclosing(merged([self.plan])) as events:
                async for _, found in events:
                    for part in self._parts(found, flow, written):
                        yield part
        except Exception as error:  # noqa: BLE001  the status was already sent, so every error becomes an event
            if written.open:
                for part in written.end("incomplete"):
                    yield part
            yield written.event("response.failed", response=self.frame.failed(of_error(error), written.items))

    def _parts(self, found: Event, flow: Flow, written: _Written) -> Iterator[bytes]:
        drafts = self.frame.asked.asking.limits.drafts
        if isinstance(found, Provisional):
            sent = flow.take(found) if self.flows else {}
            for key, item in (("reasoning_content", thought_item), ("content", message_item)):
                if sent.get(key):
                    yield from written.grow(item(""), sent[key])
            if drafts and found.text:
                yield _draft("draft", found.tier, found.number, text=found.text)
        elif isinstance(found, Withdrawn):
            if drafts:
                yield _draft("withdrawn", found.tier, found.number, reason=str(found.reason))
            if found.number == flow.attempt and found.reason != Reason.CUT_OFF:
                raise too_late(found.tier, str(found.reason))
        elif isinstance(found, Accepted):
            if drafts:
                yield _draft("accepted", found.tier, None)
        elif isinstance(found, Finished):
            yield from self._end(found.outcome, flow, written)

    def _end(self, outcome: Outcome[Any], flow: Flow, written: _Written) -> Iterator[bytes]:
        asking = self.frame.asked.asking
        answer = said(asking, outcome)
        logprobs = logprobs_of(answer) if asking.logprobs else ()
        status = "incomplete" if answer.cut else "completed"
        if flow.attempt is None and answer.reasoning:
            yield from written.grow(thought_item(""), answer.reasoning)
        if not flow.writes and answer.text is not None:
            yield from written.grow(message_item(""), answer.text)
        if written.open:
            if flow.writes:
                answer = replace(answer, text=written.items[-1]["content"][0]["text"])
            yield from written.end(status, logprobs)
        for call in answer.calls:
            yield from written.call(call_item(call))
        whole = self.frame.ended(answer, outcome, written.items)
        self.ended(answer, whole)
        yield written.event(f"response.{status}", response=whole)


def _logprobs(part: Item) -> dict[str, Any]:
    """`logprobs` for an event, if its kind of part has them."""
    return {"logprobs": part["logprobs"]} if "logprobs" in part else {}


def _draft(name: str, tier: str, attempt: int | None, **more: str) -> bytes:
    return event({"index": 0, "tier": tier, "attempt": attempt, **more}, f"x_rung.{name}")
