"""The tier's table in `rung.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from rung.errors import ConfigError
from rung.settings import SettingsTable, read
from rung.tiers.openai.body import ConstraintSetting, TokenLimit
from rung.tiers.openai.secret import Env
from rung.tiers.openai.tier import OpenAITier
from rung.types import Price, Zone


class _KeyTable(SettingsTable):
    env: str


class _PriceTable(SettingsTable):
    input: float
    output: float


class _Table(SettingsTable):
    """Settings of the tier; those that are left out keep the tier's own defaults."""

    model: str
    base_url: str | None = None
    api_key: _KeyTable | None = None
    price: _PriceTable | None = None
    zone: str | None = None
    leads_to: str | None = None
    store: Literal[False] | None = None
    stays_here: bool | None = None
    constraint: ConstraintSetting | None = None
    extra_body: dict[str, Any] | None = None
    leave_out: tuple[str, ...] | None = None
    merge_system: bool | None = None
    token_limit: TokenLimit | None = None
    max_tokens: int | None = None
    context: int | None = None
    logprobs: bool | None = None
    proxy: str | None = None
    ca_bundle: str | None = None
    retries: int | None = None
    connect_seconds: float | None = None
    stall_seconds: float | None = None
    max_answer_bytes: int | None = None


def from_config(name: str, settings: Mapping[str, Any]) -> OpenAITier:
    """The tier that a table of settings describes.

    Args:
        name: of the tier.
        settings: the table, without what the ladder keeps for itself.

    Raises:
        ConfigError: a key is unknown, a value is of the wrong kind, or the API key stands there itself.
    """
    if isinstance(settings.get("api_key"), str):
        raise ConfigError(
            f"tier {name!r}: api_key is written into the config", hint='write api_key = { env = "OPENAI_API_KEY" }'
        )
    listed = settings.get("price") == "genai-prices"
    if listed:
        settings = {key: value for key, value in settings.items() if key != "price"}
    table = read(_Table, settings, f"tier {name!r}")
    given: dict[str, Any] = {key: value for key, value in table if value is not None}
    if table.api_key is not None:
        given["api_key"] = Env(table.api_key.env)
    if listed:
        given["price"] = "genai-prices"
    elif table.price is not None:
        given["price"] = Price(table.price.input, table.price.output)
    for key, zone in (("zone", table.zone), ("leads_to", table.leads_to)):
        if zone is not None:
            given[key] = Zone.parse(zone)
    return OpenAITier(name=name, **given)
