"""The local tier as a kind of tier, for the `[[tier]]` tables of configurations."""

from __future__ import annotations

from rung.settings import SettingsTable, table_of
from rung.tier import tier_kind
from rung.tiers.llama.host.settings import LlamaSettings
from rung.tiers.llama.host.tier import LlamaTier


@tier_kind(table_of(LlamaSettings))
def from_config(name: str, settings: SettingsTable) -> LlamaTier:
    """Make the tier of a configuration table: the entry point of the kind `llama`.

    Args:
        name: of the tier.
        settings: the other keys of its table.
    """
    return LlamaTier(name=name, **dict(settings))
