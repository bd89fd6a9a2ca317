"""Typed functions: a function that writes a prompt becomes one that returns the validated answer."""

from __future__ import annotations

import asyncio
import inspect
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field

import rung
from helpers.ids import shown
from rung import Cancel, Ladder, Message, Rung, Unresolved
from rung.errors import ContractError
from rung.testing import ScriptedTier

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypeCheckers


class Invoice(BaseModel):
    total: int


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


def is_upper(name: str) -> bool:
    return name.isupper()


def upper(name: str) -> str:
    if not name.isupper():
        raise ValueError("answer in capitals")
    return name


def ladder_of(*script):
    return Ladder(ScriptedTier("small", *script))


# --- the return annotation -------------------------------------------------------------------------------------------


def test_the_return_annotation_is_the_contract_of_a_text():
    ladder = ladder_of("Frank Herbert", "FRANK HERBERT")

    @ladder.typed
    def identify_author(book: str) -> Annotated[str, AfterValidator(upper)]:
        """Who wrote it."""
        return f"Who wrote {book}? Answer in capitals."

    assert identify_author("Dune") == "FRANK HERBERT"
    assert [c.messages[0].text[:16] for c in ladder.rungs[0].tier.calls] == ["Who wrote Dune? "] * 2


def test_a_validator_that_returns_a_bool_is_named_and_the_mend_works():
    """The example of docs/from-mirascope.md."""
    ladder = ladder_of("FRANK HERBERT", "FRANK HERBERT")

    @ladder.typed
    def identify_author(book: str) -> Annotated[str, AfterValidator(is_upper)]:
        return f"Who wrote {book}? Answer with the name in capitals, and nothing else."

    with pytest.raises(ContractError) as raised:
        identify_author("Dune")
    assert str(raised.value) == (
        "the validator is_upper returned something that isn't of the output's type; pydantic uses what a validator "
        "returns as the value; return the value, or wrap a predicate: AfterValidator(rung.checks.that(is_upper))"
    )

    @ladder.typed
    def mended(book: str) -> Annotated[str, AfterValidator(rung.checks.that(is_upper))]:
        return f"Who wrote {book}? Answer with the name in capitals, and nothing else."

    assert mended("Dune") == "FRANK HERBERT"


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str, "hello", "hello"),
        (Annotated[str, Field(max_length=5)], '{"value": "hello"}', "hello"),
        (Literal["yes", "no"], "yes", "yes"),
        (Mood, "good", Mood.GOOD),
    ],
    ids=shown,
)
def test_every_kind_of_text_may_stand_in_the_annotation(annotation, text, value):
    def ask():
        return "Well?"

    ask.__annotations__["return"] = annotation
    assert ladder_of(text).typed(ask)() == value


def test_only_the_return_annotation_is_read():
    @ladder_of("hello").typed
    def ask(amount: OnlyForTypeCheckers) -> str:
        return f"What about {amount}?"

    assert ask(3) == "hello"


# --- the argument ----------------------------------------------------------------------------------------------------


def test_the_argument_is_the_contract_of_anything_else():
    @ladder_of('{"total": 3}').typed(Invoice)
    def read_invoice(text: str) -> str:
        return f"Extract the invoice.\n\n{text}"

    assert read_invoice("3 EUR") == Invoice(total=3)


@pytest.mark.parametrize(
    ("output", "text", "value"),
    [(list[int], "[1, 2]", [1, 2]), ({"type": "integer"}, "7", 7), (["a", "b"], "a", "a"), (int, "3", 3)],
    ids=shown,
)
def test_the_argument_may_be_whatever_run_takes(output, text, value):
    @ladder_of(text).typed(output)
    def ask() -> str:
        return "Well?"

    assert ask() == value


def test_settings_of_the_request_stand_beside_the_argument():
    ladder = ladder_of('{"total": -3}', '{"total": 3}')

    @ladder.typed(Invoice, validators=[lambda v: v.total > 0], max_tokens=77, system="Be exact.", context=5)
    def read_invoice(text: str) -> str:
        return text

    assert read_invoice("3 EUR") == Invoice(total=3)
    first = ladder.rungs[0].tier.calls[0]
    assert first.max_tokens == 77
    assert first.messages[0].text.startswith("Be exact.")


