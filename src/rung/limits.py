"""Limits of a request: cancel flag, deadline, budget. They are plain values and know nothing of tiers."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from rung import checking
from rung.allowed import Converted, Integer, Real
from rung.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

Money = Decimal | int | float | str

LONGEST = 1e9
"""Seconds of the longest time limit: 30 years, which fits into every clock and every system's wait."""

_SHOWN = 40
"""Characters of what is not an amount that an error repeats: more than any amount has."""


def usd(amount: Money, what: str) -> Decimal:
    """An amount of money as a `Decimal`. Anything but a finite, non-negative number is refused.

    Args:
        amount: US dollars. A float is read in its shortest decimal form, so 0.1 is one tenth.
        what: name of the setting, for the error.

    Raises:
        ConfigError: the amount is NaN, infinite, negative or not a number.
    """
    try:
        value = Decimal(amount if isinstance(amount, int) else str(amount))
    except InvalidOperation:
        value = Decimal("NaN")
    if isinstance(amount, bool) or not value.is_finite() or value < 0:
        from rung.hiding import hide

        raise ConfigError(
            f"{what} = {hide(repr(amount)[:_SHOWN])} is not an amount of money",
            hint="give a finite number of US dollars, 0 or more",
        )
    return value


_SPAN = re.compile(r"([0-9]{1,9})\s*([smh])")
_UNITS = {"s": 1, "m": 60, "h": 3600}


def span(what: str, value: object, most: float) -> float:
    """A time in seconds: a number of them, or a text such as `90s`, `10m` or `1h`.

    Args:
        what: name of the setting, for the error.
        value: as it was given.
        most: seconds that it may be.

    Raises:
        ConfigError: it is neither, or it is negative or too long.
    """
    if isinstance(value, str):
        written = _SPAN.fullmatch(value.strip())
        if written is None:
            from rung.hiding import hide

            raise ConfigError(
                f"{what} = {hide(value[:_SHOWN])!r} is not a valid time",
                hint='write a number of seconds, or one with its unit, such as "90s", "10m" or "1h"',
            )
        value = int(written[1]) * _UNITS[written[2]]
    return float(checking.real(what, value, 0.0, most))


Usd = Converted(lambda what, value: usd(value, what), {"type": "number", "minimum": 0, "unit": "US dollars"})
"""An amount of money as a setting."""

Seconds = Real(0.0, LONGEST, "seconds")
"""A time limit as a setting."""

TopP = Real(0.0, 1.0, above=True)
"""Share of probability mass that is kept, as a setting."""

MinP = Real(0.0, 1.0, below=True)
"""Least probability, relative to the likeliest token's, as a setting."""

Tokens = Integer(0, unit="tokens")
"""A limit on prompt and answer as a setting."""


class Cancel:
    """A flag that stops a request from any thread.

        flag = rung.Cancel()  # any thread may set it
        flag.set()
        ladder.run("Is water wet?", cancel=flag).reason  # cancelled

    Setting it again changes nothing.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[object, Callable[[], None]] = {}

    def set(self) -> None:
        """Ask the request to stop. It calls everybody who listens, and returns at once."""
        with self._lock:
            self._event.set()
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            callback()

    def is_set(self) -> bool:
        """Whether the request was asked to stop."""
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the flag is set, or for at most `timeout` seconds. Returns whether it is set."""
        return self._event.wait(timeout)

    def on_set(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once when the flag is set, or at once if it already is. The result removes the callback.

        Args:
            callback: runs on the thread that sets the flag. So it must be quick and must not raise.
        """
        key = object()
        with self._lock:
            if not self._event.is_set():
                self._callbacks[key] = callback

                def forget() -> None:
                    with self._lock:
                        self._callbacks.pop(key, None)

                return forget
        callback()
        return lambda: None


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant after which nothing more is done.

        deadline = rung.Deadline.after(seconds=2)
        deadline.passed  # False
        rung.Deadline().remaining()  # None

    Args:
        at: the instant in seconds, on the clock of `time.monotonic`; `None` is never.
    """

    at: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The instant `seconds` from now; `None` is never. If they are negative, it has passed.

        Raises:
            ConfigError: `seconds` is NaN, which would pass at once in one place and never in another, or is too large
                for a clock.
        """
        if seconds is None:
            return cls()
        return cls(time.monotonic() + checking.real("seconds", seconds, -LONGEST, LONGEST))

    def remaining(self) -> float | None:
        """Seconds left, never below zero; `None` if there is no deadline."""
        return None if self.at is None else max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether the instant has passed."""
        return self.at is not None and time.monotonic() >= self.at

    def later(self, seconds: float) -> Deadline:
        """The same deadline, `seconds` later. This is how the wait for a person's consent costs no time."""
        return self if self.at is None else Deadline(self.at + seconds)


@dataclass(frozen=True, slots=True)
class Budget:
    """What one request may use.

        budget = rung.Budget(seconds=20, tokens=4000, money="0.05")
        ladder = rung.Ladder(rung.llama("smollm2-135m"), budget=budget)
        ladder.run("Is water wet?").accepted  # True

    Args:
        seconds: wall time of the whole request, all tiers together.
        tokens: prompt and answer tokens of all attempts together.
        money: US dollars of all paid attempts together.

    Raises:
        ConfigError: a limit is negative, NaN or infinite.
    """

    seconds: float | None = None
    tokens: int | None = None
    money: Money | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("seconds", Seconds), ("tokens", Tokens), ("money", Usd)):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, allowed.check(f"budget.{name}", value))

    @property
    def usd(self) -> Decimal | None:
        """The limit in money; `None` where there is none."""
        return None if self.money is None else usd(self.money, "budget.money")
