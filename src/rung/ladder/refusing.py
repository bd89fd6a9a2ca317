"""What a ladder refuses at once, because every request would come to grief of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rung import checking
from rung.errors import ConfigError
from rung.spelling import nearest
from rung.tier import Rung
from rung.types import Threshold, Zone


def demand_prices(rungs: Sequence[Rung], reach: Zone, *, limited: bool) -> None:
    """Refuse a tier whose cost nobody can bound. It would be refused at every request, so it is better to say so now.

    Args:
        rungs: the ladder's.
        reach: how far a prompt may travel.
        limited: whether the ladder's money is limited.

    Raises:
        ConfigError: money is limited, and a tier within the reach has no price.
    """
    for rung in rungs:
        if not Zone.HOST < rung.tier.zone <= reach or not (limited or rung.usd is not None):
            continue
        if rung.quotes is None:
            hint = "give it a quote: docs/tiers.md"
        elif rung.prices is not None and not rung.prices.priced:
            hint = "set its price, { input = 0, output = 0 } where it is free"
        else:
            continue
        raise ConfigError(f"tier {rung.tier.name!r} has no price, and money is limited", hint=hint)


def thresholds_of(rungs: Sequence[Rung], given: Mapping[str, Threshold] | None) -> Mapping[str, Threshold]:
    """A request's own thresholds, by the tier's name.

    Args:
        rungs: the ladder's.
        given: what the request says.

    Raises:
        ConfigError: there is no such tier, or one of them is not a threshold.
    """
    names = [rung.tier.name for rung in rungs]
    for name, value in checking.instance("thresholds", given or {}, Mapping, "a mapping").items():
        if name not in names:
            raise ConfigError(f"thresholds: there is no tier {name!r}", hint=nearest(str(name), names))
        checking.instance(f"the threshold of tier {name!r}", value, Threshold, "a rung.Threshold")
    return given or {}
