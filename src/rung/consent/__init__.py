"""Consent: who may say yes to a hop beyond this machine, how they are asked, and who answered."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rung import threads
from rung.limits import Cancel, Deadline
from rung.threads import Awaiter
from rung.types import Hop

Consent = Callable[[Hop], bool | Awaitable[bool]]
"""Says whether a hop may happen. It may block: its wait stops the request's clock, and cancel ends it. An attribute
`origin`, a text or a function of the hop, says who answers for it; without one its name does."""


def always(hop: Hop) -> bool:
    """Consent to every hop within the reach: what a reach given in code amounts to."""
    return True


def never(hop: Hop) -> bool:
    """Consent to no hop beyond this machine."""
    return False


def ask(consent: Consent, hop: Hop, await_: Awaiter, cancel: Cancel) -> bool:
    """Whether somebody consents; only `True` is a yes. There is no deadline: the person's time is not the request's.

    Raises:
        Cancelled: the flag was set meanwhile.
    """

    def put() -> bool:
        answer = consent(hop)
        return (await_(answer) if inspect.isawaitable(answer) else answer) is True

    return threads.run(put, Deadline(), cancel)


def origin(consent: Consent | None, hop: Hop) -> str:
    """Who answers for a hop, as it stands in the attempt."""
    named = getattr(consent, "origin", None)
    return str((named(hop) if callable(named) else named) or getattr(consent, "__name__", "consent"))


@dataclass(frozen=True, slots=True)
class ConfiguredConsent:
    """Consent of a ladder that comes from a configuration.

    A reach that was given is consent; one from a file needs a person, or a tier that says `consent = "always"`.

    Args:
        given: whether the reach was given in code or as an option.
        always: names of the tiers that need nobody.
        never: names of the tiers that nothing is sent to.
        person: asks a person; `None` where there is nobody to ask.
    """

    given: bool
    always: frozenset[str]
    never: frozenset[str]
    person: Consent | None

    def __call__(self, hop: Hop) -> bool | Awaitable[bool]:
        """Whether the hop may happen, or something that can be awaited for it."""
        if hop.tier in self.never:
            return False
        if self.given or hop.tier in self.always:
            return True
        return self.person(hop) if self.person is not None and not hop.shadow else False

    def origin(self, hop: Hop) -> str:
        """Who answers for this hop, as it stands in the attempt."""
        if self.given and hop.tier not in self.never:
            return "the given reach"
        if hop.tier in self.always | self.never or self.person is None:
            return "the configuration"
        return origin(self.person, hop)
