"""Values are checked where a caller makes them: a wrong type or range is an error in a sentence there, and not a
`TypeError` somewhere later. Texts are never repeated, because they may be a prompt.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from rung.errors import ConfigError

T = TypeVar("T")

LARGEST = 2**63 - 1
"""Largest whole number that every format on the way to a model can carry."""

_SHOWN = 10**20
"""Numbers below this are repeated in errors. Python refuses to write numbers of thousands of digits."""


def whole(what: str, value: object, least: int, most: int = LARGEST) -> int:
    """A whole number in a range. Numbers of other libraries, such as numpy's, become Python's.

    Args:
        what: name of the setting, for the error.
        value: value as it was given.
        least: smallest valid value.
        most: largest valid value.

    Raises:
        ConfigError: it has the wrong type or is out of range.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]  # found out here
    except TypeError:
        number = None
    if number is None:
        _wrong_kind(what, "a whole number", value)
    if not least <= number <= most:
        range_ = f"{least:,} or more" if most == LARGEST else f"{least:,} to {most:,}"
        raise ConfigError(f"{what} = {_shown(number)} is out of range", hint=f"give {range_}")
    return int(number)


def real(what: str, value: object, low: float, high: float, *, above: bool = False, below: bool = False) -> float:
    """A finite number in a range. Numbers of other libraries, such as numpy's, become Python's.

    Args:
        what: name of the setting, for the error.
        value: value as it was given.
        low: smallest valid value.
        high: largest valid value.
        above: whether `low` itself is not valid.
        below: whether `high` itself is not valid.

    Raises:
        ConfigError: it has the wrong type, is NaN, or is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        _wrong_kind(what, "a number", value)
    plain: Any = value
    number: float = plain if isinstance(plain, (int, float)) else float(plain)
    if not low <= number <= high or (above and number == low) or (below and number == high):
        least = f"{'above ' if above else ''}{low:g}"
        range_ = f"{least} or more" if math.isinf(high) else f"{least} {'and below' if below else 'to'} {_round(high)}"
        raise ConfigError(f"{what} = {_shown(number)} is out of range", hint=f"give a number, {range_}")
    return number


def text(what: str, value: object) -> str:
    """A text.

    Raises:
        ConfigError: it has the wrong type.
    """
    if not isinstance(value, str):
        _wrong_kind(what, "text", value)
    return value


def flag(what: str, value: object) -> bool:
    """`True` or `False`. A value that only counts as one of them is refused.

    Raises:
        ConfigError: it has the wrong type.
    """
    if not isinstance(value, bool):
        _wrong_kind(what, "true or false", value)
    return value


def function(what: str, value: object) -> None:
    """Something that can be called.

    Raises:
        ConfigError: it can't be called.
    """
    if not callable(value):
        _wrong_kind(what, "a function", value)


def one_of(what: str, value: object, known: Sequence[str]) -> None:
    """One of some words.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(value, str):
        _wrong_kind(what, "text", value)
    if value not in known:
        raise ConfigError(f"{value[:40]!r} is not a valid {what}", hint=f"say {', '.join(known[:-1])} or {known[-1]}")


def instance(what: str, value: object, kind: type[T] | tuple[type[T], ...], name: str) -> T:
    """An object of a class.

    Args:
        what: name of the setting, for the error.
        value: value as it was given.
        kind: the class, or several classes.
        name: name of the class, with its article.

    Raises:
        ConfigError: it is an object of another class.
    """
    if not isinstance(value, kind):
        _wrong_kind(what, name, value)
    return value


def several(what: str, value: object, kind: type[T] | tuple[type[T], ...], name: str) -> tuple[T, ...]:
    """A tuple of such objects. A list becomes a tuple. A text is not taken as a list of its characters.

    Args:
        what: name of the setting, for the error.
        value: value as it was given.
        kind: the class of each object.
        name: name of such objects, in the plural.

    Raises:
        ConfigError: it is neither a tuple nor a list, or holds something else.
    """
    if not isinstance(value, (tuple, list)):
        _wrong_kind(what, f"a tuple of {name}", value)
    for item in value:
        if not isinstance(item, kind):
            raise ConfigError(f"{what} has to hold {name}, and one of them is of the type {type(item).__name__}")
    return value if isinstance(value, tuple) else tuple(value)


def _wrong_kind(what: str, wanted: str, value: object) -> NoReturn:
    given = "None" if value is None else f"of the type {type(value).__name__}"
    raise ConfigError(f"{what} has to be {wanted}, and is {given}")


def _round(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:g}"


def _shown(number: Any) -> str:
    if isinstance(number, float) or -_SHOWN < number < _SHOWN:
        return repr(number)
    return f"a number of {int(math.log10(abs(number))) + 1:,} digits"
