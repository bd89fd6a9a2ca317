"""How far a prompt travels."""

from __future__ import annotations

from enum import IntEnum

from rung.errors import ConfigError


class Zone(IntEnum):
    """How far a prompt travels.

        rung.Zone.parse("lan") < rung.Zone.INTERNET  # True
        ladder = rung.Ladder(rung.llama("smollm2-135m"), reach=rung.Zone.LAN)

    Zones are ordered: the farther one is greater.
    """

    HOST = 0
    LAN = 1
    INTERNET = 2

    @classmethod
    def parse(cls, name: str | Zone) -> Zone:
        """The zone with that name (`host`, `lan`, `internet`).

        Raises:
            ConfigError: there is no such zone.
        """
        if isinstance(name, Zone):
            return name
        try:
            return cls[str(name).upper()]
        except KeyError:
            from rung.hiding import hide

            raise ConfigError(f"{hide(str(name)[:40])!r} is not a zone", hint="say host, lan or internet") from None

    def __str__(self) -> str:
        return self.name.lower()
