"""What a tier is: one method that works, one that cleans up, and a few optional abilities."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Generic, Protocol, TypeVar, get_args, runtime_checkable

from pydantic import Field

from rung import checking
from rung.allowed import Integer, Real, Word
from rung.errors import ConfigError
from rung.limits import LONGEST, Cancel, Money, Usd, usd
from rung.settings import SettingsTable, given, read
from rung.types import Call, Delta, FeedbackPolicy, Preparing, Quote, Redactor, Requirement, Shape, Threshold, Zone

__all__ = [
    "Connects",
    "Describes",
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

M = TypeVar("M", bound=SettingsTable)
T = TypeVar("T", bound="Tier")


class Tier(Protocol):
    """Something that answers a call: a local model, an endpoint, a function.

    `stream` yields deltas. It raises `TierError` for a failure, `Unsupported` for a call that the tier can't take,
    `Cancelled` within 200 ms of `call.cancel`, and `TierTimeout` within 200 ms of `call.deadline`. The deadline moves
    on as long as deltas show progress, so look at it again before each wait. `stream` must be safe to call from several
    threads. `close` may be called twice. A call after it starts the tier again or raises `TierUnavailable`.
    """

    name: str
    zone: Zone

    def stream(self, call: Call) -> Iterator[Delta]:
        """Answer the call, piece by piece."""

    def close(self) -> None:
        """Release what the tier holds."""


@runtime_checkable
class Quotes(Protocol):
    """A tier that can say in advance what a call would take."""

    def quote(self, call: Call) -> Quote:
        """What the call would take. It sends nothing.

        Raises:
            TierError: the tier can't serve. This counts as a failed attempt.
        """


@runtime_checkable
class Prices(Protocol):
    """A tier that knows before any call whether its quotes will have a bound in money."""

    priced: bool


@runtime_checkable
class Warms(Protocol):
    """A tier that can get ready before its first call."""

    def warm(self) -> None:
        """Load what the first call would have to load."""


@runtime_checkable
class Prepares(Protocol):
    """A tier whose model is a file, which can be fetched and loaded before the first call.

    `sourcing` says where the file may come from, in terms of the tier's own store; `None` leaves that to the store.
    """

    sourcing: Any

    def requirement(self) -> Requirement:
        """What it takes of this machine. It looks, and fetches nothing.

        Raises:
            StoreError: there is no such model.
        """

    def fetch(self, tell: Callable[[Preparing], None], cancel: Cancel, *, verify: bool) -> None:
        """Make sure that the file is here with the right bytes. The caller has consented to the download.

        Args:
            tell: told how far it is, on the calling thread.
            cancel: ends it within 200 ms.
            verify: whether a file that is here is hashed again.

        Raises:
            RungError: it can't be had. The error says why, and what helps.
        """

    def load(self, tell: Callable[[Preparing], None], cancel: Cancel) -> None:
        """Load the model, and tell how far it is.

        Args:
            tell: told how far it is, on the calling thread.
            cancel: ends the wait within 200 ms. The load goes on, for the first call.

        Raises:
            RungError: it can't be loaded.
        """


@runtime_checkable
class Resides(Protocol):
    """A tier that holds a model in this machine's memory."""

    @property
    def loaded(self) -> bool:
        """Whether it holds its model, or has begun to load it."""

    @property
    def idle(self) -> float | None:
        """Seconds since its last call ended; `None` while one is under way, or if it holds no model."""

    def fits(self) -> bool:
        """Whether its model would fit into memory beside what is held now; `True` if nobody can tell."""

    def strained(self) -> bool:
        """Whether memory is so short that an idle model should be unloaded."""

    def preload(self) -> None:
        """Begin to load the model, without waiting for it. It does nothing if the model can't be loaded."""

    def unload(self) -> None:
        """Free the memory, unless a call is under way. The next call loads the model again."""


@runtime_checkable
class Travels(Protocol):
    """A tier that knows where a prompt goes.

    `destination` is host and port as a person would read them. `stays_here` is `None` for a loopback endpoint that may
    pass a prompt on, and `True` if its operator vouches that it doesn't.
    """

    destination: str
    stays_here: bool | None


@runtime_checkable
class Connects(Protocol):
    """A tier that names every host that it connects to, including a proxy's, as names and addresses without ports."""

    hosts: frozenset[str]


@runtime_checkable
class Pinned(Protocol):
    """A tier that knows which weights answer: their sha256 in hexadecimal; `None` as long as it can't tell."""

    weights: str | None


@runtime_checkable
class Describes(Protocol):
    """A tier that tells what its answers depend on besides its weights and the call, in names and values of its own.

    `behaviour` is what changes answers: if it changes, what was learnt about the tier is void. `setup` is what changes
    answers now and then, such as the build, the backend and how many calls are decoded together.
    """

    @property
    def behaviour(self) -> Mapping[str, str]:
        """What changes answers."""

    @property
    def setup(self) -> Mapping[str, str]:
        """What changes answers now and then."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it would leave this machine.

    Args:
        tier: name of the tier.
        zone: how far it would travel.
        to: method and address.
        body: body of the request, byte for byte. The key isn't part of it: it travels in a header, which isn't shown.
    """

    tier: str
    zone: Zone
    to: str
    body: bytes = field(repr=False)


@runtime_checkable
class Shows(Protocol):
    """A tier that can show what it would send."""

    def outgoing(self, call: Call) -> Outgoing:
        """The first request that the call would send. It sends nothing.

        Raises:
            Unsupported: the call can't be expressed in this tier's format.
        """


@runtime_checkable
class Thresholds(Protocol):
    """A tier that knows how sure its model has to be if nobody calibrated it."""

    def default_threshold(self, shape: Shape) -> Threshold | None:
        """The threshold for answers of this shape, measured on public data; `None` if there is none.

        It is asked for after the answer, so that the tier knows which weights answered.
        """


_ABILITIES = {
    "quotes": Quotes,
    "prices": Prices,
    "warms": Warms,
    "prepares": Prepares,
    "resides": Resides,
    "travels": Travels,
    "connects": Connects,
    "pinned": Pinned,
    "describes": Describes,
    "shows": Shows,
    "thresholds": Thresholds,
}


@dataclass(frozen=True, slots=True)
class TierKind(Generic[M, T]):
    """What an entry point in the group `rung.tiers` names: a kind of tier that declares its settings.

    A plain function that takes a name and a mapping will do, too; it checks its settings itself then, and the reference
    knows nothing of them.

    Args:
        settings: the keys of its table.
        make: makes a tier of its name and settings.
    """

    settings: type[M]
    make: Callable[[str, M], T]

    def __call__(self, name: str, table: Mapping[str, Any]) -> T:
        """The tier of a table.

        Args:
            name: of the tier.
            table: its keys as they were written, without those that every `[[tier]]` may hold.

        Raises:
            ConfigError: a key is unknown or missing, or a value is not allowed.
        """
        return self.make(name, read(self.settings, table, f"tier {name!r}"))


def tier_kind(settings: type[M]) -> Callable[[Callable[[str, M], T]], TierKind[M, T]]:
    """Makes a `TierKind` of a function that takes a tier's name and its settings.

    Args:
        settings: the keys of its table.
    """
    return lambda make: TierKind(settings, make)


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
    `resides`, `travels`, `connects`, `pinned`, `describes`, `shows`, `thresholds`. Each is the tier itself, or `None`
    if the tier lacks the ability.

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
        for name, kind in _ABILITIES.items():
            object.__setattr__(self, name, self.tier if isinstance(self.tier, kind) else None)

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
