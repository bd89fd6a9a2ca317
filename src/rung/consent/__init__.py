"""Consent: who may agree to a hop beyond this machine, how they are asked, and who answered."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rung import threads
from rung.limits import Cancel, Deadline
from rung.threads import Awaiter
from rung.types import Hop

Consent = Callable[[Hop], bool | Awaitable[bool]]
"""Decides whether a hop may happen. It may block: the request's clock stops while it waits, and cancelling ends the
wait. An attribute `origin` (a text, or a function of the hop) names who decided. Otherwise the name of the callable
does."""


def always(hop: Hop) -> bool:
    """Consent to every hop within the reach.

        paid = QuotingTier("paid", "yes", zone=rung.Zone.INTERNET)
        ladder = rung.Ladder(paid, reach=rung.Zone.INTERNET, consent=rung.always)
        ladder.run("Is water wet?").left_machine  # True

    A reach that is given in code implies this.
    """
    return True


def never(hop: Hop) -> bool:
    """Consent to no hop beyond this machine.

        paid = QuotingTier("paid", "yes", zone=rung.Zone.INTERNET)
        ladder = rung.Ladder(paid, reach=rung.Zone.INTERNET, consent=rung.never)
        ladder.run("Is water wet?").left_machine  # False

    Only the tiers of this machine may answer.
    """
    return False


def ask(consent: Consent, hop: Hop, await_: Awaiter, cancel: Cancel) -> bool:
    """Whether the hop is allowed. Only `True` counts as a yes. There is no deadline: a person may take any time.

    Raises:
        Cancelled: the flag was set meanwhile.
    """

    def put() -> bool:
        answer = consent(hop)
        return (await_(answer) if inspect.isawaitable(answer) else answer) is True

    return threads.run(put, Deadline(), cancel)


def origin(consent: Consent | None, hop: Hop) -> str:
    """Who decided about a hop, in the words that the attempt shows."""
    named = getattr(consent, "origin", None)
    return str((named(hop) if callable(named) else named) or getattr(consent, "__name__", "consent"))


@dataclass(frozen=True, slots=True)
class ConfiguredConsent:
    """The consent of a ladder that comes from a configuration.

    A given reach is consent. A reach from a file needs a person, or a tier that says `consent = "always"`.

    Args:
        given: whether the reach was given in code or as an option.
        always: names of the tiers that need no question.
        never: names of the tiers that nothing is sent to.
        person: asks a person; `None` if there is nobody to ask.
    """

    given: bool
    always: frozenset[str]
    never: frozenset[str]
    person: Consent | None

    def __call__(self, hop: Hop) -> bool | Awaitable[bool]:
        """Whether the hop may happen, or an awaitable of that."""
        if hop.tier in self.never:
            return False
        if self.given or hop.tier in self.always:
            return True
        return self.person(hop) if self.person is not None and not hop.shadow else False

    def origin(self, hop: Hop) -> str:
        """Who decided about this hop, in the words that the attempt shows."""
        if self.given and hop.tier not in self.never:
            return "the given reach"
        if hop.tier in self.always | self.never or self.person is None:
            return "the configuration"
        return origin(self.person, hop)
