"""A tier on a ladder, and how the ladder uses it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, get_args

from pydantic import Field

from rung import checking
from rung.allowed import Integer, Real, Word
from rung.errors import ConfigError
from rung.limits import LONGEST, Money, Usd, usd
from rung.settings import SettingsTable, given
from rung.tier.abilities import (
    Connects,
    Describes,
    Lingers,
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
from rung.types import FeedbackPolicy, Redactor, Zone

_ABILITIES = {
    "quotes": Quotes,
    "prices": Prices,
    "warms": Warms,
    "prepares": Prepares,
    "resides": Resides,
    "lingers": Lingers,
    "travels": Travels,
    "connects": Connects,
    "pinned": Pinned,
    "describes": Describes,
    "shows": Shows,
    "thresholds": Thresholds,
}


_MEMBERS = {
    name: {key: callable(getattr(kind, key, None)) for key in (*vars(kind), *kind.__annotations__) if key[0] != "_"}
    for name, kind in _ABILITIES.items()
}
"""What a tier with each ability has, and whether that is a method. `isinstance` collects these anew for each look."""


def _able(tier: Tier, ability: str) -> bool:
    """What `isinstance` says of the ability's protocol: every member is there, and no method is `None`."""
    return all(
        hasattr(tier, name) and not (method and getattr(tier, name) is None)
        for name, method in _MEMBERS[ability].items()
    )


class RungSettings(SettingsTable):
    """How the ladder uses a tier: what `Rung` takes besides the tier, and what every `[[tier]]` may contain.

    Args:
        repairs: how often a rejected answer goes back to the same tier with what is wrong with it. By default once, and
            never if the quote has a price, because a repair is then paid for again.
        max_seconds: how long one request may stay on this tier, including model load, repairs and retries. Then the
            next tier is asked. By default only the request's own limit holds.
        min_confidence: least confidence that is accepted; uncalibrated. By default the tier's own default threshold
            holds, if it has one, and 0 turns that off. The calibration of a task takes precedence over both.
        feedback: what this tier is told about the last rejected answer. The rejected text is kept back by default,
            because small models tend to repeat what they read.
        max_tokens: first cap on the answer if the request names none.
        max_cost: upper bound of what one request may cost on this tier.
    """

    repairs: Annotated[int, Integer(0)] | None = None
    max_seconds: Annotated[float, Real(0.0, LONGEST, "seconds", above=True)] | None = None
    min_confidence: Annotated[float, Real(0.0, 1.0)] | None = None
    feedback: Annotated[FeedbackPolicy, Word(get_args(FeedbackPolicy))] = "issues"
    max_tokens: Annotated[int, Integer(1, unit="tokens")] | None = None
    max_cost: Annotated[Decimal, Usd] | None = Field(default=None, alias="max_cost_usd")


@dataclass(frozen=True, slots=True)
class Rung:
    """A tier and how the ladder uses it.

        small = rung.Rung(rung.llama("smollm2-135m"), repairs=0, max_seconds=5)
        ladder = rung.Ladder(small, rung.llama("qwen2.5-coder-1.5b"))
        ladder.run("Is water wet?").tier  # smollm2-135m

    The tier's optional abilities are looked up once, when the rung is made: `quotes`, `prices`, `warms`, `prepares`,
    `resides`, `lingers`, `travels`, `connects`, `pinned`, `describes`, `shows`, `thresholds`. Each is the tier itself,
    or `None` if the tier lacks the ability.

    Args:
        tier: the tier that answers.
        repairs: how often a rejected answer goes back to the same tier with what is wrong with it. `RungSettings` says
            more about this and the next five.
        max_seconds: how long one request may stay on this tier.
        min_confidence: least confidence in [0, 1] that is accepted.
        feedback: what this tier is told about the last rejected answer.
        max_tokens: first cap on the answer if the request names none, in tokens.
        max_cost: upper bound of one request on this tier, in US dollars.
        redactor: masks what is sent to this tier, if it is beyond this machine; `None` takes the ladder's.

    Raises:
        ConfigError: a setting is out of range.
    """

    tier: Tier
    repairs: int | None = None
    max_seconds: float | None = None
    min_confidence: float | None = None
    feedback: FeedbackPolicy = "issues"
    max_tokens: int | None = None
    max_cost: Money | None = None
    redactor: Redactor | None = None
    quotes: Quotes | None = field(init=False, repr=False, compare=False)
    prices: Prices | None = field(init=False, repr=False, compare=False)
    warms: Warms | None = field(init=False, repr=False, compare=False)
    prepares: Prepares | None = field(init=False, repr=False, compare=False)
    resides: Resides | None = field(init=False, repr=False, compare=False)
    lingers: Lingers | None = field(init=False, repr=False, compare=False)
    travels: Travels | None = field(init=False, repr=False, compare=False)
    connects: Connects | None = field(init=False, repr=False, compare=False)
    pinned: Pinned | None = field(init=False, repr=False, compare=False)
    describes: Describes | None = field(init=False, repr=False, compare=False)
    shows: Shows | None = field(init=False, repr=False, compare=False)
    thresholds: Thresholds | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        name = getattr(self.tier, "name", None)
        if not isinstance(name, str) or not callable(getattr(self.tier, "stream", None)):
            raise ConfigError(
                f"a {type(self.tier).__name__} is not a tier: it needs a name and a method stream",
                hint='give one, for example rung.llama("smollm2-135m")',
            )
        if self.redactor is not None:
            checking.function(f"tier {name!r}: redactor", self.redactor)
        settings = given(RungSettings, {key: getattr(self, key) for key in RungSettings.model_fields}, f"tier {name!r}")
        for key, value in settings:
            object.__setattr__(self, key, value)
        for ability in _ABILITIES:
            object.__setattr__(self, ability, self.tier if _able(self.tier, ability) else None)

    def standing_in(self, tier: Tier) -> Rung:
        """The same settings for a tier that stands for this one and has its abilities, which aren't looked up again.

        Args:
            tier: has every ability of this rung's tier that is used, and no other.
        """
        rung = copy.copy(self)
        object.__setattr__(rung, "tier", tier)
        for name in _ABILITIES:
            if getattr(self, name) is not None:
                object.__setattr__(rung, name, tier)
        return rung

    @property
    def usd(self) -> Decimal | None:
        """The bound in money; `None` if there is none."""
        return None if self.max_cost is None else usd(self.max_cost, "max_cost")

    @property
    def most_repairs(self) -> int:
        """How often a rejected answer may go back to this tier, if that costs nothing."""
        return 1 if self.repairs is None else self.repairs

    @property
    def free_here(self) -> bool:
        """Whether the tier is on this machine and known to cost nothing, so that nothing depends on its quote."""
        return self.tier.zone == Zone.HOST and self.prices is not None and not self.prices.priced

    @property
    def may_cost(self) -> bool:
        """Whether the tier is beyond this machine, or could turn out to cost money."""
        return self.tier.zone > Zone.HOST or not (self.free_here or (self.prices is None and self.quotes is None))
