"""What an endpoint charges: a price from the settings, or one that the package genai-prices lists."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from rung.errors import ConfigError
from rung.types import Price

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

Listed = Literal["genai-prices"]
LISTED: Listed = "genai-prices"


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices that depend on the length of the prompt.

    Args:
        steps: pairs of a number of prompt tokens and the price from there on, for all of a call's tokens. Ascending.
    """

    steps: tuple[tuple[int, Price], ...]

    def at(self, input_tokens: int) -> Price:
        """The price of a call.

        Args:
            input_tokens: tokens of its prompt, or an upper bound.
        """
        return [price for start, price in self.steps if start <= input_tokens][-1]

    @property
    def free(self) -> bool:
        """Whether every price is zero."""
        return all(price.cost(1, 1) == 0 for _, price in self.steps)


def tariff(price: Price | Listed | None, model: str, url: str, where: str) -> Tariff | None:
    """The tariff that a setting gives; `None` if it gives none.

    Args:
        price: the setting.
        model: as the endpoint names it.
        url: of the endpoint. It decides whose prices are looked up.
        where: the tier, for errors.

    Raises:
        ConfigError: the package isn't installed, or lists no such price.
    """
    if isinstance(price, str):
        return _listed(model, url, where)
    return None if price is None else Tariff(((0, price),))


def _listed(model: str, url: str, where: str) -> Tariff:
    # Looks the price up in the installed package only. Updating its prices is another call, which rung never makes.
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        raise ConfigError(
            f"{where}: price asks for the package genai-prices, which is not installed",
            hint="pip install 'rung[prices]'",
        ) from None
    hint = "write price = { input = ..., output = ... }, in US dollars per million tokens"
    try:
        found = calc_price(Usage(input_tokens=1, output_tokens=1), model, provider_api_url=url)
    except (LookupError, ValueError):
        raise ConfigError(f"{where}: price: genai-prices has no price of {model!r} at {url}", hint=hint) from None
    # some prices change with the hour: the highest one is the bound
    listed = found.model.prices
    prices = [found.model_price] if not isinstance(listed, list) else [found.model_price, *_hourly(listed)]
    if any(getattr(p, "requests_kcount", None) for p in prices):
        raise ConfigError(f"{where}: price: {model!r} is charged per request, too", hint=hint)
    starts = sorted({0, *(s for p in prices for key in ("input_mtok", "output_mtok") for s in _starts(p, key))})
    try:
        steps = tuple((s, Price(_dearest(prices, "input_mtok", s), _dearest(prices, "output_mtok", s))) for s in starts)
    except LookupError:
        raise ConfigError(f"{where}: price: genai-prices has no text price of {model!r}", hint=hint) from None
    return Tariff(steps)


def _hourly(listed: list[Any]) -> list[ModelPrice]:
    return [option.prices for option in listed if hasattr(option.constraint, "start_time")]


def _starts(price: ModelPrice, key: str) -> list[int]:
    return [tier.start for tier in getattr(getattr(price, key, None), "tiers", ())]


def _dearest(prices: list[ModelPrice], key: str, input_tokens: int) -> Decimal:
    """The highest of the prices for a prompt of this length. Raises `LookupError` if one is unknown."""
    found = []
    for price in prices:
        value = getattr(price, key, None)
        if value is None:
            raise LookupError(key)
        tiers = [tier.price for tier in getattr(value, "tiers", ()) if tier.start <= input_tokens]
        found.append(Decimal(tiers[-1] if tiers else getattr(value, "base", value)))
    return max(found)
