"""One test for a whole table of cases.

What the runner does around a test takes longer than most cases of a law. A table costs that once, and a failure still
names each case that failed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from typing import Any

import pytest

from helpers.ids import shown

Case = tuple[dict[str, Any], Callable[[], str]]
_LONGEST = 200
"""Characters of a value in the name of a case. What is longer is told by the failure itself."""


def each(names: str | Sequence[str], values: Iterable[Any], *, ids: Any = None) -> Callable[[Any], Any]:
    """Run a test once for each case, as one test. It is written as `pytest.mark.parametrize` is, and may be stacked.

        @each("text", ["yes", "no"])
        def test_a_word_is_a_word(text):
            assert text.isalpha()

    Every case is run, whatever came of those before it. Fixtures are made once, so a case must not change them.

    Args:
        names: of the arguments, with commas between them.
        values: one of them, or a tuple for several, or a `pytest.param` without marks; each is a case.
        ids: a name for each, or what makes one of a value. Without it a case is named by its values.
    """
    arguments = [name.strip() for name in names.split(",")] if isinstance(names, str) else [*names]
    cases = [_case(arguments, value, ids, number) for number, value in enumerate(values)]

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        inner, tables = getattr(test, "_each", (test, [[({}, str)]]))
        tables = [*tables, cases]

        @wraps(inner)
        def run(**fixtures: Any) -> None:
            failed = []
            for given, name in _product(tables):
                try:
                    try:
                        inner(**fixtures, **given)
                    except pytest.skip.Exception as skipped:
                        pytest.fail(f"a case of a table can't be skipped: {skipped}")
                except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001  told below, with its case
                    error.add_note(f"the case: {name()}")
                    failed.append(error)
            if len(failed) == 1:
                raise failed[0]
            if failed:
                raise BaseExceptionGroup(f"{len(failed)} cases failed", failed)

        taken = {name for table in tables for given, _ in table for name in given}
        signature = inspect.signature(inner)
        kept = [parameter for name, parameter in signature.parameters.items() if name not in taken]
        run.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        run._each = inner, tables  # type: ignore[attr-defined]
        return run

    return decorate


def _case(arguments: Sequence[str], value: Any, ids: Any, number: int) -> Case:
    marked = isinstance(value, type(pytest.param()))
    assert not (marked and value.marks), "a case of a table has no marks of its own: parametrize the test"
    row = value.values if marked else (value,) if len(arguments) == 1 else tuple(value)
    assert len(row) == len(arguments), f"case {number} has {len(row)} values for {', '.join(arguments)}"

    def name() -> str:
        if marked and isinstance(value.id, str):
            return value.id
        if ids is not None and not callable(ids):
            return str([*ids][number])
        return f"{number}: {'-'.join(_shown(it, ids) for it in row)}"

    return dict(zip(arguments, row, strict=True)), name


def _shown(value: object, ids: Callable[[Any], object] | None) -> str:
    named = None if ids is None else ids(value)
    if named is not None:
        return str(named)
    try:
        return shown(value)[:_LONGEST]
    except RecursionError:
        return type(value).__name__


def _product(tables: Sequence[Sequence[Case]]) -> list[Case]:
    made: list[Case] = [({}, str)]
    for table in tables:
        made = [({**a, **b}, partial(_both, x, y)) for a, x in made for b, y in table]
    return made


def _both(first: Callable[[], str], second: Callable[[], str]) -> str:
    return ", ".join(filter(None, (first(), second())))
