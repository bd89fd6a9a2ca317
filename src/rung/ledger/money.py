"""Money as whole pico-dollars. 63 bits of them hold nine million dollars."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

_PICO = Decimal(10) ** 12
_MOST = 2**62
"""Half of what SQLite's integers hold, so that a sum of two still fits."""


def pico(amount: Decimal) -> int:
    """US dollars as pico-dollars, a fraction rounded up so that no budget is passed by rounding."""
    return min(int((amount * _PICO).to_integral_value(ROUND_CEILING)), _MOST)


def dollars(amount: int) -> Decimal:
    """Pico-dollars as US dollars."""
    return (Decimal(amount) / _PICO).normalize() + 0


def known(amount: int | None) -> Decimal | None:
    """The same where the amount may be unknown."""
    return None if amount is None else dollars(amount)
