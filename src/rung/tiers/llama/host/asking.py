"""What a worker is asked for a call, and what no local model can take."""

from __future__ import annotations

from dataclasses import replace

from rung.errors import Unsupported
from rung.tiers.llama.host.settings import is_unicode
from rung.types import Call, Image, Message, Sampling

_MOST_STOPS = 64
_LONGEST_STOP = 256
"""Stop strings, and characters of each. All are searched after each token, while other calls wait for theirs."""

_LONGEST_DRAFT = 64 * 1024
"""Characters of a rejected answer that is used as a draft. Small models don't write longer ones."""


def texts(tier: str, call: Call) -> tuple[Message, ...]:
    """The messages of a call, as text alone.

    Args:
        tier: name of the tier, for errors.
        call: the call.

    Raises:
        Unsupported: one of them holds an image.
    """
    for message in call.messages:
        if not isinstance(message.content, str) and any(isinstance(part, Image) for part in message.content):
            raise Unsupported(f"tier {tier!r} takes no images", hint="ask a tier that does")
    return tuple(replace(message, content=message.text) for message in call.messages)


def sampled(tier: str, defaults: Sampling, wanted: Sampling) -> Sampling:
    """How to choose tokens: as the call says, and otherwise as the tier says.

    Args:
        tier: name of the tier, for errors.
        defaults: the tier's own.
        wanted: the call's.

    Raises:
        Unsupported: it names too many stop strings, or too long ones.
    """
    top_p = defaults.top_p if wanted.top_p is None else wanted.top_p
    min_p = defaults.min_p if wanted.min_p is None else wanted.min_p
    if len(wanted.stop) > _MOST_STOPS or any(len(text) > _LONGEST_STOP for text in wanted.stop):
        raise Unsupported(
            f"tier {tier!r} takes up to {_MOST_STOPS} stop strings of up to {_LONGEST_STOP} characters",
            hint="name fewer or shorter ones",
        )
    return replace(wanted, top_p=top_p, min_p=min_p)


def draft_of(rejected: str | None) -> str | None:
    """A rejected answer, if it is usable as a draft. A bad draft must never make a call fail."""
    return rejected if rejected and len(rejected) <= _LONGEST_DRAFT and is_unicode(rejected) else None
