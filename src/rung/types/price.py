"""What an endpoint charges."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from rung.limits import Money, usd

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """What an endpoint charges.

        price = rung.Price(input=1.0, output=4.0)
        price.cost(input_tokens=2000, output_tokens=500)  # 0.004

    Args:
        input: US dollars per million prompt tokens.
        output: US dollars per million answer tokens, reasoning included.

    Raises:
        ConfigError: a price is negative, NaN or infinite.
    """

    input: Money
    output: Money

    def __post_init__(self) -> None:
        object.__setattr__(self, "input", usd(self.input, "price.input"))
        object.__setattr__(self, "output", usd(self.output, "price.output"))

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal:
        """US dollars for a call with these counts."""
        return (Decimal(str(self.input)) * input_tokens + Decimal(str(self.output)) * output_tokens) / _MILLION
