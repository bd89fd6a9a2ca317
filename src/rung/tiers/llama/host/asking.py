"""What a worker is asked for a call, and checks for what local models don't support."""

from __future__ import annotations

from dataclasses import replace

from rung.errors import PromptTooLong, Unsupported
from rung.tiers.llama import frames
from rung.tiers.llama.host.settings import LlamaSettings, is_unicode
from rung.types import Call, Image, Message, Sampling

_MOST_STOPS = 64
_LONGEST_STOP = 256
"""Most stop strings, and most characters of each. All are searched after each token, and other calls wait meanwhile."""

_LONGEST_DRAFT = 64 * 1024
"""Most characters of a rejected answer that is used as a draft. Small models don't write longer answers."""


def texts(tier: str, call: Call) -> tuple[Message, ...]:
    """The messages of a call, as text alone.

    Args:
        tier: name of the tier, for errors.
        call: the call.

    Raises:
        Unsupported: a message has an image.
    """
    for message in call.messages:
        if not isinstance(message.content, str) and any(isinstance(part, Image) for part in message.content):
            raise Unsupported(f"tier {tier!r} takes no images", hint="ask a tier that does")
    return tuple(replace(message, content=message.text) for message in call.messages)


def sampled(tier: str, settings: LlamaSettings, wanted: Sampling) -> Sampling:
    """How to choose tokens: the call's settings, completed by the tier's.

    Args:
        tier: name of the tier, for errors.
        settings: the tier's.
        wanted: the call's settings.

    Raises:
        Unsupported: the call has too many stop strings, or too long ones.
    """
    top_p = settings.top_p if wanted.top_p is None else wanted.top_p
    min_p = settings.min_p if wanted.min_p is None else wanted.min_p
    if len(wanted.stop) > _MOST_STOPS or any(len(text) > _LONGEST_STOP for text in wanted.stop):
        raise Unsupported(
            f"tier {tier!r} takes up to {_MOST_STOPS} stop strings of up to {_LONGEST_STOP} characters",
            hint="name fewer or shorter ones",
        )
    return replace(wanted, top_p=top_p, min_p=min_p)


def draft_of(rejected: str | None) -> str | None:
    """A rejected answer, if it can be used as a draft. A bad draft must never make a call fail."""
    return rejected if rejected and len(rejected) <= _LONGEST_DRAFT and is_unicode(rejected) else None


def check_size(frame: frames.Ask | frames.Count, loaded: frames.Loaded) -> None:
    """Refuse what is certainly too long before it goes to the worker, where reading it would delay others.

    Whatever the template does, each message is in the prompt unchanged, apart from white space at its edges. The worker
    lists as many of the choices as fit.

    Args:
        frame: what would be sent.
        loaded: what the worker said about its model.

    Raises:
        PromptTooLong: the prompt can't fit into the context.
        TooLong: the frame would be longer than any worker reads.
    """
    cuts = isinstance(frame, frames.Ask) and frame.shape is not None and frame.shape.kind == "choice"
    if loaded.longest_token is not None and not cuts:
        length = sum(len(message.text.strip().encode("utf-8", "replace")) for message in frame.messages)
        least = length // loaded.longest_token
        if least > loaded.context:
            raise PromptTooLong(least, loaded.context)
    size = sum(message.size for message in frame.messages)
    if size > frames.LIMIT:
        raise frames.TooLong(size)
