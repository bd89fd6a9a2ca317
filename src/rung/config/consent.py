"""Who consents to a hop beyond this machine, when the ladder comes from a configuration."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from rung.engine import Consent
from rung.types import Hop


@dataclass(frozen=True, slots=True)
class Consenting:
    """A reach that was given is consent; one from a file needs a person, or a tier that says `consent = "always"`.

    Args:
        given: whether the reach was given in code or as an option.
        always: names of the tiers that need nobody.
        never: names of the tiers that nothing is sent to.
        ask: asks a person; `None` where there is nobody to ask.
    """

    given: bool
    always: frozenset[str]
    never: frozenset[str]
    ask: Consent | None

    def __call__(self, hop: Hop) -> bool | Awaitable[bool]:
        """Whether the hop may happen, or something that can be awaited for it."""
        if hop.tier in self.never:
            return False
        if self.given or hop.tier in self.always:
            return True
        return self.ask(hop) if self.ask is not None else False

    def origin(self, hop: Hop) -> str:
        """Who answers for this hop, as it stands in the attempt."""
        if self.given and hop.tier not in self.never:
            return "the given reach"
        if hop.tier in self.always | self.never or self.ask is None:
            return "the configuration"
        return str(getattr(self.ask, "origin", None) or getattr(self.ask, "__name__", "consent"))
