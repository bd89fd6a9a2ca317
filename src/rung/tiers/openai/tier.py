"""A tier that is an OpenAI-compatible endpoint: a cloud, a server in the LAN, a server on this machine."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, get_args

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
from rung.files import full
from rung.guard import offline
from rung.hiding import hide
from rung.limits import LONGEST
from rung.tier import Outgoing
from rung.tiers.openai.body import ConstraintSetting, Dialect, TokenLimit, compose, extra_fields, left_out
from rung.tiers.openai.breaker import breaker_of
from rung.tiers.openai.endpoint import Endpoint, runs_elsewhere
from rung.tiers.openai.exchange import Exchange
from rung.tiers.openai.memory import memory_of
from rung.tiers.openai.prices import Listed, tariff
from rung.tiers.openai.secret import Env, Secret
from rung.tiers.openai.session import EndpointSession, Job, Route
from rung.types import Call, Delta, Image, Price, Quote, Zone

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_OPENAI = "api.openai.com"
_PAID_CAP = 2048
_LONGEST_WAIT = 3600.0
_QUESTIONS = 3
"""How often a loopback endpoint that doesn't answer is asked where it runs its model, so that one which is always busy
delays a few calls and not every one."""
# Tokens of a chat template beside the texts: three a message for OpenAI's own models
# (https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken), a default system turn for others.
_TEMPLATE_TOKENS, _MESSAGE_TOKENS = 64, 16


class OpenAITier:
    """An endpoint that speaks the chat completions API.

    Nothing of it is read from the environment but a key whose variable is named. It follows no redirect. An endpoint on
    this machine is asked, before a first prompt goes there, whether another machine runs the model (`ollama.py`).

    Args:
        model: as the endpoint names it.
        name: of the tier; the model's by default.
        base_url: where `/chat/completions` lies. A host name other than `localhost` is never looked up before a call,
            so it counts as `INTERNET`; give a LAN server by its address.
        api_key: the key, or the variable that holds it. A variable is read when a call needs it.
        price: what it charges, or `"genai-prices"`: what the installed package of that name lists for the model at this
            base URL, dearest hour and no discounts. With a price, every call is sent with a cap on the answer.
        zone: how far a prompt travels, where that is further than the URL says. Can't lower it.
        leads_to: for a host name, the zone of the addresses that it may lead to; the internet by default. Nothing is
            sent to an address elsewhere. It doesn't change how far the prompt counts as travelling. With a proxy it is
            about the proxy's name, since the proxy is what is connected to.
        store: `False` tells the endpoint not to keep the request; only said unasked to api.openai.com, since others may
            not know the field.
        stays_here: for a loopback endpoint, whether you vouch that it hands no prompt on.
        constraint: how the endpoint is told the shape of an answer: `response_format` with a schema, vLLM's
            `structured_outputs`, any JSON object, or nothing.
        extra_body: further fields of the request.
        leave_out: fields that the endpoint doesn't take, out of `temperature`, `top_p`, `seed`, `stream`,
            `stream_options`, `store` and `logprobs`. What an endpoint refuses is left out anyway, and remembered as
            long as the process lives; this saves the request by which that is found out.
        merge_system: whether a system turn goes into the user's, for an endpoint that takes none. Found out in the same
            way.
        token_limit: the field that caps the answer; by default the new one at api.openai.com, the old one elsewhere.
        max_tokens: cap on an answer where the call names none, in tokens; 2,048 for a tier with a price.
        context: what prompt and answer may take together, in tokens.
        logprobs: whether to ask for log-probabilities.
        proxy: base URL of an HTTP proxy. Its zone counts too. One that speaks TLS itself is given by its address.
        ca_bundle: file of certificates to trust instead of the system's.
        retries: how often a request is sent again that failed for the moment. A tier with a price repeats only what
            can't have been billed.
        connect_seconds: longest wait for a connection.
        stall_seconds: longest wait between two pieces of a response, the first one included.
        max_answer_bytes: longest response that is read, in bytes as sent, so with all of its framing.
        seed: of the jitter in the waits between retries.

    Raises:
        ConfigError: a setting is malformed, or `zone` would lower the zone.
    """

    def __init__(
        self,
        model: str,
        *,
        name: str | None = None,
        base_url: str = "https://api.openai.com/v1",
        api_key: str | Env | None = None,
        price: Price | Listed | None = None,
        zone: Zone | None = None,
        leads_to: Zone | None = None,
        store: Literal[False] | None = None,
        stays_here: bool = False,
        constraint: ConstraintSetting = "json_schema",
        extra_body: Mapping[str, Any] | None = None,
        leave_out: Collection[str] = (),
        merge_system: bool = False,
        token_limit: TokenLimit | None = None,
        max_tokens: int | None = None,
        context: int | None = None,
        logprobs: bool = False,
        proxy: str | None = None,
        ca_bundle: str | Path | None = None,
        retries: int = 2,
        connect_seconds: float = 10.0,
        stall_seconds: float = 120.0,
        max_answer_bytes: int = 32 * 1024 * 1024,
        seed: int | None = None,
    ) -> None:
        if not checking.text("model", model):
            raise ConfigError("model is empty", hint="name the model as the endpoint calls it")
        self.name = model if name is None else checking.text("a tier's name", name) or model
        where = f"tier {hide(self.name)!r}"
        for setting, given in (("base_url", base_url), ("proxy", proxy)):
            if given is not None or setting == "base_url":
                checking.text(f"{where}: {setting}", given)
        for setting, said, kinds, kind in (
            ("price", price, (Price, str), "a rung.Price"),
            ("extra_body", extra_body, Mapping, "a mapping"),
            ("api_key", api_key, (str, Env), "a text or the name of a variable"),
            ("ca_bundle", ca_bundle, (str, Path), "the path of a file"),
        ):
            if said is not None:
                checking.instance(f"{where}: {setting}", said, kinds, kind)
        zone, leads_to = (None if given is None else Zone.parse(given) for given in (zone, leads_to))
        for setting, flag in (
            ("stays_here", stays_here),
            ("logprobs", logprobs),
            ("merge_system", merge_system),
        ):
            checking.flag(f"{where}: {setting}", flag)
        self._endpoint = Endpoint.parse(base_url, f"{where}: base_url")
        self._proxy = None if proxy is None else Endpoint.parse(proxy, f"{where}: proxy")
        for setting, said, words in (
            ("constraint", constraint, get_args(ConstraintSetting)),
            ("token_limit", token_limit, (None, *get_args(TokenLimit))),
        ):
            if said not in words:
                known = ", ".join(word for word in words if word)
                raise ConfigError(
                    f"{where}: {setting} = {hide(str(said)[:40])!r} is unknown", hint=f"say one of {known}"
                )
        charges = tariff(price, model, self._endpoint.url, where)
        if store not in (None, False):
            raise ConfigError(
                f"{where}: store = {hide(str(store)[:40])} lets the endpoint keep prompts", hint="say false"
            )
        if self._proxy is not None and self._proxy.scheme == "https" and not self._proxy.addresses:
            raise ConfigError(f"{where}: proxy is an https URL with a host name", hint="give its address, or use http")
        if leads_to is not None and (self._proxy or self._endpoint).addresses:
            raise ConfigError(f"{where}: leads_to is for a host name", hint="leave out leads_to")
        at_openai = self._endpoint.host == _OPENAI or self._endpoint.host.endswith(f".{_OPENAI}")
        self._dialect = Dialect(
            model=model,
            constraint=constraint,
            token_limit=token_limit or ("max_completion_tokens" if at_openai else "max_tokens"),
            max_tokens=max_tokens or (_PAID_CAP if charges is not None else None),
            logprobs=logprobs,
            store=at_openai or store is False,
            hints_only=at_openai,
            extra_body=extra_fields(extra_body or {}, where),
            dropped=left_out(leave_out, where),
            merges_system=merge_system,
        )
        closest = self._nearest_zone()
        self.zone = closest if zone is None else zone
        if self.zone < closest:
            raise ConfigError(f"{where}: zone = {zone} is nearer than {closest}, where it is", hint="leave out zone")
        if stays_here and self.zone > Zone.HOST:
            raise ConfigError(f"{where}: stays_here, but its zone is {self.zone}", hint="leave out stays_here")
        self.stays_here: bool | None = (stays_here or None) if self.zone == Zone.HOST else False
        self.destination = f"{self._endpoint} through {self._proxy}" if self._proxy else str(self._endpoint)
        self.hosts = frozenset(e.host for e in (self._endpoint, self._proxy) if e)
        bundle = None if ca_bundle is None else str(full(ca_bundle, f"{where}: ca_bundle"))
        if bundle is not None and not Path(bundle).is_file():
            raise ConfigError(f"{where}: ca_bundle is not a file", hint="give the path of a PEM file")
        for setting, count, least in (
            ("max_tokens", max_tokens, 1),
            ("context", context, 1),
            ("retries", retries, 0),
            ("max_answer_bytes", max_answer_bytes, 1),
            ("seed", seed, 0),
        ):
            if count is not None:
                checking.whole(f"{where}: {setting}", count, least)
        for setting, seconds in (("connect_seconds", connect_seconds), ("stall_seconds", stall_seconds)):
            checking.real(f"{where}: {setting}", seconds, 0.001, LONGEST)
        self._key = Secret("api_key", api_key)
        self._tariff = charges
        self.priced = charges is not None
        self._paid = charges is not None and not charges.free
        self._context = context
        self._retries = retries
        self._questions = _QUESTIONS
        self._dice = random.Random(seed)
        self._session = EndpointSession(
            Route(
                self._endpoint,
                Zone.INTERNET if leads_to is None else leads_to,
                self._proxy,
                bundle,
                connect_seconds,
                stall_seconds,
                max_answer_bytes,
            )
        )
        place = " ".join(e.url for e in (self._endpoint, self._proxy) if e)
        self._breaker = breaker_of(place, self.destination)
        self._memory = memory_of(place, model)
        # Ends the thread of a tier that nobody closed, at the latest before the interpreter goes.
        weakref.finalize(self, self._session.close)

    def stream(self, call: Call) -> Iterator[Delta]:
        """Answer the call, piece by piece. Nothing is sent before the first piece is asked for.

        Raises:
            TierError: the endpoint didn't answer.
            Unsupported: a message can't be said in this format.
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
                f"tier {hide(self.name)!r} lies beyond this machine, and the environment says offline",
                hint="unset RUNG_OFFLINE and HF_HUB_OFFLINE if a prompt may go there",
            )
        exchange.key = self._key.read()
        self._check(call, exchange)
        trial = self._breaker.enter()
        try:
            yield from self._answer(call, exchange)
        except TierTimeout:
            # the one that the deadline raises here; the endpoint's own are judged where they were met
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
        """What the call would take at most. Sends nothing.

        The tokenizer is unknown, so the prompt is counted high: a token of a byte-level vocabulary stands for at least
        one byte, so there are no more of them than bytes in the whole request, field names included; on top of that,
        what a chat template may add.

        Raises:
            TierUnavailable: the key's variable is not set, or the endpoint is in trouble and left alone for a while.
            Unsupported: the tier has a price, and the call holds a picture, whose tokens nobody here can bound.
        """
        self._key.read()
        self._breaker.check()
        # Without the room that the endpoint counted for another prompt, since that doesn't bound this one.
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
        """The first request that the call would send; an endpoint that refuses a part of it is sent less.

        Raises:
            Unsupported: a message can't be said in this format.
        """
        form = self._memory.form(self._dialect, call.shape)
        body = compose(call, self._memory.dialect(self._dialect), form)
        return Outgoing(self.name, self.zone, f"POST {hide(self._endpoint.url)}/chat/completions", body)

    def warm(self) -> None:
        """Import the SDK and make its client, which a first call would have to wait for. Sends nothing.

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
        """Before a first prompt goes to a loopback endpoint, have it say whether another machine runs the model.

        Raises:
            TierUnavailable: one does. From now on the tier's zone says so, and the ladder asks whoever has to be asked.
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
        """How far a prompt travels by what the settings themselves say."""
        zones = [self._endpoint.zone, *([self._proxy.zone] if self._proxy else [])]
        return Zone.INTERNET if runs_elsewhere(self._dialect.model) else max(zones)
