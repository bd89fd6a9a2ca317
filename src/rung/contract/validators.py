"""Running the caller's validators: what they may take and return, and how long they may run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from rung.contract.parsing import cut
from rung.contract.spans import show
from rung.errors import ContractError
from rung.threads import Awaiter
from rung.types import CheckContext, Issue

Validator = Callable[..., Any]
"""Takes `(value)` or `(value, context)`; returns nothing, a bool, an issue or several, or raises `ValueError`."""


def name_of(validator: Validator) -> str:
    """The name that a validator goes by in `checked_by` and in issues."""
    named = getattr(validator, "name", None) or getattr(validator, "__name__", None)
    return str(named or type(validator).__name__)


class Check:
    """A validator made ready: named, and called with the number of arguments that it takes.

    Args:
        validator: the caller's own function or object.

    Raises:
        ContractError: it can't be called, or not with one or two arguments.
    """

    def __init__(self, validator: Validator) -> None:
        if not callable(validator):
            raise ContractError(f"a validator must be callable, and {type(validator).__name__} isn't")
        self.name = name_of(validator)
        self._function = validator
        self._takes_context = _takes_context(validator, self.name)

    def suits(self, names: frozenset[str] | None) -> None:
        """Let the validator refuse a contract that it isn't meant for, if it has a method for that.

        Args:
            names: of all fields that an answer may have; `None` if any name is allowed.

        Raises:
            ContractError: it refuses.
        """
        suits = getattr(self._function, "suits", None)
        if callable(suits):
            suits(names)

    @property
    def copies(self) -> bool:
        """Whether all that the validator does is to look values up in the prompt."""
        return callable(getattr(self._function, "copied", None))

    def copied(self, names: frozenset[str]) -> frozenset[str]:
        """Those of some fields whose values the validator looks up.

        Args:
            names: of the fields, in JSON.
        """
        copied = getattr(self._function, "copied", None)
        return frozenset(copied(names)) if callable(copied) else frozenset()

    def __call__(self, value: Any, context: CheckContext, await_: Awaiter) -> tuple[Issue, ...]:
        """The issues that the validator finds. Any exception but `ValueError` is the caller's bug and is raised."""
        try:
            result = self._function(value, context) if self._takes_context else self._function(value)
            if inspect.isawaitable(result):
                result = await_(result)
        except ValidationError as error:
            return tuple(
                Issue(cut(show(e["loc"])), cut(e["msg"]), self._code) for e in error.errors(include_input=False)
            )
        except ValueError as error:
            return (Issue("", str(error) or f"{self.name} rejected it", self._code),)
        if getattr(self._function, "returns_value", False) or result is None:
            return ()
        if isinstance(result, bool):
            return () if result else (Issue("", f"{self.name} rejected it", self._code),)
        # like a pydantic validator: return the argument or raise
        if result is value or (isinstance(result, str) and result == value):
            return ()
        return tuple(self._issues([result] if isinstance(result, Issue | str) else result))

    @property
    def _code(self) -> str:
        return f"check:{self.name}"

    def _issues(self, results: Iterable[Any]) -> Iterable[Issue]:
        if not isinstance(results, Iterable) or isinstance(results, Mapping):
            raise self._misuse(results)
        for item in results:
            if isinstance(item, Issue):
                yield replace(item, code=item.code or self._code)
            elif isinstance(item, str):
                yield Issue("", item, self._code)
            else:
                raise self._misuse(item)

    def _misuse(self, result: Any) -> ContractError:
        return ContractError(
            f"the validator {self.name} returned a {type(result).__name__}",
            hint="return nothing, a bool, issues, or raise ValueError",
        )


def checks(validators: Sequence[Validator]) -> tuple[Check, ...]:
    """Validators made ready, in order.

    Raises:
        ContractError: it isn't a sequence of validators, or one of them can't be used.
    """
    if callable(validators) or isinstance(validators, str | bytes | Mapping) or not isinstance(validators, Iterable):
        raise ContractError(
            f"validators must be a list of functions, and this is a {type(validators).__name__}",
            hint="write validators=[check]",
        )
    return tuple(Check(v) for v in validators)


def _takes_context(validator: Validator, name: str) -> bool:
    try:
        signature = inspect.signature(validator)
    except (TypeError, ValueError):  # some builtins have no signature: pass them the value
        return False
    for count in (1, 2):
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return count == 2
    raise ContractError(
        f"the validator {name} can't be called with one or two arguments", hint="take (value) or (value, context)"
    )
