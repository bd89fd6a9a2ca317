"""Tiers whose answers are written down beforehand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rung.errors import Cancelled, TierTimeout, TierUnavailable
from rung.types import Call, Constraint, Delta, Finish, Price, Quote, Token, Usage, Zone


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer.

        sure = ScriptedTier("small", Reply("yes", logprob=-0.01))
        round(rung.Ladder(sure).run("Is water wet?", ["yes", "no"]).attempts[0].confidence, 2)  # 0.99

    Args:
        text: the answer. It is streamed word by word.
        finish: why it ended.
        logprob: the log-probability of every token; `None` reports no tokens.
        usage: what is reported; `None` reports nothing.
        seconds: how long the tier waits before it answers.
        constraint: who is said to enforce the shape.
        notes: sentences for the trace.
    """

    text: str
    finish: Finish = "stop"
    logprob: float | None = None
    usage: Usage | None = None
    seconds: float = 0.0
    constraint: Constraint = "none"
    notes: tuple[str, ...] = ()


Line = str | Reply | BaseException | Callable[[Call], "str | Reply | BaseException"]


class ScriptedTier:
    """A tier whose answers are written down beforehand.

        ladder = rung.Ladder(ScriptedTier("small", "It rains."), ScriptedTier("mid", "yes"))
        ladder.run("Is water wet?", ["yes", "no"]).tier  # mid

    Args:
        name: the tier's name.
        script: what it answers, call by call: a text, a `Reply`, an exception to raise, or a function that takes the
            call and returns one of these. After the last line the tier is unavailable.
        zone: how far a prompt to it counts as travelling.

    `calls` holds every call that it was given, and `closed` counts how often it was closed.
    """

    def __init__(self, name: str, *script: Line, zone: Zone = Zone.HOST) -> None:
        self.name = name
        self.zone = zone
        self.calls: list[Call] = []
        self.closed = 0
        self._script = list(script)
        self._lock = threading.Lock()

    def stream(self, call: Call) -> Iterator[Delta]:
        """Answer with the next line of the script."""
        with self._lock:
            self.calls.append(call)
            if not self._script:
                raise TierUnavailable(f"the script of {self.name!r} is at its end")
            line = self._script.pop(0)
        said = line(call) if callable(line) else line
        if isinstance(said, BaseException):
            raise said
        reply = Reply(said) if isinstance(said, str) else said
        _wait(call, reply.seconds)
        for i, word in enumerate(_words(reply.text)):
            tokens = () if reply.logprob is None else (Token(word, reply.logprob, margin=1.0),)
            yield Delta(word, tokens=tokens, constraint=reply.constraint, notes=reply.notes if i == 0 else ())
        yield Delta(finish=reply.finish, usage=reply.usage, model=f"{self.name}-model")

    def close(self) -> None:
        """Count that somebody closed it."""
        self.closed += 1


class QuotingTier(ScriptedTier):
    """A scripted tier that quotes.

        paid = QuotingTier("paid", "yes", zone=rung.Zone.INTERNET, price=rung.Price(1.0, 4.0))
        ladder = rung.Ladder(paid, reach=rung.Zone.INTERNET)
        ladder.run("Is water wet?").attempts[0].quote.price.output  # 4.0

    Args:
        name: the tier's name.
        script: as for `ScriptedTier`.
        zone: how far a prompt to it counts as travelling.
        price: what it charges; `None` quotes no cost.
        input_tokens: length that is quoted for any prompt.
        context: context that is quoted, in tokens.
        max_tokens: cap that the quote assumes for a call without one.
    """

    def __init__(
        self,
        name: str,
        *script: Line,
        zone: Zone = Zone.HOST,
        price: Price | None = None,
        input_tokens: int = 100,
        context: int | None = None,
        max_tokens: int = 1000,
    ) -> None:
        super().__init__(name, *script, zone=zone)
        self._price = price
        self._input_tokens = input_tokens
        self._context = context
        self._max_tokens = max_tokens

    def quote(self, call: Call) -> Quote:
        """What the call would take."""
        cap = call.max_tokens or self._max_tokens
        cost = None if self._price is None else self._price.cost(self._input_tokens, cap)
        return Quote(self._input_tokens, self._context, cap, cost, self._price)


def _wait(call: Call, seconds: float) -> None:
    left = call.deadline.remaining()
    if call.cancel.wait(seconds if left is None else min(seconds, left)):
        raise Cancelled("the caller cancelled")
    if left is not None and left <= seconds:
        raise TierTimeout("the deadline passed")


def _words(text: str) -> list[str]:
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]
