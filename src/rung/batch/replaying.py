"""Tiers that stand in for the real ones while one question is worked on. They replay calls of earlier passes, ask the
tiers whose turn it is, and stop at the others.

So each pass is a whole climb of the real engine, with its thresholds, repairs and rules, and no tier is asked twice.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from rung.batch.manifest import KeptCall
from rung.batch.purse import JobPurse, JobReservation, PaidBefore
from rung.errors import (
    Cancelled,
    Offline,
    PromptTooLong,
    RateLimited,
    RungError,
    StoreError,
    TierCrashed,
    TierError,
    TierTimeout,
    TierUnavailable,
    Unsupported,
)
from rung.learn import records
from rung.learn.cassette import key_of
from rung.learn.recording import StandIn
from rung.limits import Cancel
from rung.money import Purse, Reservation
from rung.tier import Rung
from rung.types import Call, Delta, Quote, Shape, Threshold

STANDING = (TierUnavailable, StoreError, Offline, RateLimited)
"""Errors that affect every question alike, and say nothing about the tier's answers."""
_FAILED: Mapping[str, type[TierError]] = {kind.__name__: kind for kind in (TierCrashed, TierTimeout)}
"""Failures whose class is restored when a call is replayed. Any other becomes a `TierError`."""


class NotYet(TierError):
    """It is not this tier's turn."""


@dataclass(frozen=True, slots=True)
class CallMade:
    """A call of one question.

    Args:
        seconds: time that the original call took.
        replayed: whether it was made in an earlier pass.
    """

    seconds: float
    replayed: bool


@dataclass(frozen=True, slots=True)
class StandingRung:
    """A rung of the ladder, and a copy of it with a stand-in tier.

    Args:
        real: the ladder's.
        shape: the copy. Its tier has the abilities of the real one.
    """

    real: Rung
    shape: Rung


def standing(rungs: Sequence[Rung], identities: Mapping[str, str]) -> tuple[StandingRung, ...]:
    """Prepare a ladder's rungs for `Climber.tiers`.

    Args:
        rungs: of the ladder.
        identities: of the tiers, by name.
    """
    nobody = Climber(0, {}, identities, frozenset(), lambda *_: None, lambda _: None, patient=False)
    return tuple(
        StandingRung(rung, replace(rung, tier=ClimbingTier(nobody, rung, place))) for place, rung in enumerate(rungs)
    )


class Climber:
    """One question on its way up. Its tiers are asked one after the other, possibly from different threads.

    Args:
        question: its number.
        kept: earlier answers of tiers, by the number of the call.
        identities: of the tiers, by name.
        live: places of the tiers whose turn it is.
        keep: immediately stores a call that may have cost money, with the reservation that pays for it.
        get_ready: loads a tier's model. It is called with the tier's place before the tier is really asked.
        patient: whether a crash ends this climb, so that the question can be asked again alone.
    """

    def __init__(
        self,
        question: int,
        kept: Mapping[int, KeptCall],
        identities: Mapping[str, str],
        live: frozenset[int],
        keep: Callable[[int, int, KeptCall, int | None], None],
        get_ready: Callable[[int], None],
        *,
        patient: bool,
    ) -> None:
        self._question, self._reservation, self._kept_now = question, 0, False
        self._kept, self._identities, self._keep = kept, identities, keep
        self.get_ready = get_ready
        self._live, self._patient = live, patient
        self._lock = threading.Lock()
        self._number = 0
        self.paid_before = False
        self.cancel = Cancel()
        self.made: list[CallMade] = []
        self._fresh: dict[int, tuple[str, Call, Mapping[str, Any]]] = {}
        self.stopped_at: int | None = None
        self.crashed = False
        self.failure: RungError | None = None

    def tiers(self, rungs: Sequence[StandingRung]) -> tuple[Rung, ...]:
        """Rungs with stand-in tiers for this climb.

        Args:
            rungs: the result of `standing`.
        """
        return tuple(it.shape.standing_in(ClimbingTier(self, it.real, place)) for place, it in enumerate(rungs))

    def purse(self, purse: Purse) -> Purse:
        """Wrap a purse, so that it reserves nothing for a call that was made before."""
        return _ClimbPurse(self, purse)

    def reserve(self, purse: Purse, bound: Decimal) -> Reservation:
        """Reserve money for the next call, unless it was made before."""
        ours = purse if isinstance(purse, JobPurse) else None
        if self.paid_before:
            return PaidBefore(ours, self._question, self._number)
        found = purse.reserve(bound)
        if isinstance(found, JobReservation):
            self._reservation = found.number
        return found

    def must_stop(self, place: int) -> bool:
        """Whether a tier may not be asked now. Then the climb ends."""
        if place in self._live:
            return False
        self.stopped_at = place if self.stopped_at is None else self.stopped_at
        self.cancel.set()
        return True

    def record(self, name: str, call: Call) -> dict[str, Any] | None:
        """The stored record of the next call; `None` if it wasn't made, or was another call."""
        found = self._kept.get(self._number)
        if found is None:
            return None
        known: dict[str, Any] = json.loads(zlib.decompress(found.record))
        return known if known["of"] == self._of(name, call) else None

    def took(self, call: CallMade) -> None:
        """Note that a call is over."""
        with self._lock:
            self.made.append(call)
            self._number += 1

    def note(self, name: str, call: Call, record: Mapping[str, Any], *, at_once: bool) -> None:
        """Store the next call, either now or at the end of the climb."""
        if at_once:
            self._kept_now = True
            self._keep(self._question, self._number, self._kept_of(name, call, record), self._reservation or None)
        else:
            self._fresh[self._number] = (name, call, record)

    @property
    def kept_any(self) -> bool:
        """Whether the manifest has calls of this question."""
        return bool(self._kept) or self._kept_now

    def fresh(self) -> dict[int, KeptCall]:
        """Calls of this climb that aren't stored yet. They are encoded only here, because most questions are finished
        without them.
        """
        return {number: self._kept_of(*made) for number, made in self._fresh.items()}

    def _kept_of(self, name: str, call: Call, record: Mapping[str, Any]) -> KeptCall:
        line = zlib.compress(json.dumps({"of": self._of(name, call), **record}).encode("ascii"))
        return KeptCall(line, failed="failed" in record)

    def failed(self, error: RungError) -> None:
        """Note that a tier failed for a reason that may be gone next time."""
        self.failure = error
        if isinstance(error, STANDING):
            self.cancel.set()
        if isinstance(error, TierCrashed) and self._patient:
            self.crashed = True
            self.cancel.set()

    def _of(self, name: str, call: Call) -> str:
        # without the cap: a budget may have lowered it, and may have been raised since
        return key_of(self._identities[name], replace(call, max_tokens=None))[:24]


