"""Values as a person reads them."""

from __future__ import annotations

import html
import re
from decimal import Decimal


def price(cost: Decimal | None) -> str:
    """What an answer cost, in US dollars."""
    return "a price that nobody told" if cost is None else f"${cost.normalize():f}"


def size(count: int | None) -> str:
    """A number of bytes."""
    return "?" if count is None else f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def readable(draft: str) -> str:
    """An unfinished JSON object, for a label."""
    return html.escape(re.sub(r'[{}"]', "", draft).strip())
