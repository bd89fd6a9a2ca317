"""The tier for an OpenAI-compatible endpoint: in a cloud, on a server in the LAN, or on this machine."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from rung import checking
from rung.errors import (
    Billed,
    Cancelled,
    ConfigError,
    Offline,
    RungError,
    TierTimeout,
    TierUnavailable,
    Unsupported,
)
from rung.guard import offline
from rung.hiding import hide
from rung.settings import given
from rung.tier import Outgoing, tier_kind
from rung.tiers.openai.body import Dialect, compose
from rung.tiers.openai.breaker import breaker_of
from rung.tiers.openai.endpoint import Endpoint, runs_elsewhere
from rung.tiers.openai.exchange import Exchange
from rung.tiers.openai.memory import memory_of
from rung.tiers.openai.prices import tariff
from rung.tiers.openai.secret import Secret
from rung.tiers.openai.session import EndpointSession, Job, Route
from rung.tiers.openai.settings import OpenAISettings
from rung.types import Call, Delta, Image, Quote, Zone

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_OPENAI = "api.openai.com"
_PAID_CAP = 2048
_LONGEST_WAIT = 3600.0
_QUESTIONS = 3
"""How often a loopback endpoint that doesn't answer is asked where it runs its model. A busy one delays only this many
calls."""
# Tokens that a chat template adds to the texts: three a message for OpenAI's own models
# (https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken), a default system turn for others.
_TEMPLATE_TOKENS, _MESSAGE_TOKENS = 64, 16


class OpenAITier:
    """An endpoint that speaks the chat completions API.

    Nothing is read from the environment except a key whose variable is named. The tier follows no redirect. Before a
    first prompt goes to an endpoint on this machine, the endpoint is asked whether another machine runs the model
    (`ollama.py`).

    Args:
        model: as the endpoint names it.
        name: of the tier; by default the model's.
        settings: those of `OpenAISettings`, for example `base_url="http://127.0.0.1:8080/v1"`.
        seed: seed of the jitter in the waits between retries.

    Raises:
        ConfigError: a setting is malformed, or `zone` would lower the zone.
    """

    def __init__(
        self,
        model: str,
        *,
        name: str | None = None,
        seed: int | None = None,
        **settings: Any,
    ) -> None:
        self.name = model if name is None else checking.text("a tier's name", name) or model
        where = f"tier {hide(checking.text('model', self.name))!r}"
        said = given(OpenAISettings, {"model": model, **settings}, where)
        if seed is not None:
            checking.whole(f"{where}: seed", seed, 0)
        self._endpoint = Endpoint.parse(said.base_url, f"{where}: base_url")
        self._proxy = None if said.proxy is None else Endpoint.parse(said.proxy, f"{where}: proxy")
        charges = tariff(said.price, model, self._endpoint.url, where)
        if self._proxy is not None and self._proxy.scheme == "https" and not self._proxy.addresses:
            raise ConfigError(f"{where}: proxy is an https URL with a host name", hint="give its address, or use http")
        if said.leads_to is not None and (self._proxy or self._endpoint).addresses:
            raise ConfigError(f"{where}: leads_to is for a host name", hint="leave out leads_to")
        at_openai = self._endpoint.host == _OPENAI or self._endpoint.host.endswith(f".{_OPENAI}")
        self._dialect = Dialect(
            model=model,
            constraint=said.constraint,
            token_limit=said.token_limit or ("max_completion_tokens" if at_openai else "max_tokens"),
            max_tokens=said.max_tokens or (_PAID_CAP if charges is not None else None),
            logprobs=said.logprobs,
            store=at_openai or said.store is False,
            hints_only=at_openai,
            extra_body=said.extra_body or {},
            dropped=frozenset(said.leave_out),
            merges_system=said.merge_system,
        )
        closest = self._nearest_zone()
        self.zone = closest if said.zone is None else said.zone
        if self.zone < closest:
            raise ConfigError(
                f"{where}: zone = {said.zone} is nearer than {closest}, its real zone", hint="leave out zone"
            )
        if said.stays_here and self.zone > Zone.HOST:
            raise ConfigError(f"{where}: stays_here is set, but its zone is {self.zone}", hint="leave out stays_here")
        self.stays_here: bool | None = (said.stays_here or None) if self.zone == Zone.HOST else False
        self.destination = f"{self._endpoint} through {self._proxy}" if self._proxy else str(self._endpoint)
        self.hosts = frozenset(e.host for e in (self._endpoint, self._proxy) if e)
        self._key = Secret("api_key", said.api_key)
        self._tariff = charges
        self.priced = charges is not None
        self._paid = charges is not None and not charges.free
        self._context = said.context
        self._retries = said.retries
        self._questions = _QUESTIONS
        self._dice = random.Random(seed)
        self._session = EndpointSession(
            Route(
                self._endpoint,
                Zone.INTERNET if said.leads_to is None else said.leads_to,
                self._proxy,
                None if said.ca_bundle is None else str(said.ca_bundle),
                said.connect_seconds,
                said.stall_seconds,
                said.max_answer_bytes,
            )
        )
        place = " ".join(e.url for e in (self._endpoint, self._proxy) if e)
        self._breaker = breaker_of(place, self.destination)
        self._memory = memory_of(place, model)
        # Ends the thread of a tier that nobody closed, before the interpreter exits.
        weakref.finalize(self, self._session.close)

    def stream(self, call: Call) -> Iterator[Delta]:
        """Answer the call, piece by piece. Nothing is sent before the first piece is asked for.

        Raises:
            TierError: the endpoint didn't answer.
            Unsupported: a message can't be expressed in this format.
            Offline: the environment or the process's guard forbids the connection.
            Cancelled: the call's flag was set.
        """
        exchange = Exchange(None)
        try:
            yield from self._stream(call, exchange)
        except RungError as error:
            error.sent = exchange.leave()
            raise
        finally:
            exchange.leave()

    def _stream(self, call: Call, exchange: Exchange) -> Iterator[Delta]:
        if self.zone > Zone.HOST and offline():
            raise Offline(
                f"tier {hide(self.name)!r} is beyond this machine, and the environment says offline",
                hint="unset RUNG_OFFLINE and HF_HUB_OFFLINE if a prompt may go there",
            )
        exchange.key = self._key.read()
        self._check(call, exchange)
        trial = self._breaker.enter()
        try:
            yield from self._answer(call, exchange)
        except TierTimeout:
            # the error that the deadline raises here; the endpoint's own errors were judged where they occurred
            exchange.health = exchange.health or exchange.given_up()
            raise
        finally:
            trial.end(exchange.health, exchange.wait)

    def _answer(self, call: Call, exchange: Exchange) -> Iterator[Delta]:
        inbox: SimpleQueue[Delta | Future[None] | None] = SimpleQueue()
        running = self._session.start(self._job(call, exchange, inbox.put))
        running.add_done_callback(inbox.put)
        forget = call.cancel.on_set(lambda: inbox.put(None))
        try:
            while True:
                self._check(call, exchange)
                left = call.deadline.remaining()
                try:
                    item = inbox.get(timeout=_LONGEST_WAIT if left is None else min(left, _LONGEST_WAIT))
                except Empty:
                    continue
                if isinstance(item, Delta):
                    yield item
                elif item is not None:
                    if item.cancelled():
                        raise TierUnavailable("the tier was closed while it answered", billed=self._billed(exchange))
                    item.result()
                    return
        finally:
            forget()
            running.cancel()

    def quote(self, call: Call) -> Quote:
        """The most that the call would take. Sends nothing.

        The tokenizer is unknown, so the prompt's tokens get an upper bound. A token of a byte-level vocabulary stands
        for at least one byte, so there are no more tokens than bytes in the whole request, including field names. Then
        comes what a chat template may add.

        Raises:
            TierUnavailable: the key's variable is not set, or the endpoint failed and is left alone for a while.
            Unsupported: the tier has a price, and the call contains a picture, whose tokens have no known bound.
        """
        self._key.read()
        self._breaker.check()
        # Without the room that the endpoint counted for another prompt, because it doesn't bound this one.
        dialect = replace(self._memory.dialect(self._dialect), room=None)
        body = compose(call, dialect, self._memory.form(self._dialect, call.shape))
        tokens: int | None = len(body) + _TEMPLATE_TOKENS + _MESSAGE_TOKENS * len(call.messages)
        if any(isinstance(part, Image) for message in call.messages for part in message.content):
            tokens = None
        cap = dialect.cap(call)
        if self._tariff is None or cap is None:
            return Quote(tokens, self._context, cap)
        if tokens is None:
            raise Unsupported(f"tier {hide(self.name)!r} has a price, and what a picture costs is unknown")
        price = self._tariff.at(tokens)
        cost = price.cost(tokens, cap * call.candidates)
        return Quote(tokens, self._context, cap, cost, price)

    def outgoing(self, call: Call) -> Outgoing:
        """The first request that the call would send. If the endpoint refuses a part of it, it is sent less.

        Raises:
            Unsupported: a message can't be expressed in this format.
        """
        form = self._memory.form(self._dialect, call.shape)
        body = compose(call, self._memory.dialect(self._dialect), form)
        return Outgoing(self.name, self.zone, f"POST {hide(self._endpoint.url)}/chat/completions", body)

    def warm(self) -> None:
        """Import the SDK and make its client, so that the first call doesn't wait for them. Sends nothing.

        Raises:
            TierUnavailable: the SDK is not installed, or the certificates can't be read.
        """

        async def get_ready(client: AsyncOpenAI) -> None:
            from rung.tiers.openai import conversation, failures  # noqa: F401  what a call imports

        self._session.start(get_ready).result()

    def close(self) -> None:
        """Cancel what runs, close the connections and end the thread. The next call starts a new one."""
        self._session.close()

    def __repr__(self) -> str:
        name, model = hide(self.name), hide(self._dialect.model)
        return f"OpenAITier(name={name!r}, model={model!r}, destination={self.destination!r}, zone={self.zone})"

    def _job(self, call: Call, exchange: Exchange, emit: Callable[[Delta], None]) -> Job:
        async def job(client: AsyncOpenAI) -> None:
            from rung.tiers.openai.conversation import Conversation
            from rung.tiers.openai.failures import Judge

            await self._ask_where(client, call)
            judge = Judge(self._endpoint, self._proxy, self._dialect.model, self._key.hint, self._paid)
            await Conversation(call, self._dialect, self._memory, judge, exchange, self._retries, self._dice, emit).run(
                client
            )

        return job

    async def _ask_where(self, client: AsyncOpenAI, call: Call) -> None:
        """Before a first prompt goes to a loopback endpoint, ask it whether another machine runs the model.

        Raises:
            TierUnavailable: it does. From then on the tier's zone says so, and the ladder asks for consent as needed.
        """
        if self.zone > Zone.HOST or self._proxy is not None or not self._questions:
            return
        from rung.tiers.openai import ollama

        left = call.deadline.remaining()
        told = await ollama.ask(client, self._endpoint, self._dialect.model, _LONGEST_WAIT if left is None else left)
        self._questions = self._questions - 1 if told == "nothing" else 0
        if told == "elsewhere":
            self.zone, self.stays_here = Zone.INTERNET, False
            raise TierUnavailable(
                f"{self.destination} says that another machine runs {hide(self._dialect.model)!r}; nothing was sent",
                hint='if prompts may leave this machine for it, set zone = "internet" for the tier, and the reach',
            )

    def _check(self, call: Call, exchange: Exchange) -> None:
        if call.cancel.is_set():
            raise Cancelled("the caller cancelled")
        if call.deadline.passed:
            raise TierTimeout(f"the deadline passed before {self.destination} answered", billed=self._billed(exchange))

    def _billed(self, exchange: Exchange) -> Billed:
        return "maybe" if exchange.sent and self._paid else "no"

    def _nearest_zone(self) -> Zone:
        """The zone according to the settings themselves."""
        zones = [self._endpoint.zone, *([self._proxy.zone] if self._proxy else [])]
        return Zone.INTERNET if runs_elsewhere(self._dialect.model) else max(zones)


@tier_kind(OpenAISettings)
def from_config(name: str, settings: OpenAISettings) -> OpenAITier:
    """Make the tier of a configuration table: the entry point of the kind `openai`.

    Args:
        name: of the tier.
        settings: the other keys of its table.
    """
    return OpenAITier(name=name, **dict(settings))
