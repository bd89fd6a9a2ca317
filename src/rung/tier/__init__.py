"""What a tier is, what it may be able to do, and how a ladder uses it."""

from __future__ import annotations

from rung.settings import SettingsTable
from rung.tier.abilities import (
    Connects,
    Describes,
    Lingers,
    Outgoing,
    Pinned,
    Prepares,
    Prices,
    Quotes,
    Resides,
    Shows,
    Thresholds,
    Tier,
    Travels,
    Warms,
)
from rung.tier.kinds import TierKind, tier_kind
from rung.tier.rungs import Rung, RungSettings

__all__ = [
    "Connects",
    "Describes",
    "Lingers",
    "Outgoing",
    "Pinned",
    "Prepares",
    "Prices",
    "Quotes",
    "Resides",
    "Rung",
    "RungSettings",
    "SettingsTable",
    "Shows",
    "Thresholds",
    "Tier",
    "TierKind",
    "Travels",
    "Warms",
    "tier_kind",
]