class ClimbingTier(StandIn):
    """Stands in for a tier in one climb.

    Args:
        climber: the question.
        rung: the tier.
        place: of the tier in the ladder.
    """

    def __init__(self, climber: Climber, rung: Rung, place: int) -> None:
        super().__init__(rung)
        self._climber, self._rung, self._place = climber, rung, place
        self._threshold: Threshold | None = None
        if rung.pinned is not None:
            self.weights = rung.pinned.weights

    def __repr__(self) -> str:
        return f"ClimbingTier({self.name!r})"

    def stream(self, call: Call) -> Iterator[Delta]:
        """Replay the call if it is stored. Otherwise ask the tier if it is its turn.

        Raises:
            NotYet: it isn't the tier's turn.
            RungError: what the tier raises.
        """
        record = self._climber.record(self.name, call)
        if record is not None:
            yield from self._say(record)
            return
        if self._climber.must_stop(self._place):
            raise NotYet(f"it is not the turn of tier {self.name!r}")
        yield from self._ask(call)

    def close(self) -> None:
        """Do nothing: the stand-in holds no resources."""

    def _say(self, record: Mapping[str, Any]) -> Iterator[Delta]:
        if "weights" in record:
            self.weights = record["weights"]
        self._threshold = records.threshold(record["threshold"]) if "threshold" in record else None
        self._climber.took(CallMade(record["seconds"], replayed=True))
        if "error" in record:
            raise records.failure(record["error"])
        if "failed" in record:
            kind, message, hint, billed = record["failed"]
            raise _FAILED.get(kind, TierError)(message, hint=hint, billed=billed)
        yield from records.deltas(record)

    def _ask(self, call: Call) -> Iterator[Delta]:
        came = records.Came(call.candidates)
        failure: RungError | None = None
        whole = False
        stream: Iterator[Delta] | None = None
        try:
            self._climber.get_ready(self._place)
            stream = self._rung.tier.stream(call)
            for delta in stream:
                came.add(delta)
                yield delta
            whole = True
        except GeneratorExit:
            # the engine stopped reading: because of the text, which would be the same again, or because nobody waits
            whole = not call.cancel.is_set() and not call.deadline.passed
            raise
        except Cancelled:
            raise
        except RungError as error:
            failure = error
            self._climber.failed(error)
            raise
        except Exception as bug:  # a custom tier raised it: treated and stored like any other failure
            failure = TierCrashed(f"tier {self.name!r} raised {type(bug).__name__}")
            self._climber.failed(failure)
            raise failure from bug
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                with suppress(Exception):
                    close()
            self._end(call, came, failure, whole=whole)

    def _end(self, call: Call, came: records.Came, failure: RungError | None, *, whole: bool) -> None:
        rung, seconds = self._rung, time.monotonic() - came.began
        record: dict[str, Any] = {"tier": self.name, **came.record(), "seconds": seconds}
        if rung.pinned is not None:
            record["weights"] = self.weights = rung.pinned.weights
        if rung.thresholds is not None and call.shape is not None:
            self._threshold = rung.thresholds.default_threshold(call.shape)
            if self._threshold is not None:
                record["threshold"] = records.of_threshold(self._threshold)
        if isinstance(failure, (PromptTooLong, Unsupported)):
            record["error"] = records.of_failure(failure)
        elif failure is not None:
            record["failed"] = [type(failure).__name__, failure.message, failure.hint, getattr(failure, "billed", "no")]
        # a call that the climb's own end cut short is made again
        if whole or (failure is not None and not self._climber.cancel.is_set()):
            self._climber.note(self.name, call, record, at_once=rung.may_cost)
        self._climber.took(CallMade(seconds, replayed=False))

    def _threshold_of(self, shape: Shape) -> Threshold | None:
        """The default threshold at the time of the call."""
        return self._threshold

    def _quote(self, call: Call) -> Quote:
        before = self._climber.record(self.name, call) is not None
        self._climber.paid_before = before
        if not before and self._climber.must_stop(self._place):
            raise NotYet(f"it is not the turn of tier {self.name!r}")
        assert self._rung.quotes is not None, "only a tier that quotes has this method"
        return self._rung.quotes.quote(call)


@dataclass(frozen=True, slots=True)
class _ClimbPurse:
    """A purse that reserves nothing for a call that was made before.

    Args:
        climber: knows whether the call was made before.
        purse: the real one.
    """

    climber: Climber
    purse: Purse

    def reserve(self, bound: Decimal) -> Reservation:
        """Reserve `bound` US dollars."""
        return self.climber.reserve(self.purse, bound)
