"""Names of requests and reservations: their order is that of time, and no two processes give the same one."""

from __future__ import annotations

import os

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME, _CHANCE = 10, 8


def new_id(at: int) -> str:
    """A name of 18 letters and digits, easy to type: time first, then 40 random bits.

    Args:
        at: when, in milliseconds since 1970.
    """
    return _written(at, _TIME) + _written(int.from_bytes(os.urandom(5), "big"), _CHANCE)


def _written(number: int, width: int) -> str:
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(width)))
