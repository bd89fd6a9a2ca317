"""A package of somebody else's: a kind of tier that answers what its table says, and notes what it was asked."""

from __future__ import annotations

from pathlib import Path

import rung
from rung.testing import QuotingTier, Reply, ScriptedTier

ASKED: list[dict[str, object]] = []
"""What the tiers of this process were given, call by call."""


def from_config(name, settings):
    """The tier of a table: `script` is a list of tables, one for each call; with a `price` the tier quotes."""
    table = dict(settings)
    script = [_line(name, entry) for entry in table.pop("script", [])]
    zone = rung.Zone.parse(table.pop("zone", "host"))
    price = table.pop("price", None)
    destination = table.pop("destination", None)
    stays_here = table.pop("stays_here", None)
    if table:
        key = next(iter(table))
        raise rung.ConfigError(f"tier {name!r}: unknown key {key!r}", unknown_key=key)
    if price is None:
        tier = ScriptedTier(name, *script, zone=zone)
    else:
        tier = QuotingTier(name, *script, zone=zone, price=rung.Price(*price))
    if destination is not None:
        tier.destination, tier.stays_here = destination, stays_here
    return tier


def _line(name, entry):
    entry = dict(entry)

    def answer(call):
        ASKED.append(_noted(name, call))
        if "touch" in entry:
            Path(entry["touch"]).touch()
        if "raises" in entry:
            return getattr(rung, entry["raises"])(*entry.get("with", [f"{name} can't answer"]))
        said = {key: value for key, value in entry.items() if key not in ("touch", "text", "usage", "times")}
        text = entry.get("text", "") * entry.get("times", 1)
        return Reply(text, usage=rung.Usage(*entry.get("usage", (10, 5))), **said)

    return answer


def _noted(name, call):
    noted = {
        "tier": name,
        "messages": [[message.role, message.text] for message in call.messages],
        "shape": None if call.shape is None else call.shape.kind,
        "max_tokens": call.max_tokens,
        "temperature": call.sampling.temperature,
        "seed": call.sampling.seed,
        "rejected": call.rejected,
    }
    return {key: value for key, value in noted.items() if value is not None}
