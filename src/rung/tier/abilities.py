"""What a tier is: one method that works, one that cleans up, and a few optional abilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from rung.limits import Cancel
from rung.types import Call, Delta, Preparing, Quote, Requirement, Shape, Threshold, Zone


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
class Lingers(Protocol):
    """A tier whose process on this machine can outlive this one, and be taken over by the next.

    `linger` is for how many seconds; 0 ends it with this process.
    """

    linger: float


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
