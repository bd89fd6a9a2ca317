"""One call to an endpoint: asking, waiting, asking again, asking for less."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2
from openai import AsyncOpenAI, AsyncStream, OpenAIError

from rung.errors import TierError
from rung.tiers.openai.answer import StreamReader
from rung.tiers.openai.body import Dialect, Form, compose
from rung.tiers.openai.complaints import Complained
from rung.tiers.openai.events import BodyReader
from rung.tiers.openai.exchange import EXCHANGE, Exchange
from rung.tiers.openai.failures import Failure, Judge
from rung.tiers.openai.memory import Memory
from rung.tiers.openai.pauses import PATIENCE, backoff
from rung.tiers.openai.refusals import Lesser, less
from rung.types import Call, Delta

_LAST_SECONDS = 0.1
"""Longest wait for the end of a body whose stream is over. After its end the connection can be used again."""

_MOST_REFUSALS = 8
"""How often the form of a call is changed. Each time at least one field fewer is sent, and there are as many fields."""


@dataclass(slots=True)
class Conversation:
    """Gets one call answered, on the event loop's thread.

    Args:
        call: the call.
        configured: how the endpoint wants to be asked, according to the settings.
        memory: what it has refused before. What it refuses now is added.
        judge: says what a failure means.
        exchange: shared with the thread that waits.
        retries: how often a failed request is sent again.
        dice: source of the jitter in the waits.
        emit: receives the deltas.
    """

    call: Call
    configured: Dialect
    memory: Memory
    judge: Judge
    exchange: Exchange
    retries: int
    dice: random.Random
    emit: Callable[[Delta], None]
    _dialect: Dialect = field(init=False)
    _form: Form = field(init=False)
    _looser: tuple[Lesser, bool] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._dialect = self.memory.dialect(self.configured)
        self._form = self.memory.form(self.configured, self.call.shape)

    async def run(self, client: AsyncOpenAI) -> None:
        """Send the request until it is answered, for as long as trying again makes sense.

        Raises:
            TierError: the last failure.
            Unsupported: the call can't be expressed in this format.
        """
        EXCHANGE.set(self.exchange)
        if self.memory.unstreamed:
            self.emit(Delta(streams=False))
        retry = refusals = 0
        while True:
            failure, started = await self._ask(client)
            if failure is None:
                self.exchange.health = "alive"
                self._learn()
                return
            self.exchange.health, self.exchange.wait = failure.health, failure.wait
            if failure.filtered and not started:
                self.emit(Delta(notes=("the endpoint's content filter refused the prompt",), finish="refusal"))
                return
            # A 5xx may have nothing to do with the form. Then a changed form counts as one of the retries.
            broke = failure.status >= 500
            most = self._most_retries(failure)
            if not started and failure.form and refusals < _MOST_REFUSALS and (not broke or retry < most):
                looser = less(failure.complaint, failure.status, self.call, self._dialect, self._form)
                if looser is not None:
                    self._take(looser, sure=not broke)
                    refusals, retry = refusals + 1, retry + broke
                    continue
            if started or not failure.again or retry >= most:
                raise failure.error
            pause = backoff(retry, failure.wait, self.dice)
            left = self.call.deadline.remaining()
            if pause > PATIENCE or (left is not None and pause >= left):
                raise failure.error
            await asyncio.sleep(pause)
            retry += 1

    def _most_retries(self, failure: Failure) -> int:
        """How often to ask again: only once if the endpoint is broken and there is another tier."""
        return min(1, self.retries) if self.call.others and not failure.busy else self.retries

    def _take(self, looser: Lesser, *, sure: bool) -> None:
        if looser.form != self._form:
            self._looser = looser, sure
        self._dialect, self._form = looser.dialect, looser.form

    def _learn(self) -> None:
        """The last form was answered, so what it left out need not be tried again."""
        if self._dialect != self.configured:
            self.memory.learn(self._dialect)
        if self._looser is not None and self.call.shape is not None:
            looser, sure = self._looser
            self.memory.learn_form(self.configured, self.call.shape, self._form, always=looser.always, sure=sure)

    async def _ask(self, client: AsyncOpenAI) -> tuple[Failure | None, bool]:
        """Send the request once. Returns the failure, if there was one, and whether some of an answer came first."""
        reader = StreamReader(
            None if self.call.shape is None else self._dialect.enforced(self._form),
            self._notes(),
            self.call.candidates,
            self._dialect.weighs,
            self._dialect.cap(self.call),
        )
        body = compose(self.call, self._dialect, self._form)
        self.exchange.begin()
        headers = None
        try:
            stream = await client.post(
                "/chat/completions",
                content=body,
                # The SDK sends the request and judges the status. What comes is read here, because the SDK's own reader
                # accepts only streams that keep to the format.
                cast_to=object,
                stream=True,
                stream_cls=AsyncStream[object],
                options={"headers": {"Content-Type": "application/json"}},
            )
            async with stream:
                headers = stream.response.headers
                if "json" in headers.get("content-type", "") and "stream" not in headers.get("content-type", ""):
                    self.emit(Delta(streams=False))
                await self._read(stream.response, reader)
        except (OpenAIError, Complained, httpx2.HTTPError, TierError, OSError, ValueError, RecursionError) as error:
            failure = self.judge(error, sent=self.exchange.sent, heard=self.exchange.heard, headers=headers)
        else:
            return None, True
        # Until it is sent again, nothing is under way that could be billed.
        self.exchange.sent = self.exchange.sent and not failure.again
        return failure, reader.started

    async def _read(self, response: httpx2.Response, reader: StreamReader) -> None:
        """Emit the answer in a response."""
        body = BodyReader()
        parts = response.aiter_bytes()
        async for part in parts:
            self._emit(reader, body.feed(part), alone=False)
            if body.done:
                break
        self._emit(reader, body.finish(), alone=body.streams is False)
        self.memory.unstreamed = body.streams is False
        if body.streams is False:
            reader.remark("the endpoint sent its answer in one piece, though a stream was asked for")
        for delta in reader.end(done=body.done):
            self.emit(delta)
        await _drained(parts)

    def _emit(self, reader: StreamReader, values: Iterable[object], *, alone: bool) -> None:
        for value in values:
            for delta in reader.read(value, alone=alone):
                self.emit(delta)

    def _notes(self) -> tuple[str, ...]:
        """What the request leaves out of the settings."""
        dialect, shape = self._dialect, self.call.shape
        notes = [
            f"the endpoint doesn't take {name}; it was left out (leave_out = [{name!r}] saves asking)"
            for name in sorted(dialect.dropped - self.configured.dropped)
        ]
        if dialect.merges_system and not self.configured.merges_system:
            notes.append(
                "the endpoint takes no system turn; its text went into the user's (merge_system = true saves asking)"
            )
        cap, wanted = dialect.cap(self.call), self.configured.cap(self.call)
        if cap != wanted:
            notes.append(f"the answer was capped at {cap:,} tokens instead of {wanted:,}, which the endpoint refuses")
        if self._form != dialect.forms(shape)[0]:
            how = {"lax": "in strict mode", "object": "as a schema", "none": "at all"}[self._form]
            notes.append(f"the endpoint didn't take the shape {how}; the answer is validated all the same")
        if self.call.sampling.min_p is not None:
            notes.append("min_p isn't a field of this API and was left out; extra_body can name it")
        return tuple(notes)


async def _drained(parts: AsyncIterator[bytes]) -> None:
    """Read a body to its end, if that comes soon. Errors don't change the answer."""
    with suppress(TimeoutError, httpx2.HTTPError, httpx2.StreamError, TierError):
        async with asyncio.timeout(_LAST_SECONDS):
            async for _ in parts:
                pass
