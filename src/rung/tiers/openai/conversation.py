"""One call to an endpoint: asking, waiting, asking again, asking for less."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import httpx2
from openai import AsyncOpenAI, AsyncStream, OpenAIError

from rung.errors import TierError
from rung.tiers.openai.answer import StreamReader
from rung.tiers.openai.body import OPTIONAL, Dialect, Form, TokenLimit, compose
from rung.tiers.openai.exchange import EXCHANGE, Exchange
from rung.tiers.openai.failures import Failure, Judge
from rung.tiers.openai.pauses import PATIENCE, backoff
from rung.types import Call, Delta


@dataclass(slots=True)
class Conversation:
    """Gets one call answered, on the event loop's thread.

    Args:
        call: what is asked.
        dialect: how the endpoint wants to be asked, as far as is known.
        judge: says what a failure means.
        exchange: shared with the thread that waits.
        retries: how often a failed request is sent again.
        dice: jitter of the waits.
        emit: takes the deltas.
        learned: takes the dialect that an answer came to.
    """

    call: Call
    dialect: Dialect
    judge: Judge
    exchange: Exchange
    retries: int
    dice: random.Random
    emit: Callable[[Delta], None]
    learned: Callable[[Dialect], None]
    _forms: list[Form] = field(init=False)
    _renamed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._forms = list(self.dialect.forms(self.call.shape))

    async def run(self, client: AsyncOpenAI) -> None:
        """Send the request until it is answered, for as long as trying again makes sense.

        Raises:
            TierError: the last failure.
            Unsupported: the call can't be said in this format.
        """
        EXCHANGE.set(self.exchange)
        retry = 0
        while True:
            failure, started = await self._ask(client)
            if failure is None:
                self.exchange.health = "alive"
                self.learned(self.dialect)
                return
            self.exchange.health, self.exchange.wait = failure.health, failure.wait
            if failure.filtered and not started:
                self.emit(Delta(notes=("the endpoint's content filter refused the prompt",), finish="refusal"))
                return
            if not started and failure.form and self._yields(failure.parameter):
                continue
            if started or not failure.again or retry >= self.retries:
                raise failure.error
            pause = backoff(retry, failure.wait, self.dice)
            left = self.call.deadline.remaining()
            if pause > PATIENCE or (left is not None and pause >= left):
                raise failure.error
            await asyncio.sleep(pause)
            retry += 1

    async def _ask(self, client: AsyncOpenAI) -> tuple[Failure | None, bool]:
        """Send the request once; the failure that came of it, and whether some of an answer came first."""
        form = self._forms[0]
        body = compose(self.call, self.dialect, form)
        reader = StreamReader(
            None if self.call.shape is None else self.dialect.enforced(form),
            self._notes(form),
            self.call.candidates,
            self.dialect.weighs,
        )
        self.exchange.begin()
        try:
            stream = await client.post(
                "/chat/completions",
                content=body,
                # Plain JSON: the SDK's own models take whatever comes, so a chunk is checked by the reader.
                cast_to=object,
                stream=True,
                stream_cls=AsyncStream[object],
                options={"headers": {"Content-Type": "application/json"}},
            )
            async with stream:
                async for chunk in stream:
                    self._emit(reader, chunk)
            for delta in reader.end():
                self.emit(delta)
        except (OpenAIError, httpx2.HTTPError, TierError, OSError, ValueError, RecursionError) as error:
            failure = self.judge(error, sent=self.exchange.sent, heard=self.exchange.heard)
        else:
            return None, True
        # Until it is sent again, nothing is under way that could be billed.
        self.exchange.sent = self.exchange.sent and not failure.again
        return failure, reader.started

    def _emit(self, reader: StreamReader, chunk: object) -> None:
        for delta in reader.read(chunk):
            self.emit(delta)

    def _yields(self, refused: str) -> bool:
        """Whether the request can be put in a way that leaves out what the endpoint refused."""
        if refused == self.dialect.token_limit and not self._renamed:
            self._renamed = True
            other: TokenLimit = "max_completion_tokens" if refused == "max_tokens" else "max_tokens"
            self.dialect = replace(self.dialect, token_limit=other)
        elif refused in OPTIONAL - self.dialect.dropped:
            self.dialect = replace(self.dialect, dropped=self.dialect.dropped | {refused})
        elif len(self._forms) > 1:
            del self._forms[0]
        else:
            return False
        return True

    def _notes(self, form: Form) -> tuple[str, ...]:
        notes = [f"the endpoint doesn't take {name}; it was left out" for name in sorted(self.dialect.dropped)]
        if form != self.dialect.forms(self.call.shape)[0]:
            how = {"lax": "in strict mode", "none": "at all"}[form]
            notes.append(f"the endpoint didn't take the shape {how}; the answer is validated all the same")
        if self.call.sampling.min_p is not None:
            notes.append("min_p is no field of this API and was left out; extra_body can name it")
        return tuple(notes)
