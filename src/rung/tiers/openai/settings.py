"""The settings of an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field, ValidationInfo, field_validator

from rung import checking
from rung.allowed import Converted, Disallowed, Flag, Integer, Name, Real, Word
from rung.errors import ConfigError
from rung.files import full
from rung.hiding import hide
from rung.limits import LONGEST, usd
from rung.settings import SettingsTable, Written, is_written
from rung.tiers.openai.body import DROPPABLE, ConstraintSetting, TokenLimit, extra_fields, left_out
from rung.tiers.openai.endpoint import Endpoint
from rung.tiers.openai.prices import LISTED, Listed
from rung.tiers.openai.secret import Env
from rung.types import Price, Zone

T = TypeVar("T")
_SHORTEST = 0.001
"""Seconds of the shortest wait. Clocks can't tell a shorter one from none."""

_MILLION = Converted(
    lambda what, value: usd(value, what), {"type": "number", "minimum": 0, "unit": "US dollars per million tokens"}
)


class KeyTable(SettingsTable):
    """`api_key`: where the key comes from.

    Args:
        env: the environment variable that holds it. It is read when a call needs it.
    """

    env: Name


class PriceTable(SettingsTable):
    """`price`: what the endpoint charges.

    Args:
        input: for prompt tokens.
        output: for answer tokens, reasoning included.
    """

    input: Annotated[Decimal, _MILLION]
    output: Annotated[Decimal, _MILLION]


def _model(what: str, value: object) -> str:
    if not (model := checking.text(what, value)):
        raise ConfigError(f"{what} is empty", hint="name the model as the endpoint calls it")
    return model


def _url(what: str, value: object) -> str:
    url = checking.text(what, value)
    Endpoint.parse(url, what)
    return url


def _named(what: str, make: Callable[[Any], T], value: object) -> T:
    """Convert a value. An error begins with the setting's name."""
    try:
        return make(value)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error.message}", hint=error.hint) from None


def _key(what: str, value: Any) -> str | Env:
    if isinstance(value, KeyTable):
        return _named(what, Env, value.env)
    checking.instance(what, value, (str, Env), "a text or the name of a variable")
    key: str | Env = value
    return key


def _literal(what: str, value: object) -> None:
    raise ConfigError(f"{what} is written into the config", hint='write api_key = { env = "OPENAI_API_KEY" }')


def _price(what: str, value: Any) -> Price | Listed:
    if isinstance(value, PriceTable):
        return Price(value.input, value.output)
    if isinstance(value, str) and value != LISTED:
        said = f"{what} = {hide(value[:40])!r} is unknown"
        raise ConfigError(said, hint='say "genai-prices", or give the price')
    checking.instance(what, value, (Price, str), "a rung.Price")
    price: Price | Listed = value
    return price


def _store(what: str, value: object) -> Literal[False]:
    if value is not False:
        raise ConfigError(f"{what} = {hide(str(value)[:40])} lets the endpoint keep prompts", hint="set it to false")
    return False


def _fields(what: str, value: object) -> dict[str, Any]:
    return extra_fields(what, checking.instance(what, value, Mapping, "a mapping"))


def _file(what: str, value: Any) -> str:
    checking.instance(what, value, (str, Path), "the path of a file")
    path = full(value, what)
    if not path.is_file():
        raise ConfigError(f"{what} is not a file", hint="give the path of a PEM file")
    return str(path)


_ZONE = Converted(
    lambda what, value: _named(what, Zone.parse, value), {"type": "string", "enum": [str(zone) for zone in Zone]}
)
_URL = Converted(_url)
_WAIT = Real(_SHORTEST, LONGEST, "seconds")
_FIELDS = {"type": "array", "items": {"type": "string", "enum": sorted(DROPPABLE)}}


