"""How long to wait before trying again."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_FIRST = 0.25
_LONGEST = 8.0
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
PATIENCE = 60.0
"""Longest wait in seconds that an endpoint may ask for. If it asks for a longer one, the caller is told instead."""


def backoff(retry: int, wait: float | None, dice: random.Random) -> float:
    """Seconds to wait: what the endpoint asked for, or else exponential with jitter.

    The jitter shortens the wait by up to half, so that clients that failed together don't come back together.

    Args:
        retry: number of the retry, from 0.
        wait: seconds that the endpoint asked for.
        dice: source of the jitter.
    """
    return wait if wait is not None else min(_LONGEST, _FIRST * 2**retry) * dice.uniform(0.5, 1.0)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an endpoint asks to wait (RFC 9110, section 10.2.3); `None` if it doesn't say.

    Args:
        headers: headers of the response, read without regard to case. A date is compared with their own `Date`, if
            there is one, since the two clocks may differ.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after")
    seconds = _number(said)
    if seconds is not None:
        return seconds
    until, now = _date(said), _date(headers.get("date"))
    return None if until is None else max(0.0, until - (time.time() if now is None else now))


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text) else None


def _date(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