def test_a_function_may_return_a_whole_conversation():
    ladder = ladder_of('{"total": 3}')

    @ladder.typed(Invoice)
    def read_invoice(text: str) -> list[Message]:
        return [Message("user", "Hi."), Message("assistant", "Yes?"), Message("user", text)]

    assert read_invoice("3 EUR").total == 3
    assert [m.role for m in ladder.rungs[0].tier.calls[0].messages] == ["system", "user", "assistant", "user"]


# --- what comes of it ------------------------------------------------------------------------------------------------


def test_a_call_raises_where_outcome_tells():
    ladder = Ladder(Rung(ScriptedTier("small", "x", "x"), repairs=0))

    @ladder.typed(Invoice)
    def read_invoice(text: str) -> str:
        return text

    outcome = read_invoice.outcome("3 EUR")
    assert (outcome.accepted, outcome.best.text) == (False, "x")
    with pytest.raises(Unresolved, match="small: schema"):
        read_invoice("3 EUR")


def test_methods_are_bound_to_their_instance():
    ladder = ladder_of("a", '{"total": 3}', "b", '{"total": 4}')

    class Shop:
        def __init__(self, name):
            self.name = name

        @ladder.typed
        def slogan(self) -> str:
            return f"A slogan for {self.name}"

        @ladder.typed(Invoice)
        def read(self, text: str) -> str:
            return f"{self.name}: {text}"

    tea, gin = Shop("tea"), Shop("gin")
    assert (tea.slogan(), tea.read("x").total) == ("a", 3)
    assert (gin.slogan.outcome().value, gin.read.outcome("y").value.total) == ("b", 4)
    prompts = [c.messages[-1].text for c in ladder.rungs[0].tier.calls]
    assert prompts == ["A slogan for tea", "tea: x", "A slogan for gin", "gin: y"]


def test_async_functions_and_methods_are_awaited():
    ladder = ladder_of("HI", '{"total": 3}', '{"total": 4}')

    @ladder.typed
    async def greet(name: str) -> Annotated[str, AfterValidator(upper)]:
        await asyncio.sleep(0)
        return f"Greet {name}."

    class Shop:
        @ladder.typed(Invoice)
        async def read(self, text: str) -> str:
            return text

    async def main():
        shop = Shop()
        return await greet("Ada"), (await shop.read("x")).total, (await shop.read.outcome("y")).unwrap().total

    assert asyncio.run(main()) == ("HI", 3, 4)


def test_a_typed_function_keeps_its_name_signature_and_docstring():
    @ladder_of().typed(Invoice)
    def read_invoice(text: str, *, strict: bool = False) -> str:
        """Reads an invoice."""
        return text

    assert (read_invoice.__name__, read_invoice.__doc__) == ("read_invoice", "Reads an invoice.")
    assert list(inspect.signature(read_invoice).parameters) == ["text", "strict"]


# --- mistakes are said where they are written ------------------------------------------------------------------------


def test_an_annotation_that_a_prompt_cannot_promise_is_an_error_that_shows_the_other_form():
    with pytest.raises(ContractError, match=r"write @ladder.typed\(Invoice\) and -> str"):

        @ladder_of().typed
        def read_invoice(text: str) -> Invoice:
            return text


def test_no_annotation_is_an_error():
    with pytest.raises(ContractError, match="read_invoice has no return annotation; write -> str"):

        @ladder_of().typed
        def read_invoice(text: str):
            return text


def test_an_annotation_that_cannot_be_read_is_an_error():
    with pytest.raises(ContractError, match=r"return annotation of .*ask can't be read: name 'Missing'"):

        @ladder_of().typed
        def ask() -> Missing:  # noqa: F821
            return ""


@pytest.mark.parametrize("output", [object(), [], {"type": "objct"}], ids=shown)
def test_an_output_that_cannot_be_one_fails_where_it_is_written(output):
    with pytest.raises(ContractError):
        ladder_of().typed(output)


def test_a_setting_that_there_is_not_fails_where_it_is_written():
    with pytest.raises(TypeError, match="no setting 'timout'; did you mean 'timeout'"):
        ladder_of().typed(Invoice, timout=3)
    with pytest.raises(TypeError, match="did you mean 'max_tokens'"):
        ladder_of().run("x", max_token=3, cancel=Cancel())
