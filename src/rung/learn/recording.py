"""Tiers that record their answers, and give recorded answers again.

To the engine they are ordinary tiers, so an evaluation runs the engine itself.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from rung.errors import Cancelled, PromptTooLong, RungError, Unsupported
from rung.learn import records
from rung.learn.cassette import Cassette, NotRecorded, key_of
from rung.learn.identity import Identity
from rung.tier import Rung
from rung.types import Call, Delta, Quote, Shape, Threshold, Zone


@dataclass(frozen=True, slots=True)
class Heard:
    """What a call took when it was really made.

    Args:
        seconds: wall time of the call.
        share: seconds of the tier's time: wall time divided equally among the calls under way. The shares of all calls
            add up to the time in which the tier was busy, however many calls it takes at once.
        replayed: whether it comes from the recording.
    """

    seconds: float
    share: float
    replayed: bool


class _SharedClock:
    """Divides wall time equally among the calls under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._share = 0.0
        self._last = 0.0

    def enter(self) -> float:
        with self._lock:
            self._tick()
            self._under_way += 1
            return self._share

    def leave(self, entered: float) -> float:
        with self._lock:
            self._tick()
            self._under_way -= 1
            return self._share - entered

    def _tick(self) -> None:
        now = time.monotonic()
        if self._under_way:
            self._share += (now - self._last) / self._under_way
        self._last = now


class TierRecorder:
    """One tier and its records. Makes the tiers that stand for it.

    Args:
        rung: the tier with the ladder's settings.
        cassette: where its calls are recorded.
        identity: of the tier, from `rung.learn.identity`.

    `asked` counts the calls that were really made. `failed` holds failures that may not occur next time. They are
    remembered, so that the tier by itself and the ladder see the same, but not recorded.
    """

    def __init__(self, rung: Rung, cassette: Cassette, identity: str) -> None:
        self.rung = rung
        self.cassette = cassette
        self.identity = identity
        self.clock = _SharedClock()
        self.asked = 0
        self.failed: dict[str, tuple[RungError, Heard]] = {}
        self._lock = threading.Lock()
        self._ready = False
        self._under_way: dict[str, threading.Event] = {}

    def tier(self, heard: list[Heard], *, asks: bool) -> RecordingTier:
        """A tier for one request.

        Args:
            heard: gets an entry for each call.
            asks: whether the real tier may be asked for what isn't recorded.
        """
        return RecordingTier(self, heard, asks=asks)

    def get_ready(self) -> None:
        """Load the model before the first call that needs it, so that no call's seconds include the load."""
        with self._lock:
            if not self._ready and self.rung.warms is not None:
                self.rung.warms.warm()
            self._ready = True

    def put_away(self) -> None:
        """Release what the tier holds. The next call gets it ready again."""
        with self._lock:
            self._ready = False
            self.rung.tier.close()

    @contextmanager
    def turn(self, key: str, call: Call) -> Iterator[None]:
        """Wait while the same call is under way on another thread, so that nothing is asked twice."""
        while True:
            with self._lock:
                before = self._under_way.get(key)
                if before is None:
                    mine = self._under_way[key] = threading.Event()
                    break
            while not before.wait(0.1):
                if call.cancel.is_set():
                    raise Cancelled("the caller cancelled")
        try:
            yield
        finally:
            with self._lock:
                del self._under_way[key]
            mine.set()


class AbsentTier:
    """A tier that exists only as its records.

    Args:
        name: of the tier.
        about: what the recording says of it.
    """

    def __init__(self, name: str, about: Mapping[str, Any]) -> None:
        self.name, self.zone = name, Zone.parse(str(about.get("zone", "host")))
        if about.get("quotes"):
            self.quote = self._quote
        if about.get("priced") is not None:
            self.priced = bool(about["priced"])
        if about.get("weights") is not None:
            self.weights = about["weights"]
        for name in ("behaviour", "setup"):
            if isinstance(about.get(name), Mapping):
                setattr(self, name, about[name])
        if about.get("thresholds"):
            self.default_threshold = self._unknown

    def stream(self, call: Call) -> Iterator[Delta]:
        """Raise, because there is no real tier."""
        raise NotRecorded(f"tier {self.name!r} has no recorded answer to this call")

    def close(self) -> None:
        """Do nothing, because nothing is held."""

    def _unknown(self, shape: Shape) -> Threshold | None:
        """Empty, because each recorded call has its own."""

    def _quote(self, call: Call) -> Quote:
        raise NotRecorded(f"tier {self.name!r} has no recorded quote for this call")


