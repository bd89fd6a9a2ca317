"""Type-checked, never run: what a type checker is to see of `run`, `arun` and typed functions."""

from __future__ import annotations

from collections.abc import Generator
from typing import Annotated, Any, Literal, assert_type

from pydantic import AfterValidator, BaseModel

import rung
from rung import Event, Ladder, Message, Outcome
from rung.ladder import AsyncTyped, Typed


class Invoice(BaseModel):
    """An answer."""

    total: int


def in_capitals(text: str) -> str:
    """A validator in pydantic's style."""
    if not text.isupper():
        raise ValueError("use capitals")
    return text


def runs(ladder: Ladder) -> None:
    """The output's type is the outcome's."""
    assert_type(ladder.run("x", Invoice), Outcome[Invoice])
    assert_type(ladder.run("x", Invoice).unwrap(), Invoice)
    assert_type(ladder.run("x", Invoice).value, Invoice | None)
    assert_type(ladder.run("x", int, max_tokens=5, validators=[lambda v: v > 0]), Outcome[int])
    assert_type(ladder.run("x"), Outcome[str])
    assert_type(ladder.run({"text": "x"}, task="invoice"), Outcome[Any])
    assert_type(ladder.run({"text": "x"}, Invoice, task="invoice"), Outcome[Invoice])
    assert_type(ladder.run([Message("user", "x")], list[Invoice]), Outcome[list[Invoice]])
    assert_type(ladder.run("x", {"type": "object"}), Outcome[Any])
    assert_type(ladder.run("x", ["a", "b"]), Outcome[Any])
    assert_type(ladder.stream("x", Invoice), Generator[Event, None, None])
    ladder.run("x", Invoice, tiemout=3)  # type: ignore[call-overload]  # a misspelt setting is seen


async def async_runs(ladder: Ladder) -> None:
    """The async twins say the same."""
    assert_type(await ladder.arun("x", Invoice), Outcome[Invoice])
    assert_type(await ladder.arun("x"), Outcome[str])
    async for event in ladder.astream("x", Invoice):
        assert_type(event, Event)


class Shop:
    """A place for methods."""

    ladder = Ladder()

    @ladder.typed
    def slogan(self, product: str) -> str:
        """A bare method."""
        return f"A slogan for {product}"

    @ladder.typed(Invoice)
    def read(self, text: str) -> str:
        """A method with an output."""
        return text

    @ladder.typed(Invoice)
    async def read_later(self, text: str) -> str:
        """An async method with an output."""
        return text


def functions(ladder: Ladder) -> None:
    """Both forms on `def`."""

    @ladder.typed
    def identify_author(book: str) -> Annotated[str, AfterValidator(in_capitals)]:
        return f"Who wrote {book}?"

    assert_type(identify_author("Dune"), str)
    assert_type(identify_author.outcome("Dune"), Outcome[str])
    identify_author(3)  # type: ignore[arg-type]  # the parameters are the function's own

    @ladder.typed(Invoice, timeout=5)
    def read_invoice(text: str, *, strict: bool = False) -> str:
        return text

    assert_type(read_invoice("x", strict=True), Invoice)
    assert_type(read_invoice.outcome("x"), Outcome[Invoice])

    @ladder.typed(Invoice)
    def converse(text: str) -> list[Message]:
        return [Message("user", text)]

    assert_type(converse("x"), Invoice)


async def async_functions(ladder: Ladder) -> None:
    """Both forms on `async def`."""

    @ladder.typed
    async def identify_author(book: str) -> str:
        return f"Who wrote {book}?"

    assert_type(await identify_author("Dune"), str)
    assert_type(await identify_author.outcome("Dune"), Outcome[str])

    @ladder.typed(Invoice)
    async def read_invoice(text: str) -> str:
        return text

    assert_type(await read_invoice("x"), Invoice)
    assert_type(await read_invoice.outcome("x"), Outcome[Invoice])


async def methods(shop: Shop) -> None:
    """Both forms on methods."""
    assert_type(shop.slogan("tea"), str)
    assert_type(shop.slogan.outcome("tea"), Outcome[str])
    shop.slogan(3)  # type: ignore[arg-type]  # the parameters are the method's own, without self
    assert_type(shop.read("x"), Invoice)
    assert_type(shop.read.outcome("x"), Outcome[Invoice])
    assert_type(await shop.read_later("x"), Invoice)


def kinds(ladder: Ladder) -> None:
    """What the decorators make can be named in annotations."""

    @ladder.typed(Invoice)
    def sync(text: str) -> str:
        return text

    @ladder.typed(Invoice)
    async def later(text: str) -> str:
        return text

    def takes(one: Typed[..., Invoice], two: AsyncTyped[..., Invoice]) -> None: ...

    takes(sync, later)


def names() -> None:
    """Names are imported when they are asked for, and type checkers know each all the same."""
    assert_type(rung.Zone.HOST, Literal[rung.Zone.HOST])
    assert_type(rung.Budget(), rung.Budget)
    rung.Laddder  # type: ignore[attr-defined]  # noqa: B018  a misspelt name is seen


def of_a_task(ladder: Ladder) -> None:
    """A task's folder says what the answer is, so its type isn't known here."""

    @ladder.typed(task="invoice")
    def read_fields(text: str) -> dict[str, str]:
        return {"text": text}

    @ladder.typed(Invoice, task="invoice")
    def read_invoice(text: str) -> str:
        return text

    assert_type(read_fields("x"), Any)
    assert_type(read_invoice("x"), Invoice)