class OpenAISettings(SettingsTable):
    """The settings of an endpoint: what `rung.openai` takes, and the keys of a `[[tier]]` of the kind `openai`.

    Args:
        model: as the endpoint names it.
        base_url: the URL above `/chat/completions`. A host name other than `localhost` is never looked up before a
            call, so it counts as `internet`. Give a LAN server by its address.
        api_key: the variable that holds the key; in code also the key itself.
        price: what it charges. `genai-prices` takes what the installed package of that name lists for the model at this
            base URL: the price of the dearest hour, without discounts. With a price, every answer has a cap.
        zone: how far a prompt travels, if that is further than the URL says. It can't lower the zone.
        leads_to: the zone of the addresses that a host name may lead to; by default the internet. Nothing is sent to an
            address in another zone. It doesn't change how far the prompt counts as travelling. With a proxy it applies
            to the proxy's name, because rung connects to the proxy.
        store: `false` tells the endpoint not to keep the request. By default that is sent only to api.openai.com,
            because others may not know the field.
        stays_here: for a loopback endpoint, whether you vouch that it passes no prompt on.
        constraint: how the endpoint is told the shape of an answer: `response_format` with a schema, vLLM's
            `structured_outputs`, any JSON object, or nothing.
        extra_body: further fields of the request.
        leave_out: fields that the endpoint doesn't take. A refused field is left out anyway, and remembered as long as
            the process lives. This saves the request that finds out.
        merge_system: whether a system turn goes into the user's, for an endpoint that takes none. Found out in the same
            way.
        token_limit: the field that caps the answer; by default the new one at api.openai.com, the old one elsewhere.
        max_tokens: cap on an answer if the call names none; 2,048 for a tier with a price.
        context: tokens that prompt and answer may take together.
        logprobs: whether to ask for log-probabilities.
        proxy: base URL of an HTTP proxy. Its zone counts, too. Give one that speaks TLS itself by its address.
        ca_bundle: file of certificates to trust instead of the system's.
        retries: how often a request that failed temporarily is sent again. A tier with a price repeats only what can't
            have been billed.
        connect_seconds: longest wait for a connection.
        stall_seconds: longest wait between two pieces of a response, including the first one.
        max_answer_bytes: longest response that is read, in bytes as sent, including its framing.
    """

    model: Annotated[str, Converted(_model)]
    base_url: Annotated[str, _URL] = "https://api.openai.com/v1"
    api_key: Annotated[str | Env | None, Written(KeyTable, Converted(_key, {}))] = Field(default=None, repr=False)
    price: Annotated[
        Price | Listed | None, Written(PriceTable, Converted(_price, {"type": "string", "enum": [LISTED]}))
    ] = None
    zone: Annotated[Zone, _ZONE] | None = None
    leads_to: Annotated[Zone, _ZONE] | None = None
    store: Annotated[Literal[False], Converted(_store, {"type": "boolean", "enum": [False]})] | None = None
    stays_here: Flag = False
    constraint: Annotated[ConstraintSetting, Word(get_args(ConstraintSetting))] = "json_schema"
    extra_body: Annotated[dict[str, Any], Converted(_fields, {"type": "object"})] | None = Field(
        default=None, repr=False
    )
    leave_out: Annotated[tuple[str, ...], Converted(left_out, _FIELDS)] = ()
    merge_system: Flag = False
    token_limit: Annotated[TokenLimit, Word(get_args(TokenLimit))] | None = None
    max_tokens: Annotated[int, Integer(1, unit="tokens")] | None = None
    context: Annotated[int, Integer(1, unit="tokens")] | None = None
    logprobs: Flag = False
    proxy: Annotated[str, _URL] | None = None
    ca_bundle: Annotated[str | Path, Converted(_file)] | None = None
    retries: Annotated[int, Integer(0)] = 2
    connect_seconds: Annotated[float, _WAIT] = 10.0
    stall_seconds: Annotated[float, _WAIT] = 120.0
    max_answer_bytes: Annotated[int, Integer(1, unit="bytes")] = 32 * 1024 * 1024

    @field_validator("api_key", mode="before")
    @classmethod
    def _is_not_in_a_file(cls, value: Any, info: ValidationInfo) -> Any:
        if is_written(info) and not isinstance(value, Mapping):
            raise Disallowed(Converted(_literal), None)
        return value