def about(rung: Rung, identity: Identity) -> dict[str, Any]:
    """What a recording keeps of a tier, so that it can be replayed where the tier doesn't exist."""
    return {
        "identity": identity.digest,
        "model": identity.model,
        "weights": identity.weights,
        "zone": str(rung.tier.zone),
        "quotes": rung.quotes is not None,
        "thresholds": rung.thresholds is not None,
        "behaviour": None if rung.describes is None else dict(rung.describes.behaviour),
        "setup": None if rung.describes is None else dict(rung.describes.setup),
        "priced": None if rung.prices is None else rung.prices.priced,
        "repairs": rung.repairs,
        "min_confidence": rung.min_confidence,
        "feedback": rung.feedback,
        "max_tokens": rung.max_tokens,
    }


def recorded_rungs(cassette: Cassette) -> tuple[Rung, ...]:
    """The latest recorded ladder, without a model.

    Raises:
        ConfigError: something else changed what the recording says about a tier.
    """
    try:
        return tuple(
            Rung(
                AbsentTier(name, told),
                repairs=told["repairs"],
                min_confidence=told["min_confidence"],
                feedback=told["feedback"],
                max_tokens=told["max_tokens"],
            )
            for name, told in cassette.tiers.items()
        )
    except KeyError:
        raise cassette.changed() from None


class StandIn(ABC):
    """Stands for a tier in one request. It has the abilities of the real one, except those that load and unload its
    model, because whoever makes it decides which model is in memory.

    A subclass defines `quote` and `default_threshold`, in `_quote` and `_threshold_of`.

    Args:
        rung: the tier with the ladder's settings.
    """

    def __init__(self, rung: Rung) -> None:
        self.name, self.zone = rung.tier.name, Zone(rung.tier.zone)
        # instance attributes and not methods: a tier that lacks an ability must stay one without it
        if rung.quotes is not None:
            self.quote = self._quote
        if rung.prices is not None:
            self.priced = rung.prices.priced
        if rung.travels is not None:
            self.destination, self.stays_here = rung.travels.destination, rung.travels.stays_here
        if rung.connects is not None:
            self.hosts = rung.connects.hosts
        if rung.describes is not None:
            self.behaviour, self.setup = rung.describes.behaviour, rung.describes.setup
        if rung.shows is not None:
            self.outgoing = rung.shows.outgoing
        if rung.pinned is not None:
            self.weights: str | None = None
        if rung.thresholds is not None:
            self.default_threshold = self._threshold_of

    @abstractmethod
    def _quote(self, call: Call) -> Quote:
        """What the call would take."""

    @abstractmethod
    def _threshold_of(self, shape: Shape) -> Threshold | None:
        """The tier's own default threshold for answers of a shape."""


