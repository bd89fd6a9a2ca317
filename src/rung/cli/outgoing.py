"""`rung ask --show-outgoing`: what would leave this machine, byte for byte. Nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rung.errors import Cancelled
from rung.types import Zone
from rung.visible import ascii_, line

if TYPE_CHECKING:
    from rung.cli.output import Output
    from rung.engine import Preview
    from rung.tier import Outgoing


def show(preview: Preview, output: Output) -> None:
    """Write each body to stdout, followed by a line break that isn't part of it, and its description to stderr.

    Raises:
        Cancelled: the caller cancelled before everything was known.
    """
    if preview.outcome.reason == "cancelled":
        raise Cancelled("interrupted")
    if output.json:
        output.object({"status": "shown", "outgoing": [_as_json(out) for out in preview.outgoing]})
    for out in preview.outgoing:
        output.say(f"{line(out.tier)}: would send {len(out.body):,} bytes ({out.zone}): {ascii_(out.to)}")
        if not output.json:
            # a tier of another package may send bytes that aren't text
            output.answer(out.body.decode("utf-8", "backslashreplace"))
    shown = {out.tier for out in preview.outgoing}
    for attempt in preview.outcome.attempts:
        if attempt.zone > Zone.HOST and attempt.tier not in shown:
            output.say(f"{attempt.tier}: would send nothing: {attempt.detail or attempt.reason}")
    if preview.outcome.accepted:
        output.say(f"{preview.outcome.tier}: answered, so nothing{' more' if shown else ''} would leave this machine")
    elif not shown:
        output.say("nothing would leave this machine")


def _as_json(out: Outgoing) -> dict[str, str | int]:
    return {
        "tier": out.tier,
        "zone": str(out.zone),
        "to": out.to,
        "bytes": len(out.body),
        "body": out.body.decode("utf-8", "backslashreplace"),
    }
