"""Money as whole pico-dollars. 63 bits of them hold nine million dollars.

Sums are taken in two parts, since SQLite's own `sum` fails where the whole passes 63 bits, and `total` rounds.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

_PICO = Decimal(10) ** 12
_PART = 10**9
MOST = Decimal(4_000_000)
"""Most US dollars that one entry can hold: what fits into an integer of SQLite's, and more than any call costs."""


def pico(amount: Decimal) -> int:
    """US dollars as pico-dollars, a fraction rounded up so that no budget is passed by rounding; from 0 to `MOST`."""
    return int((max(Decimal(0), min(amount, MOST)) * _PICO).to_integral_value(ROUND_CEILING))


def sums(column: str) -> str:
    """SQL for the sum of a column of pico-dollars, in two columns that `whole` puts together.

    Args:
        column: its name.
    """
    return f"coalesce(sum({column} / {_PART}), 0), coalesce(sum({column} % {_PART}), 0)"


def whole(high: int, low: int) -> Decimal:
    """The US dollars behind the two columns of `sums`."""
    return dollars(high * _PART + low)


def dollars(amount: int) -> Decimal:
    """Pico-dollars as US dollars."""
    return (Decimal(amount) / _PICO).normalize() + 0


def known(amount: int | None) -> Decimal | None:
    """The same where the amount may be unknown."""
    return None if amount is None else dollars(amount)