class RecordingTier(StandIn):
    """Stands for a tier in one request: gives recorded answers, and records new ones.

    It quotes, and has prices, destination, hosts, weights, behaviour and default threshold, if the real tier has them.
    It doesn't load or unload a model for the ladder, because an evaluation itself decides which one model is in memory.
    """

    def __init__(self, recorder: TierRecorder, heard: list[Heard], *, asks: bool) -> None:
        super().__init__(recorder.rung)
        self._recorder, self._heard, self._asks = recorder, heard, asks
        self._threshold: Threshold | None = None
        told = recorder.cassette.tiers.get(self.name, {}).get("setup")
        # a replay gives answers that another setup may have given
        if recorder.rung.describes is not None and not asks and isinstance(told, Mapping):
            self.setup = told

    def __repr__(self) -> str:
        return f"RecordingTier({self.name!r})"

    def stream(self, call: Call) -> Iterator[Delta]:
        """Give the recorded answer to the call, or ask the tier and record its answer.

        Raises:
            NotRecorded: it isn't recorded, and the tier may not be asked.
            RungError: whatever the tier raises.
        """
        recorder = self._recorder
        key = key_of(recorder.identity, call)
        with recorder.turn(key, call):
            failed = recorder.failed.get(key)
            record = recorder.cassette.get("call", key)
            if record is None and failed is None:
                yield from self._ask(key, call)
                return
        if record is not None:
            yield from self._say(record)
        elif failed is not None:
            self._heard.append(replace(failed[1], replayed=True))
            raise failed[0]

    def close(self) -> None:
        """Do nothing: whoever evaluates closes the real tier."""

    def _ask(self, key: str, call: Call) -> Iterator[Delta]:
        recorder = self._recorder
        if not self._asks:
            raise NotRecorded(f"tier {self.name!r} has no recorded answer to this call")
        recorder.get_ready()
        came, keeps = records.Came(call.candidates), False
        failure: RungError | None = None
        recorder.asked += 1
        entered = recorder.clock.enter()
        stream = recorder.rung.tier.stream(call)
        try:
            for delta in stream:
                came.add(delta)
                yield delta
            keeps = True
        except GeneratorExit:
            # The stream was left early: because of its content, which would repeat, or because nobody waits any more.
            keeps = not call.cancel.is_set() and not call.deadline.passed
            raise
        except RungError as error:
            failure = error
            # these depend on the call, and would occur again
            keeps = isinstance(error, (PromptTooLong, Unsupported))
            raise
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                with suppress(Exception):
                    close()
            seconds, share = time.monotonic() - came.began, recorder.clock.leave(entered)
            pinned = recorder.rung.pinned
            if pinned is not None:
                self.weights = pinned.weights
            default = recorder.rung.thresholds
            if default is not None and call.shape is not None:
                self._threshold = default.default_threshold(call.shape)
            took = Heard(seconds, share, replayed=False)
            self._heard.append(took)
            if failure is not None and not isinstance(failure, Cancelled):
                recorder.failed[key] = failure, took
            if keeps:
                record = {"tier": self.name, **came.record(), "seconds": seconds, "share": share}
                if pinned is not None:
                    record["weights"] = pinned.weights
                if self._threshold is not None:
                    record["threshold"] = records.of_threshold(self._threshold)
                if isinstance(failure, (PromptTooLong, Unsupported)):
                    record["error"] = records.of_failure(failure)
                recorder.cassette.add("call", key, record)

    def _say(self, record: Mapping[str, Any]) -> Iterator[Delta]:
        try:
            error = records.failure(record["error"]) if "error" in record else None
            deltas = () if error is not None else records.deltas(record)
            self._threshold = records.threshold(record["threshold"]) if "threshold" in record else None
            self._heard.append(Heard(record["seconds"], record["share"], replayed=True))
        except (KeyError, TypeError, ValueError, IndexError):
            raise self._recorder.cassette.changed() from None
        if "weights" in record:
            self.weights = record["weights"]
        if error is not None:
            raise error
        yield from deltas

    def _threshold_of(self, shape: Shape) -> Threshold | None:
        """The default threshold at the time of the last answer, because it depends on the model that answered."""
        return self._threshold

    def _quote(self, call: Call) -> Quote:
        recorder = self._recorder
        key = key_of(recorder.identity, call)
        record = recorder.cassette.get("quote", key)
        if record is not None:
            try:
                return records.quote(record)
            except (KeyError, TypeError, ValueError, ArithmeticError):
                raise recorder.cassette.changed() from None
        if not self._asks or recorder.rung.quotes is None:
            raise NotRecorded(f"tier {self.name!r} has no recorded quote for this call")
        recorder.get_ready()
        quote = recorder.rung.quotes.quote(call)
        recorder.cassette.add("quote", key, records.of_quote(quote))
        return quote
