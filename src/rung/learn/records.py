"""The form of calls and quotes in a recording: from a call to JSON, and back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from rung.errors import PromptTooLong, RungError, Unsupported
from rung.types import Delta, Price, Quote, Threshold, Token, Usage

_TOKEN = tuple(field.name for field in fields(Token))


class Came:
    """The result of a call so far.

    Args:
        candidates: number of answers that were asked for. Further ones are dropped.
    """

    def __init__(self, candidates: int) -> None:
        self._most = candidates
        self.began = time.monotonic()
        self._ttft: float | None = None
        self._load = 0.0
        self._constraint: str | None = None
        self._notes: list[str] = []
        self._usage: Usage | None = None
        self._model: str | None = None
        self._candidates: list[dict[str, Any]] = []

    def add(self, delta: Delta) -> None:
        """Take the next piece."""
        self._load += delta.load_seconds
        self._constraint = delta.constraint or self._constraint
        self._notes += delta.notes
        self._usage = delta.usage or self._usage
        self._model = delta.model or self._model
        if delta.index >= self._most:
            return
        while len(self._candidates) <= delta.index:
            self._candidates.append({"text": "", "finish": None, "reasoning": "", "tokens": []})
        candidate = self._candidates[delta.index]
        if delta.text and self._ttft is None:
            self._ttft = time.monotonic() - self.began - self._load
        candidate["text"] += delta.text
        candidate["reasoning"] += delta.reasoning
        candidate["finish"] = delta.finish or candidate["finish"]
        candidate["tokens"] += [[getattr(token, name) for name in _TOKEN] for token in delta.tokens]

    def record(self) -> dict[str, Any]:
        """The result as a JSON value."""
        usage = self._usage
        return {
            "model": self._model,
            "usage": None if usage is None else [usage.input_tokens, usage.output_tokens],
            "constraint": self._constraint,
            "notes": self._notes,
            "ttft": self._ttft,
            "load": self._load,
            "token": _TOKEN,
            "candidates": self._candidates,
        }


def deltas(record: Mapping[str, Any]) -> tuple[Delta, ...]:
    """The stream of the tier, with each candidate in one piece."""
    said = [
        Delta(
            candidate["text"],
            index,
            tokens=_tokens(record["token"], candidate["tokens"]),
            reasoning=candidate["reasoning"],
            constraint=record["constraint"],
            notes=() if index else tuple(record["notes"]),
            finish=candidate["finish"],
        )
        for index, candidate in enumerate(record["candidates"])
    ]
    usage = None if record["usage"] is None else Usage(*record["usage"])
    return (*said, Delta(usage=usage, model=record["model"], load_seconds=record["load"]))


def _tokens(names: list[str], rows: list[list[Any]]) -> tuple[Token, ...]:
    """The tokens of a record. It may have fewer or more figures than today's tokens."""
    known = [(place, name) for place, name in enumerate(names) if name in _TOKEN]
    return tuple(Token(**{name: row[place] for place, name in known}) for row in rows)


def of_failure(error: PromptTooLong | Unsupported) -> dict[str, Any]:
    """A failure that depends on the call, as a JSON value."""
    kept: dict[str, Any] = {"type": type(error).__name__, "hint": error.hint, "sent": error.sent}
    if isinstance(error, PromptTooLong):
        return {**kept, "input_tokens": error.input_tokens, "context": error.context, "at_least": error.at_least}
    return {**kept, "message": error.message}


def failure(record: Mapping[str, Any]) -> RungError:
    """The recorded failure."""
    error: RungError
    if record["type"] == "PromptTooLong":
        error = PromptTooLong(
            record["input_tokens"], record["context"], at_least=record["at_least"], hint=record["hint"]
        )
    else:
        error = Unsupported(record["message"], hint=record["hint"])
    error.sent = record["sent"]
    return error


def of_quote(quote: Quote) -> dict[str, Any]:
    """A quote as a JSON value. Amounts of money are texts, so that none is rounded."""
    price = quote.price
    return {
        "input_tokens": quote.input_tokens,
        "context": quote.context,
        "max_tokens": quote.max_tokens,
        "max_cost": None if quote.max_cost is None else str(quote.max_cost),
        "price": None if price is None else {f.name: str(getattr(price, f.name)) for f in fields(price)},
    }


def quote(record: Mapping[str, Any]) -> Quote:
    """The recorded quote."""
    cost, price = record["max_cost"], record["price"]
    return Quote(
        record["input_tokens"],
        record["context"],
        record["max_tokens"],
        None if cost is None else Decimal(cost),
        None if price is None else Price(**{name: Decimal(value) for name, value in price.items()}),
    )


def of_threshold(threshold: Threshold) -> dict[str, Any]:
    """A threshold as a JSON value."""
    return {f.name: getattr(threshold, f.name) for f in fields(threshold)}


def threshold(record: Mapping[str, Any]) -> Threshold:
    """The recorded threshold."""
    known = {f.name for f in fields(Threshold)}
    kept = {name: value for name, value in record.items() if name in known}
    return Threshold(**{**kept, "curve": tuple((low, high) for low, high in kept.get("curve", ()))})
