"""Whether two answers under one contract mean the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from rung.types import Shape

Same = Callable[[Any, Any], bool]
"""Compares two answers, given as their JSON values."""

_AROUND = " \t\r\n\"'`*.,:;!?()[]{}<>"
_DEEPEST = 100
"""Levels of an answer that are compared, as many as a contract's schema may have."""
_LOOSE = str.maketrans("", "", " ,./-_*^")


class NotComparable(Exception):
    """Two answers can't be compared. The message is a clause that repeats nothing of them."""


def same_under(shape: Shape | None) -> Same | None:
    """How to compare two answers of a shape; `None` for free text, where only a person can tell.

    Args:
        shape: of the contract.
    """
    if shape is None:
        return None
    return {"choice": same_option, "regex": same_text, "json": equal}[shape.kind]


def same_option(one: Any, other: Any) -> bool:
    """Whether two texts name the same option, ignoring case and the signs around it: `(B).` is `b`."""
    return isinstance(one, str) and isinstance(other, str) and option(one) == option(other)


def same_text(one: Any, other: Any) -> bool:
    """Whether two texts are equal apart from white space around them."""
    if not isinstance(one, str) or not isinstance(other, str):
        return equal(one, other)
    a, b = (unicodedata.normalize("NFC", text).strip() for text in (one, other))
    return a == b


def equal(one: Any, other: Any, *, loose: bool = False, subset: bool = False, depth: int = 0) -> bool:
    """Whether two JSON values are equal, with numbers compared by value.

    Args:
        one: may have more fields than the other if `subset` is true.
        other: what it is compared with.
        loose: ignore case, spaces and the signs `,./-_*^` in texts, and read `'` as `"`.
        subset: ignore fields that only `one` has.
        depth: levels above these values.

    Raises:
    Raises:
        NotComparable: they are nested too deep.
    """
    if depth > _DEEPEST:
        raise NotComparable(f"it is nested more than {_DEEPEST} levels deep")
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    if isinstance(one, str) and isinstance(other, str):
        return _loosened(one) == _loosened(other) if loose else one == other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            equal(x, y, loose=loose, subset=subset, depth=depth + 1) for x, y in zip(one, other, strict=True)
        )
    if isinstance(one, dict) and isinstance(other, dict):
        return (subset or one.keys() == other.keys()) and all(
            key in one and equal(one[key], inner, loose=loose, subset=subset, depth=depth + 1)
            for key, inner in other.items()
        )
    return one is None and other is None


def option(text: str) -> str:
    """An option in lower case, without the signs around it."""
    return squeezed(text.strip(_AROUND)) or squeezed(text)


def squeezed(text: str) -> str:
    """A text in one case, with each run of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _loosened(text: str) -> str:
    return text.translate(_LOOSE).lower().replace("'", '"')
